//! `/connections`: what a person has connected, and the way to cut it.

use e2e::{HttpBrowser, Person, System};
use reqwest::StatusCode;
use serde_json::Value;
use url::Url;

/// The address of the page of the one connection that the list shows.
async fn only_connection(system: &System, person: &Person<'_>) -> Url {
    let list = person.opens(&system.account("/connections")).await;
    assert_eq!(list.status, StatusCode::OK);
    let links: Vec<&str> = list
        .body
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(href, _)| href)
        .filter(|href| href.starts_with("/connections/") && !href.ends_with("/records"))
        .collect();
    let [link] = links[..] else {
        panic!("{links:?} in\n{}", list.body)
    };
    system.account(link)
}

#[tokio::test]
async fn a_person_sees_a_connection_and_cuts_it() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let address = only_connection(&system, &alice).await;
    let page = alice.opens(&address).await;
    for told in ["ledgerline", "dev-agent", "issues:read", "alice", "Last uses"] {
        assert!(page.body.contains(told), "{told} is not in\n{}", page.body);
    }
    assert!(
        !page.body.contains("has not used it yet"),
        "it was used:\n{}",
        page.body
    );

    let form = page.form().expect("the way to disconnect");
    assert!(form.action.path().ends_with("/disconnect"), "{}", form.action);
    let told = alice.browser.submits(&page, &[]).await;
    assert_eq!(told.status, StatusCode::OK);
    assert!(told.body.contains("is disconnected"), "{}", told.body);

    // The agent has to ask again, and no token is left for it.
    let mut events = alice.asks("list my open issues", "s2").await;
    events.until("consent").await;
}

#[tokio::test]
async fn another_person_sees_nothing_of_it_and_cannot_cut_it() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let address = only_connection(&system, &alice).await;
    let bob = Person::new(&system, "bob");
    bob.logs_in().await;
    let list = bob.opens(&system.account("/connections")).await;
    assert!(list.body.contains("Nothing is connected"), "{}", list.body);
    let unknown = bob.opens(&system.account("/connections/unknown")).await;
    let alices = bob.opens(&address).await;
    assert_eq!(
        (alices.status, unknown.status),
        (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND)
    );
    let words = |page: &e2e::http_browser::Page| page.body.contains("ledgerline");
    assert!(!words(&alices) && !words(&unknown), "{}", alices.body);

    // Alice's own form, posted by bob.
    let form = alice.opens(&address).await.form().expect("her form");
    let posted = post(&bob.browser, &form.action, &form.fields).await;
    assert!(posted.is_client_error(), "{posted}");
    let still = alice.opens(&address).await;
    assert!(
        still.form().is_some(),
        "a refusal changes nothing:\n{}",
        still.body
    );
}

#[tokio::test]
async fn a_form_without_its_token_or_from_elsewhere_is_refused() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let address = only_connection(&system, &alice).await;
    let form = alice.opens(&address).await.form().expect("the form");
    let empty = vec![("csrf_token".to_owned(), String::new())];
    assert!(post(&alice.browser, &form.action, &empty).await.is_client_error());
    let foreign = alice
        .browser
        .client()
        .post(form.action.clone())
        .header("origin", "https://elsewhere.example")
        .form(&form.fields)
        .send()
        .await
        .expect("an answer");
    assert!(foreign.status().is_client_error(), "{}", foreign.status());
    assert!(alice.opens(&address).await.form().is_some(), "nothing was cut");
}

#[tokio::test]
async fn a_person_downloads_what_is_recorded_of_them() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let page = alice.opens(&system.account("/connections/records")).await;
    let records: Value = serde_json::from_str(&page.body).expect("JSON");
    let connection = &records["connections"][0];
    assert_eq!(connection["service"], "ledgerline");
    assert_eq!(connection["grants"][0]["agent"], "dev-agent");
    assert!(
        !connection["grants"][0]["uses"]
            .as_array()
            .expect("uses")
            .is_empty(),
        "{records}"
    );
    assert!(!page.body.contains("access_token"), "{}", page.body);
}

async fn post(browser: &HttpBrowser, action: &Url, fields: &[(String, String)]) -> StatusCode {
    let origin = action.origin().ascii_serialization();
    let answer = browser
        .client()
        .post(action.clone())
        .header("origin", origin)
        .form(fields)
        .send()
        .await
        .expect("an answer");
    answer.status()
}
