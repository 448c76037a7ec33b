//! Another account than before, with `account_change = "confirm"` (design D12): nobody gets the new grant before its
//! person has said so, once, in the browser that started, within ten minutes; and until then the old one is as it was.

use std::time::Duration;

use countersign_api::Credentials;
use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};

use super::actors::{Person, Workload};
use super::vendor::Next;
use super::{Answer, Ask, System, assert_invalid_session, text};

const CONFIRM: &str = "/countersign/ConfirmAuthorizationSession";
const ACTION: &str = "ConfirmAuthorizationSession";

impl Person<'_> {
    /// The cookie by which the front channel knows this browser.
    fn browser(&self) -> String {
        let cookies = self.cookies.lock().expect("not poisoned");
        let found = cookies.iter().find(|(name, _)| name.contains("browser"));
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    }

    /// What the binding page does with an answer.
    async fn confirms(&self, handle: &str, decision: &str) -> Answer {
        self.confirms_as(&self.system.binding, handle, decision).await
    }

    async fn confirms_as(&self, credentials: &Credentials, handle: &str, decision: &str) -> Answer {
        let body = json!({
            "sessionUri": handle,
            "userIdentifier": {"userToken": self.token("binding")},
            "browser": self.browser(),
            "decision": decision,
        });
        self.system.call(credentials, CONFIRM, &body).await
    }
}

/// What is asked for after the first connection.
fn write() -> Ask {
    Ask {
        scopes: vec!["write"],
        ..Ask::default()
    }
}

async fn start() -> System {
    System::start_with(json!({"account_change": "confirm"})).await
}

/// The person has connected `alice` for `read`, then another account for what `ask` says; gives the session URI and the
/// completion handle of the second, which waits.
async fn asked(alice: &Person<'_>, agent: &Workload<'_>, ask: &Ask) -> (String, String) {
    let wat = agent.wat(alice).await;
    alice
        .connects(agent.asks(&wat, &Ask::default()).await.link())
        .await;
    connects_another(alice, agent, ask, "alice-at-work").await
}

async fn connects_another(
    alice: &Person<'_>,
    agent: &Workload<'_>,
    ask: &Ask,
    account: &str,
) -> (String, String) {
    let wat = agent.wat(alice).await;
    let pending = agent.asks(&wat, ask).await;
    let at_vendor = alice.starts(pending.link()).await;
    let handle = alice.agrees(&at_vendor, account).await.handle();
    let answer = alice.completes(&handle).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    (pending.session_uri().to_owned(), handle)
}

fn revoked(system: &System) -> Vec<String> {
    system.vendor.memory.lock().expect("not poisoned").revoked.clone()
}

/// Waits until the queue has revoked this token at the vendor.
async fn revokes(system: &System, token: &str) {
    for _ in 0..400 {
        if revoked(system).iter().any(|revoked| revoked == token) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{token} was not revoked: {:?}", revoked(system));
}

async fn grant_of(system: &System, account: &str) -> Value {
    let grants = system.grants().await;
    let found = grants.iter().find(|grant| grant["accountId"] == account);
    found.expect("a grant of that account").clone()
}

#[tokio::test]
async fn until_its_person_says_yes_nobody_gets_the_token_of_another_account() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (uri, handle) = asked(&alice, &agent, &write()).await;
    let record = system.last_record("CompleteResourceTokenAuth").await;
    assert_eq!(record["detail"]["awaits_confirmation"], true, "{record}");

    // The page can say what is asked, and the agent has to wait.
    let told = alice.describes(&handle).await.body;
    assert_eq!(
        (&told["state"], &told["accountId"], &told["replacedAccountId"]),
        (&"CONFIRMING".into(), &"alice-at-work".into(), &"alice".into()),
        "{told}"
    );
    let wat = agent.wat(&alice).await;
    for _ in 0..2 {
        let poll = agent.polls(&wat, &uri).await;
        assert_eq!((poll.token(), poll.session_status()), (None, "IN_PROGRESS"));
        let other = agent.asks(&wat, &write()).await;
        assert_eq!(other.token(), None, "not by another session either");
        // A reload of the first form is no answer to the second.
        assert_eq!(alice.completes(&handle).await.status, StatusCode::OK);
    }
    assert_eq!(grant_of(&system, "alice-at-work").await["state"], "UNCONFIRMED");
    let first = agent.asks(&wat, &Ask::default()).await;
    assert_eq!(first.token(), Some("access-2"), "the first account is as it was");
    assert_eq!(revoked(&system), Vec::<String>::new());

    let answer = alice.confirms(&handle, "USE").await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (StatusCode::OK, &"COMPLETED".into())
    );
    assert_eq!(agent.polls(&wat, &uri).await.token(), Some("access-4"));
    assert_eq!(agent.asks(&wat, &write()).await.token(), Some("access-4"));
    assert_eq!(
        agent.asks(&wat, &Ask::default()).await.token(),
        None,
        "one account at a time"
    );
    assert_eq!(grant_of(&system, "alice").await["reason"], "other_account");
    revokes(&system, "refresh-2").await;

    let record = system.last_record(ACTION).await;
    let detail = &record["detail"];
    assert_eq!(
        (&record["outcome"], &detail["decision"]),
        (&"done".into(), &"USE".into()),
        "{record}"
    );
    assert_eq!(detail["replaced_other_account"], 1, "{record}");
    assert_eq!(
        record["personal"]["state"], "sealed",
        "which accounts is personal: {record}"
    );
    let told = alice.describes(&handle).await.body;
    assert_eq!(
        (&told["state"], &told["replacedAccountId"]),
        (&"COMPLETED".into(), &"alice".into()),
        "{told}"
    );
}

