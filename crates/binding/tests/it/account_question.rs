//! Another account than before: the question which one stays, and who may answer it how.

use std::collections::BTreeMap;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::{
    ACCOUNT_ORIGIN, BROWSER_COOKIE, Binding, COMPLETE, CONFIRM, DESCRIBE, HANDLE, PATH, denied, encode,
    fields, session, text,
};

fn asked() -> Value {
    let mut asked = session("CONFIRMING");
    asked["accountId"] = "LU-1002".into();
    asked["accountName"] = "bob <b>".into();
    asked["replacedAccountId"] = "LU-1001".into();
    asked["replacedAccountName"] = "alice".into();
    // The start of the other form was bound to the person: this one is never posted by script all the same.
    asked["personBound"] = true.into();
    asked
}

/// The fields of the first form.
async fn first_form(binding: &Binding) -> BTreeMap<String, String> {
    let _first = wiremock::Mock::given(wiremock::matchers::path(DESCRIBE))
        .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(session("CODE_HELD")))
        .mount_as_scoped(&binding.identity)
        .await;
    fields(&text(&binding.show("alice", HANDLE).await))
}

/// The second form with an answer, as its button sends it.
async fn answer(binding: &Binding, subject: &str, decision: &str) -> BTreeMap<String, String> {
    let mut form = fields(&text(&binding.show(subject, HANDLE).await));
    form.insert("decision".to_owned(), decision.to_owned());
    form
}

async fn send(binding: &Binding, form: &BTreeMap<String, String>) -> countersign_outbound::Response {
    let headers = [
        ("origin", ACCOUNT_ORIGIN),
        ("sec-fetch-site", "same-origin"),
        ("cookie", BROWSER_COOKIE),
    ];
    binding
        .send("alice", Method::POST, PATH, &headers, &encode(form))
        .await
}

#[tokio::test]
async fn it_names_both_accounts_and_waits_for_the_person() {
    let binding = Binding::start().await;
    let first = first_form(&binding).await;
    binding.identity_answers(DESCRIBE, 200, asked()).await;
    binding.identity_answers(COMPLETE, 200, json!({})).await;
    let page = text(&binding.show("alice", HANDLE).await);
    for expected in [
        "Which ledgerline account?",
        "Which one should dev-agent use?",
        "<dt>Before</dt><dd>alice (LU-1001)</dd>",
        "<dt>Just now</dt><dd>bob &#60;b&#62; (LU-1002)</dd>",
        "(LU-1002) takes the place of alice (LU-1001)",
        "alice (LU-1001) stays connected",
        ">Use this account<",
        ">Keep the other one<",
        "within 10 minutes",
        "issues:read",
        "id=\"use-account\" name=\"decision\" value=\"use\"",
        "id=\"keep-account\" name=\"decision\" value=\"keep\"",
    ] {
        assert!(page.contains(expected), "{expected} is not in\n{page}");
    }
    assert!(
        !page.contains("<script") && !page.contains("data-auto-submit"),
        "no script answers it"
    );

    // The first form's answer is the same page, and a reload of it again.
    for _ in 0..2 {
        let asks = binding.submit("alice", &first).await;
        assert_eq!(asks.status, StatusCode::OK);
        assert!(text(&asks).contains("Which ledgerline account?"));
    }
    assert_eq!(binding.calls(CONFIRM).await.len(), 0);
}

#[tokio::test]
async fn it_is_answered_without_script_and_the_answer_is_shown() {
    for (button, decision, state, reason, words) in [
        ("use", "USE", "COMPLETED", None, "ledgerline is connected"),
        ("keep", "KEEP", "DENIED", Some("account_kept"), "stays as it was"),
    ] {
        let binding = Binding::start().await;
        let form = {
            let _asked = wiremock::Mock::given(wiremock::matchers::path(DESCRIBE))
                .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(asked()))
                .mount_as_scoped(&binding.identity)
                .await;
            answer(&binding, "alice", button).await
        };
        let mut done = asked();
        done["state"] = state.into();
        if let Some(reason) = reason {
            done["reason"] = reason.into();
        }
        binding.identity_answers(DESCRIBE, 200, done).await;
        binding
            .identity_answers(CONFIRM, 200, json!({ "state": state }))
            .await;
        let page = send(&binding, &form).await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(text(&page).contains(words), "{}", text(&page));
        let calls = binding.calls(CONFIRM).await;
        assert_eq!(calls.len(), 1);
        assert_eq!(
            (
                &calls[0]["decision"],
                &calls[0]["sessionUri"],
                &calls[0]["browser"]
            ),
            (&decision.into(), &HANDLE.into(), &"Yg".into())
        );
        assert!(calls[0]["userIdentifier"]["userToken"].is_string());
        assert_eq!(binding.calls(COMPLETE).await.len(), 0);
    }
}

