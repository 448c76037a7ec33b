//! `/connections`: agreeing anew, and what a person's records tell.

use std::time::Duration;

use axum::body::Body;
use http::header::ORIGIN;
use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::vendor::Next;
use super::{Ask, FRONT, Page, Person, System};

/// The address of the one connection that the list shows.
async fn only_connection(person: &Person<'_>) -> String {
    let list = person.opens("/connections").await.body;
    let links: Vec<&str> = list
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'))
        .map(|(href, _)| href)
        .filter(|href| href.starts_with("/connections/") && !href.ends_with("/records"))
        .collect();
    let [link] = links[..] else {
        panic!("{links:?} in {list}")
    };
    link.to_owned()
}

/// Presses the button of the page that leads to agreeing anew, with this form token.
async fn reconnects(person: &Person<'_>, address: &str, page: &Page, csrf_token: &str) -> Page {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("grant", &page.hidden("grant"))
        .append_pair("csrf_token", csrf_token)
        .finish();
    let request = person
        .request(Method::POST, &format!("{address}/reconnect"))
        .header("x-countersign-user-token", person.token("identity"))
        .header(ORIGIN, FRONT)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from(form))
        .expect("a request");
    person.send(request).await
}

#[tokio::test]
async fn a_dead_connection_is_made_again_by_its_person_alone() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    system.vendor.will(Next::Tokens { expires_in: 120 });
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let wat = agent.wat(&alice).await;
    let address = only_connection(&alice).await;
    let well = alice.opens(&address).await;
    assert!(!well.body.contains("/reconnect"), "nothing to do: {}", well.body);

    system.clock.advance(Duration::from_secs(121));
    system.vendor.will(Next::Error("invalid_grant"));
    assert_eq!(agent.asks(&wat, &Ask::default()).await.token(), None);
    let page = alice.opens(&address).await;
    assert!(page.body.contains("Connect vendor again"), "{}", page.body);
    let token = page.hidden("csrf_token");

    // Neither another person with her form, nor her own browser without it.
    let bob = system.person("bob");
    bob.opens("/connections").await;
    let refused = reconnects(&bob, &address, &page, &token).await;
    assert!(refused.status.is_client_error(), "{refused:?}");
    for bad in ["", "x", &format!("{token}x")] {
        let refused = reconnects(&alice, &address, &page, bad).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{bad}: {refused:?}");
    }

    let on = reconnects(&alice, &address, &page, &token).await;
    assert_eq!(on.status, StatusCode::SEE_OTHER, "{on:?}");
    system.vendor.will(Next::Tokens { expires_in: 3600 });
    alice.connects(on.location()).await;
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
}

#[tokio::test]
async fn a_scope_that_was_declined_is_allowed_later_without_disconnecting() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let wat = agent.wat(&alice).await;
    let both = Ask {
        scopes: vec!["read", "write"],
        ..Ask::default()
    };
    let pending = agent.asks(&wat, &both).await;
    system.vendor.will(Next::Granted("read"));
    alice.connects(pending.link()).await;
    let address = only_connection(&alice).await;
    let page = alice.opens(&address).await;
    assert!(page.body.contains("Allow this too"), "{}", page.body);
    let on = reconnects(&alice, &address, &page, &page.hidden("csrf_token")).await;
    system.vendor.will(Next::Tokens { expires_in: 3600 });
    alice.connects(on.location()).await;
    let answer = agent.asks(&wat, &both).await;
    assert_eq!(
        answer.body["grantedScopes"],
        json!(["read", "write"]),
        "{answer:?}"
    );
}

#[tokio::test]
async fn records_tell_of_consents_that_a_newer_one_replaced() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    alice.connects(agent.asks_for_token(&alice).await.link()).await;
    let wat = agent.wat(&alice).await;
    assert!(agent.asks(&wat, &Ask::default()).await.token().is_some());
    let again = Ask {
        force: true,
        ..Ask::default()
    };
    alice.connects(agent.asks(&wat, &again).await.link()).await;
    system.clock.advance(Duration::from_hours(24 * 31));
    let records = alice.opens("/connections/records").await;
    let records: Value = serde_json::from_str(&records.body).expect("JSON");
    let grants = records["connections"][0]["grants"].as_array().expect("grants");
    let replaced = grants
        .iter()
        .find(|grant| grant["reason"] == "newer_consent")
        .unwrap_or_else(|| panic!("the first consent: {records}"));
    assert_eq!(replaced["uses"].as_array().map(Vec::len), Some(1), "{records}");
    assert_eq!(
        (&records["truncated"], &replaced["truncated"]),
        (&json!(false), &json!(false))
    );
    let page = alice.opens(&only_connection(&alice).await).await;
    assert_eq!(page.body.matches("You agreed").count(), 1, "the page shows one");
}

#[tokio::test]
async fn the_start_page_tells_what_the_agent_may_do_already() {
    let system = System::start().await;
    let (alice, agent) = (system.person("alice"), system.workload("agent"));
    let first = agent.asks_for_token(&alice).await;
    let page = alice.opens(first.link()).await;
    assert!(!page.body.contains("You let it already"), "{}", page.body);
    alice.connects(first.link()).await;
    let wat = agent.wat(&alice).await;
    let more = Ask {
        scopes: vec!["write"],
        ..Ask::default()
    };
    let page = alice.opens(agent.asks(&wat, &more).await.link()).await;
    let (wanted, held) = page.body.split_once("You let it already").expect("what is held");
    assert!(wanted.contains("write") && held.contains("read"), "{}", page.body);
}
