//! Consent, binding and connections with JavaScript turned off; the chat says that it needs it.

use e2e::{Person, System, chromium::Chromium};
use url::Url;

use super::account_change::{agrees_as, asking};
use super::{enters, takes_over};

#[tokio::test]
async fn consent_binding_and_connections_need_no_javascript() {
    let system = System::start();
    // The chat needs script; the link is made by an HTTP client in the same session.
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let browser = Chromium::open(false).await;
    takes_over(&browser, &alice, &system).await;
    let opens = async |url: &Url| browser.driver.goto(url.as_str()).await.expect("it opens");
    opens(&link).await;
    browser.click("button[name=decision][value=allow]").await;
    enters(&browser, "alice").await;
    browser.click("button[name=decision][value=allow]").await;
    // Without script the person presses the button that script would have pressed.
    browser.click("#confirm-binding").await;
    browser.shows("is connected").await;
    assert!(events.answer().await.contains("ALICE-1"));

    // From the success page to the list, one of it, and its end.
    browser.click("a[href='/connections']").await;
    browser.shows("Connected accounts").await;
    browser.click("a[href^='/connections/']:not([download])").await;
    browser.shows("Last uses").await;
    browser.click("#disconnect").await;
    browser.shows("is disconnected").await;
    opens(&system.account("/connections")).await;
    browser.shows("Nothing is connected").await;

    opens(&system.app("/")).await;
    browser.shows("needs JavaScript").await;

    // And no, without script.
    let mut events = alice.asks("list my open issues", "s2").await;
    let consent = events.until("consent").await;
    opens(&Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL")).await;
    browser.click("button[name=decision][value=deny]").await;
    browser.shows("is not connected").await;
}

#[tokio::test]
async fn the_question_which_account_stays_needs_no_javascript() {
    let system = asking();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(false).await;
    takes_over(&browser, &alice, &system).await;
    for (session, button, told, answer) in [
        ("s2", "#keep-account", "stays as it was", None),
        ("s3", "#use-account", "ledgerline is connected", Some("BOB-3")),
    ] {
        let mut events = alice.asks("create issue: Printer on fire", session).await;
        let consent = events.until("consent").await;
        let link = consent.data["url"].as_str().expect("a link");
        if session == "s2" {
            agrees_as(&browser, link, "bob").await;
        } else {
            // Ledgerline knows bob by now.
            browser.driver.goto(link).await.expect("the start page opens");
            browser.click("button[name=decision][value=allow]").await;
            // The same button stands on both pages, and much the same words.
            browser.shows("You return to").await;
            browser.click("button[name=decision][value=allow]").await;
        }
        browser.click("#confirm-binding").await;
        browser.shows("Which ledgerline account?").await;
        browser.click(button).await;
        browser.shows(told).await;
        if let Some(answer) = answer {
            assert!(events.answer().await.contains(answer));
        }
    }
}
