//! The whole flow in headless Chromium: at the playground, and with npm `oidc-provider` on both ends.

mod accessibility;
mod account_change;
mod agent;
mod keyboard;
mod people;
mod without_javascript;

use e2e::{
    Person, System,
    chromium::Chromium,
    hostile_page::HostilePage,
    oidc_provider::{Client, OidcProvider, free_port},
    person::PASSWORD,
    python,
};
use reqwest::cookie::CookieStore as _;
use serde_json::Value;
use thirtyfour::{By, Cookie};
use url::Url;

async fn enters(browser: &Chromium, user: &str) {
    browser.types("input[name=username]", user).await;
    browser.types("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
}

async fn says(browser: &Chromium, message: &str) {
    browser.types("#message", message).await;
    browser.click("#send").await;
}

/// The address in the consent card that is open now.
async fn card_link(browser: &Chromium) -> String {
    let link = browser.find("[data-testid=consent-link]").await;
    link.attr("href").await.expect("a link").expect("with a target")
}

/// Logs in at `oidc-provider` and agrees: its development pages ask for both.
async fn agrees_at_oidc_provider(browser: &Chromium, user: &str) {
    browser.types("input[name=login]", user).await;
    browser.types("input[name=password]", "anything").await;
    browser
        .click("input[name=prompt][value=login] ~ button[type=submit]")
        .await;
    browser
        .click("input[name=prompt][value=consent] ~ button[type=submit]")
        .await;
}

/// Puts a person's cookies of our origins into Chromium: the same session in the same browser.
async fn takes_over(browser: &Chromium, person: &Person<'_>, system: &System) {
    let account = system.account("/logged-out");
    browser
        .driver
        .goto(account.as_str())
        .await
        .expect("a page of the host");
    let header = person.browser.jar.cookies(&account).expect("cookies");
    for pair in header.to_str().expect("text").split("; ") {
        let (name, value) = pair.split_once('=').expect("name=value");
        let mut cookie = Cookie::new(name, value);
        cookie.set_http_only(person.browser.jar.is_http_only(name));
        browser.driver.add_cookie(cookie).await.expect("a cookie");
    }
}

/// Waits until the browser is there.
async fn returned_to(browser: &Chromium, url: &str) -> Url {
    for _ in 0..300 {
        let here = browser.driver.current_url().await.expect("a URL");
        if here.as_str().starts_with(url) {
            return here;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the browser did not return to {url}:\n{}", browser.text().await)
}

/// Runs the boto3 program and reads the JSON that it prints.
fn custom_provider(system: &System, arguments: &[&str]) -> Value {
    serde_json::from_str(&python::run(system, "custom_provider.py", arguments)).expect("JSON")
}

/// How many requests Ledgerline's token endpoint has had.
async fn token_requests(system: &System) -> Value {
    let answer = reqwest::get(system.ledgerline("/playground/token-requests"))
        .await
        .expect("it answers");
    let mut answer: Value = answer.json().await.expect("JSON");
    answer["total"].take()
}

/// Runs a script of an attacker's in the page and gives what each of its attempts came to.
async fn attempts(browser: &Chromium, script: &str, arguments: Vec<Value>) -> Value {
    let script = [include_str!("attempts.js"), script, "\nfinish();"].concat();
    browser
        .driver
        .execute_async(script, arguments)
        .await
        .expect("the script ends")
        .json()
        .clone()
}

/// The text of every window that the page has opened.
async fn popups(browser: &Chromium) -> String {
    let own = browser.driver.window().await.expect("a window");
    let mut shown = String::new();
    for window in browser.driver.windows().await.expect("windows") {
        if window != own {
            browser.driver.switch_to_window(window).await.expect("the popup");
            shown.push_str(&browser.text().await);
            shown.push('\n');
        }
    }
    browser.driver.switch_to_window(own).await.expect("the page");
    shown
}

#[tokio::test]
async fn alice_logs_in_consents_and_sees_her_issues() {
    let system = System::start();
    let browser = Chromium::open(true).await;
    browser
        .driver
        .set_window_rect(0, 0, 1000, 760)
        .await
        .expect("a window of this size");
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    enters(&browser, "alice").await;
    browser.find("#message").await;
    says(&browser, "list my open issues").await;
    let link = browser.find("[data-testid=consent-link]").await;

    // The card opens a tab of its own; the conversation stays.
    let chat = browser.driver.window().await.expect("a window");
    let url = link.attr("href").await.expect("a link").expect("with a target");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    browser.driver.goto(&url).await.expect("the start page opens");
    browser.shows("Connect ledgerline?").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.find("input[name=password]").await;
    enters(&browser, "alice").await;
    browser.find("button[name=decision][value=allow]").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.shows("is connected").await;

    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("ALICE-1").await;
    let answer = browser
        .find("[data-testid=answer]")
        .await
        .text()
        .await
        .expect("text");
    assert!(answer.contains("ALICE-2"), "{answer}");
    says(&browser, "list my open issues").await;
    browser.counts("[data-testid=answer]", 2).await;
    let cards = browser
        .driver
        .find_all(By::Css("[data-testid=consent-link]"))
        .await
        .expect("a list");
    assert_eq!(cards.len(), 0, "the second question shows no new card");

    // What is connected, from the chat's own link; cut there, and asked for again.
    let link = browser.find("a[href$='/connections']").await;
    link.click().await.expect("a click");
    browser.shows("Connected accounts").await;
    browser.click("a[href^='/connections/']:not([download])").await;
    browser.find("#disconnect").await;
    narrow(&browser).await;
    browser.click("#disconnect").await;
    browser.shows("is disconnected").await;
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    browser.find("#message").await;
    says(&browser, "list my open issues").await;
    browser.find("[data-testid=consent-link]").await;
}

/// As wide as a phone; nothing may have to be scrolled sideways.
async fn narrow(browser: &Chromium) {
    browser
        .driver
        .set_window_rect(0, 0, 390, 800)
        .await
        .expect("a window of this size");
    let overflow = browser
        .driver
        .execute(
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth",
            vec![],
        )
        .await
        .expect("a number");
    assert_eq!(
        overflow.json().as_i64(),
        Some(0),
        "the page is wider than a phone"
    );
}

#[tokio::test]
async fn oidc_provider_is_the_login_and_the_third_party_service() {
    let port = free_port();
    let base = e2e::system::free_port_base();
    let redirect = format!("http://localhost:{}/oauth2/idpresponse", base + 7);
    let login = [redirect];
    let provider = OidcProvider::start(
        port,
        &[Client {
            id: "gateway",
            secret: "gateway-secret",
            redirect_uris: &login,
        }],
    );
    let system = System::start_with(e2e::system::Options {
        port_base: Some(base),
        arguments: [
            "--idp",
            &provider.issuer,
            "--idp-client-id",
            "gateway",
            "--idp-client-secret",
            "gateway-secret",
        ]
        .map(str::to_owned)
        .to_vec(),
        ..Default::default()
    });
    let callback = python::run(
        &system,
        "custom_provider.py",
        &[
            "register",
            "other",
            &provider.discovery_url(),
            "service",
            "service-secret",
        ],
    );
    drop(provider);
    let service = [callback.trim().to_owned()];
    let provider = OidcProvider::start(
        port,
        &[
            Client {
                id: "gateway",
                secret: "gateway-secret",
                redirect_uris: &login,
            },
            Client {
                id: "service",
                secret: "service-secret",
                redirect_uris: &service,
            },
        ],
    );

    let browser = Chromium::open(true).await;
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    agrees_at_oidc_provider(&browser, "carol").await;
    says(&browser, "list my open issues").await;
    let link = browser.find("[data-testid=consent-link]").await;
    assert!(link.attr("href").await.expect("a link").is_some());

    // As a third-party service it does not know her yet.
    browser
        .driver
        .goto(&provider.issuer)
        .await
        .expect("its origin opens");
    browser
        .driver
        .delete_all_cookies()
        .await
        .expect("cookies are deleted");
    let hostile = HostilePage::start().await;
    let return_url = format!("http://localhost:{}/return", hostile.port);
    let started = custom_provider(&system, &["start", "other", &return_url]);
    let [url, session_uri] = ["authorizationUrl", "sessionUri"].map(|name| {
        started[name]
            .as_str()
            .unwrap_or_else(|| panic!("{name} in {started}"))
            .to_owned()
    });
    browser.driver.goto(&url).await.expect("the link opens");
    agrees_at_oidc_provider(&browser, "dave").await;
    let back = returned_to(&browser, &return_url).await;
    let handle = back
        .query_pairs()
        .find_map(|(name, value)| (name == "session_id").then(|| value.into_owned()))
        .unwrap_or_else(|| panic!("a handle in {back}"));
    let completed = custom_provider(
        &system,
        &["complete", "other", &return_url, &handle, &session_uri],
    );
    assert_eq!(completed["userinfo"]["sub"], "dave", "{completed}");
}

#[tokio::test]
async fn a12_a_hostile_agent_page_cannot_reach_the_account_origin() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let start = consent.data["url"].as_str().expect("a link").to_owned();
    let hostile = HostilePage::start().await;
    let browser = Chromium::open_behind(hostile.port).await;
    takes_over(&browser, &alice, &system).await;
    browser
        .driver
        .goto(system.app("/hostile").as_str())
        .await
        .expect("the agent's page");

    let origin = system.account("/").origin().ascii_serialization();
    let tried = attempts(
        &browser,
        include_str!("a12.js"),
        vec![start.clone().into(), origin.into()],
    )
    .await;
    for attempt in ["fetch", "post", "foreign_worker", "own_worker", "popup"] {
        let came_to = tried[attempt].as_str().unwrap_or_default();
        assert!(came_to.starts_with("refused"), "{attempt}: {tried}");
    }
    let shown = popups(&browser).await;
    assert!(
        shown.contains("did not come from one of our own pages"),
        "the posted form is refused:\n{shown}"
    );
    browser.driver.enter_frame(0).await.expect("the frame");
    let framed = browser.driver.source().await.expect("its source");
    assert!(!framed.contains("decision"), "the question is framed:\n{framed}");
    browser.driver.enter_default_frame().await.expect("the page");
    assert_eq!(token_requests(&system).await, 0);

    // Nothing has changed: the same link still asks alice, and her answer alone connects.
    browser.driver.goto(&start).await.expect("the start page");
    browser.click("button[name=decision][value=allow]").await;
    enters(&browser, "alice").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.shows("is connected").await;
    assert!(events.answer().await.contains("ALICE-1"));
}

#[tokio::test]
async fn a05_no_page_of_another_site_completes_a_binding() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let page = alice.starts_consent(&link).await;
    let held = alice.decides_at_ledgerline(&page, "alice", "allow").await.url;

    // Bob, who attacks, has consented to his own account and has a handle of his own to lure alice with.
    let bob = Person::new(&system, "bob");
    bob.logs_in().await;
    let mut of_bob = bob.asks("list my open issues", "s").await;
    let consent = of_bob.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let page = bob.starts_consent(&link).await;
    let lure = bob.decides_at_ledgerline(&page, "bob", "allow").await.url;

    let hostile = HostilePage::start().await;
    let browser = Chromium::open_behind(hostile.port).await;
    takes_over(&browser, &alice, &system).await;
    browser
        .driver
        .goto("http://127.0.0.1:9999/hostile")
        .await
        .expect("another site");
    attempts(
        &browser,
        include_str!("a05.js"),
        vec![held.as_str().into(), lure.as_str().into()],
    )
    .await;
    let shown = popups(&browser).await;
    assert!(
        shown.contains("Nothing to confirm"),
        "bob's handle is refused:\n{shown}"
    );
    assert!(!shown.contains("is connected"), "{shown}");
    assert_eq!(
        token_requests(&system).await,
        0,
        "no code was sent to the token endpoint"
    );

    browser.driver.goto(held.as_str()).await.expect("her own page");
    browser.shows("is connected").await;
    assert!(events.answer().await.contains("ALICE-1"));
}