#[tokio::test]
async fn a_no_revokes_the_new_account_and_leaves_the_old_one() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (uri, handle) = asked(&alice, &agent, &write()).await;
    let answer = alice.confirms(&handle, "KEEP").await;
    assert_eq!(
        (answer.status, &answer.body["state"]),
        (StatusCode::OK, &"DENIED".into())
    );
    revokes(&system, "refresh-4").await;
    assert_eq!(revoked(&system).len(), 1, "and nothing else");
    let wat = agent.wat(&alice).await;
    let poll = agent.polls(&wat, &uri).await;
    assert_eq!((poll.token(), poll.session_status()), (None, "FAILED"));
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), Some("access-2"));
    let gone = grant_of(&system, "alice-at-work").await;
    assert_eq!(
        (&gone["state"], &gone["reason"]),
        (&"REVOKED".into(), &"account_kept".into())
    );
    assert_eq!(system.last_record(ACTION).await["detail"]["decision"], "KEEP");
    let told = alice.describes(&handle).await.body;
    assert_eq!(
        (&told["state"], &told["reason"]),
        (&"DENIED".into(), &"account_kept".into())
    );
    // No way back.
    assert_invalid_session(&alice.confirms(&handle, "USE").await);
    system
        .assert_recorded(ACTION, "refused", "already_answered")
        .await;
    assert_eq!(agent.polls(&wat, &uri).await.token(), None);
}

#[tokio::test]
async fn a_question_that_nobody_answers_ends_after_ten_minutes() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (uri, handle) = asked(&alice, &agent, &write()).await;
    system.clock.advance(Duration::from_secs(599));
    assert_eq!(alice.describes(&handle).await.body["state"], "CONFIRMING");
    system.clock.advance(Duration::from_secs(1));
    assert_invalid_session(&alice.confirms(&handle, "USE").await);
    system.assert_recorded(ACTION, "refused", "expired").await;
    revokes(&system, "refresh-4").await;
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.polls(&wat, &uri).await.session_status(), "FAILED");
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), Some("access-2"));
    assert_eq!(alice.describes(&handle).await.body["reason"], "not_confirmed");
    assert_eq!(revoked(&system), ["refresh-4"]);

    // Nor one whose page was closed: nobody came back at all.
    let (_, second) = connects_another(&alice, &agent, &write(), "alice-elsewhere").await;
    system.clock.advance(Duration::from_mins(10));
    revokes(&system, "refresh-6").await;
    system.assert_recorded("EndGrant", "done", "not_confirmed").await;
    assert_eq!(alice.describes(&second).await.body["state"], "EXPIRED");
    assert_eq!(grant_of(&system, "alice").await["state"], "ACTIVE");
}

