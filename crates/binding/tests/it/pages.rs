//! What a person sees.

use http::StatusCode;
use serde_json::json;

use crate::harness::{Binding, COMPLETE, DESCRIBE, HANDLE, denied, fields, session, text};

#[tokio::test]
async fn the_question_names_person_agent_service_and_permissions() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    let page = text(&binding.show("alice", HANDLE).await);
    for expected in [
        "alice",
        "dev-agent",
        "ledgerline",
        "Read your issues <span class=\"chip\">issues:read</span>",
        "id=\"confirm-binding\"",
    ] {
        assert!(page.contains(expected), "{expected}");
    }
    assert!(!page.contains("<script"), "the person presses the button");
    let call = &binding.calls(DESCRIBE).await[0];
    assert_eq!(call["sessionUri"], HANDLE);
    assert!(call["userIdentifier"]["userToken"].is_string());
}

#[tokio::test]
async fn a_person_bound_start_is_confirmed_by_our_own_script() {
    let binding = Binding::start().await;
    let mut bound = session("CODE_HELD");
    bound["personBound"] = true.into();
    binding.identity_answers(DESCRIBE, 200, bound).await;
    let answer = binding.show("alice", HANDLE).await;
    let page = text(&answer);
    assert!(page.contains("data-auto-submit") && page.contains("<script"));
    assert!(
        page.contains("id=\"confirm-binding\""),
        "works without JavaScript, too"
    );
    let policy = answer.headers["content-security-policy"].to_str().expect("text");
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
}

#[tokio::test]
async fn success_tells_which_account_was_connected() {
    let binding = Binding::start().await;
    let mut done = session("COMPLETED");
    done["scopes"] = json!(["issues:read", "issues:write"]);
    done["grantedScopes"] = json!(["issues:read"]);
    done["accountId"] = "LU-1001".into();
    done["accountName"] = "alice@ledgerline <b>".into();
    binding.identity_answers(COMPLETE, 200, json!({})).await;
    let form = {
        let _first = wiremock::Mock::given(wiremock::matchers::path(DESCRIBE))
            .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(session("CODE_HELD")))
            .mount_as_scoped(&binding.identity)
            .await;
        fields(&text(&binding.show("alice", HANDLE).await))
    };
    binding.identity_answers(DESCRIBE, 200, done).await;
    let answer = binding.submit("alice", &form).await;
    assert_eq!(answer.status, StatusCode::OK);
    let page = text(&answer);
    assert!(page.contains("ledgerline is connected"));
    assert!(
        page.contains("Read your issues") && !page.contains("issues:write"),
        "what was given, not what was asked for"
    );
    assert!(
        page.contains("LU-1001") && page.contains("alice@ledgerline &#60;b&#62;"),
        "{page}"
    );
    assert!(page.contains("href=\"http://localhost:8400\""), "back to the app");
    let call = &binding.calls(COMPLETE).await[0];
    assert_eq!(call["sessionUri"], HANDLE);
    assert!(
        call["userIdentifier"].get("userId").is_none(),
        "no user id is ever named"
    );
}

#[tokio::test]
async fn an_account_that_takes_anothers_place_is_pointed_out() {
    let binding = Binding::start().await;
    let mut done = session("COMPLETED");
    done["accountName"] = "alice-at-work".into();
    done["replacedAccountId"] = "LU-1001".into();
    done["replacedAccountName"] = "alice".into();
    binding.identity_answers(DESCRIBE, 200, done).await;
    let page = text(&binding.show("alice", HANDLE).await);
    for told in [
        "In the place of",
        "alice (LU-1001)",
        "That connection has ended",
        "href=\"/connections\"",
    ] {
        assert!(page.contains(told), "{told} is not in\n{page}");
    }
}

#[tokio::test]
async fn each_end_has_its_own_page() {
    for (state, status, words) in [
        ("CREATED", StatusCode::CONFLICT, "Not finished yet"),
        ("STARTED", StatusCode::CONFLICT, "Not finished yet"),
        ("COMPLETED", StatusCode::OK, "is connected"),
        ("DENIED", StatusCode::OK, "You declined"),
        ("FAILED", StatusCode::BAD_GATEWAY, "did not give access"),
        ("EXPIRED", StatusCode::GONE, "ten minutes"),
        ("REJECTED", StatusCode::FORBIDDEN, "somebody else"),
        ("SUPERSEDED", StatusCode::GONE, "newer request"),
    ] {
        let binding = Binding::start().await;
        let mut ended = session(state);
        if state == "FAILED" {
            ended["error"] = "invalid_grant".into();
        }
        binding.identity_answers(DESCRIBE, 200, ended).await;
        let answer = binding.show("alice", HANDLE).await;
        assert_eq!(answer.status, status, "{state}");
        let page = text(&answer);
        assert!(page.contains(words), "{state}: {page}");
        assert!(fields(&page).is_empty(), "{state}");
        assert_eq!(page.contains("invalid_grant"), state == "FAILED");
    }
}

#[tokio::test]
async fn a_refused_completion_is_explained_to_its_own_person() {
    let binding = Binding::start().await;
    binding
        .identity_answers(DESCRIBE, 200, session("CODE_HELD"))
        .await;
    binding.identity_answers(COMPLETE, 403, denied()).await;
    let form = fields(&text(&binding.show("alice", HANDLE).await));
    // Refused although the code is still there: another login of the same person.
    let answer = binding.submit("alice", &form).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert!(text(&answer).contains("signed in anew"));
}

#[tokio::test]
async fn a_silent_identity_service_is_no_refusal() {
    let binding = Binding::start().await;
    binding
        .identity_answers(
            DESCRIBE,
            500,
            json!({ "__type": "InternalServerException", "message": "secret detail" }),
        )
        .await;
    let answer = binding.show("alice", HANDLE).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!text(&answer).contains("secret detail"));
}
