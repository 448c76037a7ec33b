//! Consent: the card, the wait, and each way it ends.

use std::time::Duration;

use countersign_crypto::Timestamp;
use serde_json::json;

use crate::harness::{Agent, SESSION_URI, TOKEN, WAT, access_token, front_channel, issues, tool_states};

async fn waiting() -> Agent {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent.answers("GET", "/api/issues", 200, issues()).await;
    agent
}

#[tokio::test]
async fn h06_the_turn_goes_on_by_itself_once_consent_is_there() {
    let agent = waiting().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(2))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    let card = events.until("consent").await;
    assert_eq!(card["provider"], "ledgerline");
    assert_eq!(card["scopes"], json!(["issues:read"]));
    assert_eq!(
        card["scopeDescriptions"],
        json!({"issues:read": "Read your issues"})
    );
    assert_eq!(card["expiresAt"], 1_800_000_600);
    assert!(
        card["url"]
            .as_str()
            .is_some_and(|url| url.starts_with("http://localhost:8407/"))
    );
    let (rest, text) = events.rest().await;
    assert_eq!(
        text,
        "You have 2 open issues:\n• ALICE-1: Printer on fire\n• ALICE-2: Coffee machine empty"
    );
    assert_eq!(tool_states(&rest), ["done"]);
    assert!(events.raw.contains("\"state\":\"waiting\""));

    let calls = agent.calls(TOKEN).await;
    assert_eq!(calls.len(), 3);
    assert!(calls[0].get("sessionUri").is_none());
    for poll in &calls[1..] {
        assert_eq!(poll["sessionUri"], SESSION_URI);
        assert_eq!(poll["workloadIdentityToken"], calls[0]["workloadIdentityToken"]);
    }
    assert_eq!(agent.calls(WAT).await.len(), 1, "one for the turn");
    // The second question needs no consent.
    let (rest, _) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    assert!(rest.iter().all(|(name, _)| name != "consent"));
}

/// Disconnected within the second before the next poll: the identity service then begins another session, of which nobody
/// is shown a card.
#[tokio::test]
async fn access_that_was_taken_back_before_it_was_fetched_is_not_waited_for() {
    let agent = waiting().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(2))
        .await;
    let mut another = front_channel();
    another["sessionUri"] = format!("{SESSION_URI}-2").into();
    agent.answers("POST", TOKEN, 200, another).await;
    let (events, _) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    let failed = events
        .iter()
        .find(|(name, event)| name == "tool" && event["state"] == "failed");
    assert_eq!(failed.expect("a failed call").1["reason"], "consent_declined");
    assert_eq!(agent.calls(TOKEN).await.len(), 3);
}

#[tokio::test]
async fn an_expired_request_is_told() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    agent.clock.set(Timestamp::from_secs(1_800_000_600));
    let (rest, text) = events.rest().await;
    assert!(text.contains("expired"), "{text}");
    assert_eq!(tool_states(&rest), ["failed"]);
    let failed = rest
        .iter()
        .find(|(name, _)| name == "tool")
        .expect("a tool event");
    assert_eq!(failed.1["reason"], "consent_expired");
}

#[tokio::test]
async fn a_new_message_replaces_a_waiting_turn() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut first = agent.ask("alice", "c", "list my open issues").await;
    first.until("consent").await;
    let (_, text) = agent.ask("alice", "c", "help").await.rest().await;
    assert!(text.contains("offline model"));
    let (rest, _) = first.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "replaced"),
        "{rest:?}"
    );
    let history = crate::harness::json_of(&agent.get("alice", "/conversations/c").await);
    let roles: Vec<_> = history["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| &entry["role"])
        .collect();
    assert_eq!(
        roles,
        ["user", "tool", "user", "assistant"],
        "with what was not done"
    );
}

#[tokio::test]
async fn h07_a_client_that_goes_away_ends_the_turn() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    drop(events);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let polled = agent.calls(TOKEN).await.len();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(agent.calls(TOKEN).await.len(), polled, "nobody polls for nobody");
}