#[tokio::test]
async fn only_its_person_in_its_browser_and_login_answers() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (uri, handle) = asked(&alice, &agent, &write()).await;
    let refused = async |answer: Answer, reason: &str| {
        assert_invalid_session(&answer);
        system.assert_recorded(ACTION, "refused", reason).await;
        assert_eq!(
            alice.describes(&handle).await.body["state"],
            "CONFIRMING",
            "{reason}"
        );
        assert_eq!(
            grant_of(&system, "alice-at-work").await["state"],
            "UNCONFIRMED",
            "{reason}"
        );
    };
    // The agent's principal: not with the right handle, person and browser either.
    let answer = alice.confirms_as(&system.agent, &handle, "USE").await;
    assert_eq!(
        (answer.status, answer.error().0),
        (StatusCode::FORBIDDEN, "AccessDeniedException")
    );
    system.assert_recorded(ACTION, "refused", "not_authorized").await;
    // Another browser of the same person, and the same browser after another login.
    let elsewhere = system.person("alice");
    elsewhere.cookies.lock().expect("not poisoned").insert(
        "countersign-browser".to_owned(),
        "YW5vdGhlciBicm93c2Vy".to_owned(),
    );
    refused(elsewhere.confirms(&handle, "USE").await, "other_browser").await;
    let mut anew = system.person("alice");
    anew.cookies = std::sync::Mutex::new(alice.cookies.lock().expect("not poisoned").clone());
    anew.sid = "sid-later".to_owned();
    refused(anew.confirms(&handle, "USE").await, "other_browser_session").await;
    // What polls does not answer, and a token for another door is nobody's.
    refused(alice.confirms(&uri, "USE").await, "unknown_session").await;
    let mut body = json!({
        "sessionUri": handle, "userIdentifier": {"userToken": alice.token("agent")},
        "browser": alice.browser(), "decision": "USE",
    });
    let answer = system.call(&system.binding, CONFIRM, &body).await;
    assert_invalid_session(&answer);
    // Bad input is told as it is.
    for (member, value) in [
        ("decision", json!("MAYBE")),
        ("decision", Value::Null),
        ("browser", json!("")),
        ("sessionUri", json!("x")),
    ] {
        let before = body[member].take();
        body[member] = value;
        let answer = system.call(&system.binding, CONFIRM, &body).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{member}: {answer:?}");
        body[member] = before;
    }
    assert_eq!(alice.describes(&handle).await.body["state"], "CONFIRMING");

    // Somebody else where the question stands: it is over, and the token is given back.
    let mut mallory = system.person("mallory");
    mallory.cookies = std::sync::Mutex::new(alice.cookies.lock().expect("not poisoned").clone());
    assert_invalid_session(&mallory.confirms(&handle, "USE").await);
    system.assert_recorded(ACTION, "refused", "wrong_person").await;
    assert_eq!(alice.describes(&handle).await.body["state"], "REJECTED");
    revokes(&system, "refresh-4").await;
    assert_invalid_session(&alice.confirms(&handle, "USE").await);
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.polls(&wat, &uri).await.session_status(), "FAILED");
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), Some("access-2"));
}

#[tokio::test]
async fn there_is_one_answer_and_only_to_a_question() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let pending = agent.asks(&wat, &Ask::default()).await;
    let first = alice.consents(pending.link()).await;
    for reason in ["not_confirming", "already_answered"] {
        assert_invalid_session(&alice.confirms(&first, "USE").await);
        system.assert_recorded(ACTION, "refused", reason).await;
        assert_eq!(alice.completes(&first).await.status, StatusCode::OK);
    }
    // The same account again, for more: there is nothing to ask.
    let (uri, _) = connects_another(&alice, &agent, &write(), "alice").await;
    assert_eq!(agent.polls(&wat, &uri).await.token(), Some("access-4"));

    let third = Ask {
        scopes: vec!["delete"],
        ..Ask::default()
    };
    let (uri, handle) = connects_another(&alice, &agent, &third, "alice-at-work").await;
    let answers = join_all((0..12).map(|n| alice.confirms(&handle, if n % 2 == 0 { "USE" } else { "KEEP" })));
    let done: Vec<Answer> = answers
        .await
        .into_iter()
        .filter(|answer| answer.status == StatusCode::OK)
        .collect();
    assert_eq!(done.len(), 1, "{done:?}");
    let used = done[0].body["state"] == "COMPLETED";
    assert_eq!(agent.polls(&wat, &uri).await.token().is_some(), used);
    let first_stays = agent.asks(&wat, &Ask::default()).await.token().is_some();
    assert_eq!(first_stays, !used);
}