#[tokio::test]
async fn a_second_press_is_told_how_the_first_ended() {
    let binding = Binding::start().await;
    let form = {
        let _asked = wiremock::Mock::given(wiremock::matchers::path(DESCRIBE))
            .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(asked()))
            .mount_as_scoped(&binding.identity)
            .await;
        answer(&binding, "alice", "keep").await
    };
    binding.identity_answers(CONFIRM, 403, denied()).await;
    for (state, reason, words) in [
        ("COMPLETED", None, "is connected"),
        ("DENIED", Some("account_kept"), "stays as it was"),
        (
            "EXPIRED",
            Some("not_confirmed"),
            "so what was connected before stays as it was",
        ),
        ("FAILED", Some("grant_ended"), "ended before you answered"),
        ("SUPERSEDED", None, "newer request"),
        ("CONFIRMING", None, "Not answered"),
    ] {
        let mut stands = asked();
        stands["state"] = state.into();
        if let Some(reason) = reason {
            stands["reason"] = reason.into();
        }
        let _stands = wiremock::Mock::given(wiremock::matchers::path(DESCRIBE))
            .respond_with(wiremock::ResponseTemplate::new(200).set_body_json(stands))
            .mount_as_scoped(&binding.identity)
            .await;
        let page = text(&send(&binding, &form).await);
        assert!(page.contains(words), "{state}: {page}");
    }
}

#[tokio::test]
async fn a05_only_the_second_form_of_this_person_answers_it() {
    let binding = Binding::start().await;
    let first = first_form(&binding).await;
    binding.identity_answers(DESCRIBE, 200, asked()).await;
    binding
        .identity_answers(CONFIRM, 200, json!({ "state": "COMPLETED" }))
        .await;
    binding.identity_answers(COMPLETE, 200, json!({})).await;
    let form = answer(&binding, "alice", "use").await;
    let status = async |form: &BTreeMap<String, String>| send(&binding, form).await.status;

    // The first form's token does not answer, nor does the second's complete.
    let mut forged = first.clone();
    forged.insert("decision".to_owned(), "use".to_owned());
    assert_eq!(status(&forged).await, StatusCode::FORBIDDEN);
    let mut bare = form.clone();
    bare.remove("decision");
    assert_eq!(status(&bare).await, StatusCode::FORBIDDEN);
    // Of another person, from elsewhere, by script, with another word, for another session, too late.
    assert_eq!(
        binding.submit("mallory", &form).await.status,
        StatusCode::FORBIDDEN
    );
    for headers in [
        [("origin", "http://localhost:8400"), ("cookie", BROWSER_COOKIE)],
        [("origin", ACCOUNT_ORIGIN), ("sec-fetch-site", "cross-site")],
        [("origin", ACCOUNT_ORIGIN), ("sec-fetch-mode", "cors")],
    ] {
        let answer = binding
            .send("alice", Method::POST, PATH, &headers, &encode(&form))
            .await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{headers:?}");
    }
    let mut maybe = form.clone();
    maybe.insert("decision".to_owned(), "maybe".to_owned());
    assert_eq!(status(&maybe).await, StatusCode::BAD_REQUEST);
    let mut other = form.clone();
    other.insert("session_id".to_owned(), format!("{HANDLE}X"));
    assert_eq!(status(&other).await, StatusCode::FORBIDDEN);
    assert_eq!(binding.calls(CONFIRM).await.len(), 0);
    assert_eq!(binding.calls(COMPLETE).await.len(), 0);

    // Without the cookie it is another browser: the identity service is told so, and refuses.
    assert_eq!(binding.submit("alice", &form).await.status, StatusCode::FORBIDDEN);
    assert_eq!(binding.calls(CONFIRM).await[0]["browser"], "-");
    // And the real one, to show that the above could have.
    send(&binding, &form).await;
    assert_eq!(binding.calls(CONFIRM).await[1]["browser"], "Yg");
    binding.clock.advance(std::time::Duration::from_hours(1));
    assert_eq!(status(&form).await, StatusCode::FORBIDDEN);
    assert_eq!(binding.calls(CONFIRM).await.len(), 2);
}

#[tokio::test]
async fn a_completion_that_cannot_be_read_again_is_not_called_connected() {
    let binding = Binding::start().await;
    let form = first_form(&binding).await;
    binding.identity_answers(COMPLETE, 200, json!({})).await;
    let failure = json!({ "__type": "InternalServerException", "message": "x" });
    binding.identity_answers(DESCRIBE, 500, failure).await;
    let page = binding.submit("alice", &form).await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!text(&page).contains("onnected"), "{}", text(&page));
}