#[tokio::test]
async fn h07_a_waiting_stream_has_a_heartbeat() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    let _ = tokio::time::timeout(Duration::from_secs(17), events.next()).await;
    assert!(events.raw.contains(": waiting\n\n"), "{}", events.raw);
}

#[tokio::test]
async fn a_stopping_process_does_not_wait_for_consent() {
    let agent = waiting().await;
    agent.answers("POST", TOKEN, 200, front_channel()).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    agent.drain.drain();
    let (rest, _) = events.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "restarting")
    );
}

#[tokio::test]
async fn polls_that_fail_for_a_while_do_not_end_the_wait() {
    let agent = waiting().await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    let broken = json!({ "__type": "InternalServerException", "message": "x" });
    agent.answers_times("POST", TOKEN, 500, broken, Some(4)).await;
    agent.answers("POST", TOKEN, 200, access_token("one")).await;
    let (_, text) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
}

#[tokio::test]
async fn e07_a_token_dead_at_the_vendor_leads_to_one_new_consent() {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent
        .answers_times("GET", "/api/issues", 401, json!({}), Some(1))
        .await;
    agent.answers("GET", "/api/issues", 200, issues()).await;
    // The vault's token, the same again, then the forced session and its token.
    agent
        .answers_times("POST", TOKEN, 200, access_token("dead"), Some(2))
        .await;
    agent
        .answers_times("POST", TOKEN, 200, front_channel(), Some(1))
        .await;
    agent.answers("POST", TOKEN, 200, access_token("new")).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    events.until("consent").await;
    let (_, text) = events.rest().await;
    assert!(text.contains("ALICE-1"), "{text}");
    let forced: Vec<_> = agent
        .calls(TOKEN)
        .await
        .iter()
        .map(|call| call["forceAuthentication"] == true)
        .collect();
    assert_eq!(
        forced,
        [false, false, true, false],
        "forced once, and not while polling"
    );
}

#[tokio::test]
async fn e07_a_vendor_that_refuses_every_token_is_not_asked_for_ever() {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    agent.answers("GET", "/api/issues", 401, json!({})).await;
    agent.answers("POST", TOKEN, 200, access_token("dead")).await;
    let (rest, text) = agent.ask("alice", "c", "list my open issues").await.rest().await;
    assert!(text.contains("does not accept the access"), "{text}");
    assert_eq!(tool_states(&rest), ["started", "failed"]);
    let forced = agent
        .calls(TOKEN)
        .await
        .iter()
        .filter(|call| call["forceAuthentication"] == true)
        .count();
    assert_eq!(forced, 1);
    assert!(agent.calls("/api/issues").await.len() <= 3);
}

#[tokio::test]
async fn a_consent_without_the_scope_is_told_and_not_used() {
    let agent = Agent::start().await;
    agent.grants_workload_access_token().await;
    let read_only = json!({ "accessToken": "t", "grantedScopes": ["issues:read"] });
    agent.answers("POST", TOKEN, 200, read_only).await;
    let (_, text) = agent
        .ask("alice", "c", "create issue: Printer on fire")
        .await
        .rest()
        .await;
    assert!(text.contains("does not cover issues:write"), "{text}");
    assert_eq!(
        agent.calls(TOKEN).await[0]["scopes"],
        json!(["issues:write"]),
        "its own scope alone"
    );
    assert!(agent.calls("/api/issues").await.is_empty());
}

#[tokio::test]
async fn a_stopped_person_or_agent_gets_a_plain_answer() {
    let agent = Agent::start().await;
    let denied = json!({ "__type": "AccessDeniedException", "message": "user is stopped since noon" });
    agent.answers("POST", WAT, 403, denied).await;
    let mut events = agent.ask("alice", "c", "list my open issues").await;
    let (rest, _) = events.rest().await;
    assert!(
        rest.iter()
            .any(|(name, data)| name == "error" && data["code"] == "access_denied")
    );
    assert!(!events.raw.contains("since noon"), "causes stay in the log");
}
