//! Pages: what a stranger's link or another site's form gets.

use e2e::{HttpBrowser, Page, Person, System};
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

use super::{COMPLETE, URN, records_until, unknown_session};

#[tokio::test]
async fn links_that_were_never_valid_lead_nowhere_and_are_on_record() {
    let system = System::start();
    let browser = HttpBrowser::new();
    let authorize = |query: &str| system.account(&format!("/identities/oauth2/authorize{query}"));
    let callback = |query: &str| {
        let path = "/identities/oauth2/callback/00000000-0000-4000-8000-000000000000";
        system.account(&format!("{path}{query}"))
    };
    let start = "StartAuthorization";
    let receive = "ReceiveAuthorizationResponse";
    let rows: [(Url, &str, &str); 5] = [
        (authorize(""), start, "malformed_query"),
        (
            authorize(&format!("?request_uri={}", unknown_session())),
            start,
            "unknown_session",
        ),
        (
            authorize("?request_uri=%3Cscript%3Eguess"),
            start,
            "malformed_session_uri",
        ),
        (
            callback("?code=stolen-code&state=guess"),
            receive,
            "unknown_state",
        ),
        (callback("?code=stolen-code"), receive, "missing_state"),
    ];
    for (url, ..) in &rows {
        let page = browser.opens(url).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{url}");
        assert_eq!(page.hops.len(), 1, "{url} leads on: {:?}", page.hops);
        assert!(
            page.body.contains("This link does not work"),
            "{url}:\n{}",
            page.body
        );
        for echoed in ["stolen-code", "guess", URN] {
            assert!(!page.body.contains(echoed), "{url} repeats {echoed}");
        }
        assert!(page.headers.get("set-cookie").is_none(), "{url} sets a cookie");
    }
    let is = |record: &Value, action: &str, reason: &str| {
        record["action"] == action && record["reason"] == reason && record["outcome"] == "refused"
    };
    let all = |records: &[Value]| {
        rows.iter().all(|(_, action, reason)| {
            let count = records.iter().filter(|record| is(record, action, reason)).count();
            count == 1
        })
    };
    let records = records_until(&system, all).await;
    assert!(all(&records), "one refusal each: {records:#?}");
    let text = Value::Array(records).to_string();
    for secret in ["stolen-code", "guess", URN] {
        assert!(!text.contains(secret), "{secret} is in the audit trail");
    }
}

/// The form is alice's own, complete and fresh, and so is the cookie: only where the post comes from is wrong.
#[tokio::test]
async fn a_foreign_post_to_the_binding_page_completes_nothing() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let page = alice.starts_consent(&link).await;
    let held = alice.decides_at_ledgerline(&page, "alice", "allow").await;
    let binding = alice.opens(&held.url).await;

    let foreign = "http://attacker.example";
    let own = system.account("/").origin().ascii_serialization();
    for (origin, site) in [
        (Some(foreign), Some("cross-site")),
        (Some(foreign), None),
        (Some("null"), None),
        (None, None),
        (Some(own.as_str()), Some("same-site")),
    ] {
        let answer = posts_form(&alice, &binding, origin, site).await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{origin:?} {site:?}");
        let body = answer.text().await.expect("a page");
        let handle = held.query("session_id").expect("a handle");
        assert!(!body.contains(&handle), "{origin:?} {site:?} gets the handle");
    }
    // Of these the gateway sees by Fetch Metadata that they are foreign, and records it.
    let refused = |records: &[Value]| {
        let foreign = |record: &&Value| record["reason"] == "CrossOriginRequest";
        records.iter().filter(foreign).count()
    };
    let records = records_until(&system, |records| refused(records) == 2).await;
    assert_eq!(refused(&records), 2, "cross-site and same-site: {records:#?}");
    assert!(
        records.iter().all(|record| record["action"] != COMPLETE),
        "{records:#?}"
    );

    let confirmed = alice.browser.submits(&binding, &[]).await;
    assert_eq!(confirmed.status, StatusCode::OK, "{}", confirmed.body);
    assert!(
        !events.answer().await.is_empty(),
        "the same form from its own page still works"
    );
}

async fn posts_form(
    person: &Person<'_>,
    page: &Page,
    origin: Option<&str>,
    site: Option<&str>,
) -> reqwest::Response {
    let form = page.form().expect("the binding page has a form");
    let mut request = person.browser.client().post(form.action).form(&form.fields);
    if let Some(origin) = origin {
        request = request.header("origin", origin);
    }
    if let Some(site) = site {
        request = request
            .header("sec-fetch-site", site)
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document");
    }
    request.send().await.expect("an answer")
}