#[tokio::test]
async fn a_stop_holds_for_the_answer_too() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (_, handle) = asked(&alice, &agent, &write()).await;
    for (kind, subject, reason) in [
        ("user", alice.published_id(), "user_stopped"),
        ("workload", "agent".to_owned(), "workload_stopped"),
        ("provider", "vendor".to_owned(), "provider_stopped"),
        ("account", "000000000000".to_owned(), "account_stopped"),
    ] {
        system.stop(kind, &subject).await;
        let answer = alice.confirms(&handle, "USE").await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{kind}: {answer:?}");
        system.assert_recorded(ACTION, "refused", reason).await;
        let again = json!({"subjectKind": kind, "subject": subject});
        system.admin("Start", again).await;
    }
    assert_eq!(alice.confirms(&handle, "USE").await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_ends_the_grant_or_changes_the_connection_ends_the_question() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (_, handle) = asked(&alice, &agent, &write()).await;
    // The operator.
    let id = text(&grant_of(&system, "alice-at-work").await["grantId"]).to_owned();
    system.admin("RevokeGrant", json!({"grantId": id})).await;
    assert_invalid_session(&alice.confirms(&handle, "USE").await);
    system.assert_recorded(ACTION, "refused", "already_failed").await;

    // The person, by another request: what the page says is no longer so. Both are of one account, and a vendor that is
    // told to withdraw the first would withdraw the second with it.
    let (_, older) = connects_another(&alice, &agent, &write(), "alice-elsewhere").await;
    let (uri, newer) = connects_another(&alice, &agent, &write(), "alice-elsewhere").await;
    assert_eq!(alice.describes(&older).await.body["state"], "SUPERSEDED");
    assert_invalid_session(&alice.confirms(&older, "USE").await);
    system.assert_recorded(ACTION, "refused", "superseded").await;
    assert_eq!(alice.confirms(&newer, "USE").await.status, StatusCode::OK);
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.polls(&wat, &uri).await.token(), Some("access-8"));
    revokes(&system, "refresh-2").await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert!(
        !revoked(&system).contains(&"refresh-6".to_owned()),
        "{:?}",
        revoked(&system)
    );
}

#[tokio::test]
async fn a_question_outlives_the_process_and_its_grant_a_change_of_mind_of_the_operator() {
    let system = start().await;
    let (uri, handle, cookies) = {
        let (alice, agent) = (system.person("alice"), system.workload("agent"));
        let (uri, handle) = asked(&alice, &agent, &write()).await;
        let cookies = alice.cookies.lock().expect("not poisoned").clone();
        (uri, handle, cookies)
    };
    let system = system
        .restarted_with(|config| config.account_change = countersign_identity::AccountChange::Replace)
        .await;
    let (mut alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.cookies = std::sync::Mutex::new(cookies);
    let wat = agent.wat(&alice).await;
    assert_eq!(agent.polls(&wat, &uri).await.session_status(), "IN_PROGRESS");
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), Some("access-2"));
    assert_eq!(alice.confirms(&handle, "USE").await.status, StatusCode::OK);
    assert_eq!(agent.polls(&wat, &uri).await.token(), Some("access-4"));
}

#[tokio::test]
async fn the_persons_page_shows_no_connection_that_is_not_confirmed() {
    let system = start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let (_, handle) = asked(&alice, &agent, &write()).await;
    let page = alice.opens("/connections").await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(!page.body.contains("alice-at-work"), "{}", page.body);
    assert_eq!(alice.confirms(&handle, "KEEP").await.status, StatusCode::OK);
    let page = alice.opens("/connections").await;
    assert!(
        page.body.contains("alice-at-work"),
        "as one that has ended: {}",
        page.body
    );
}

#[tokio::test]
async fn of_two_accounts_that_are_connected_at_once_one_stays() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let mut handles = Vec::new();
    for (ask, account) in [(Ask::default(), "alice"), (write(), "alice-at-work")] {
        let at_vendor = alice.starts(agent.asks(&wat, &ask).await.link()).await;
        handles.push(alice.agrees(&at_vendor, account).await.handle());
    }
    system.vendor.will(Next::Slow(Duration::from_millis(400)));
    let (first, second) = tokio::join!(alice.completes(&handles[0]), alice.completes(&handles[1]));
    assert_eq!((first.status, second.status), (StatusCode::OK, StatusCode::OK));
    let grants = system.grants().await;
    let live = grants.iter().filter(|grant| grant["state"] == "ACTIVE");
    assert_eq!(live.count(), 1, "{grants:?}");
}
