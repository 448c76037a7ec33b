//! Attack rows about who sits in front of which browser.

use e2e::{System, chromium::Chromium};
use reqwest::StatusCode;

use super::{enters, returned_to, says, token_requests};

/// Asks in the chat and gives the address of the consent card.
async fn asks(browser: &Chromium) -> String {
    says(browser, "list my open issues").await;
    let link = browser.find("[data-testid=consent-link]").await;
    link.attr("href").await.expect("a link").expect("with a target")
}

async fn logs_in(browser: &Chromium, system: &System, user: &str) {
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    enters(browser, user).await;
    browser.find("#message").await;
}

/// Opens another tab and stays there; gives the one that was left.
async fn new_tab(browser: &Chromium) -> thirtyfour::WindowHandle {
    let old = browser.driver.window().await.expect("a window");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    old
}

/// A shared machine: alice starts, and while Ledgerline waits for her yes, bob logs in in the same browser.
#[tokio::test]
async fn a07_a_person_who_logs_in_on_the_way_finishes_nothing() {
    let system = System::start();
    let browser = Chromium::open(true).await;
    logs_in(&browser, &system, "alice").await;
    let link = asks(&browser).await;
    new_tab(&browser).await;
    browser.driver.goto(&link).await.expect("the start page opens");
    browser.click("button[name=decision][value=allow]").await;
    enters(&browser, "alice").await;
    browser.find("button[name=decision][value=allow]").await;

    // Bob takes over the machine: alice's login ends, his begins, here and at the login provider.
    let consent = new_tab(&browser).await;
    browser
        .driver
        .goto(system.account("/logout").as_str())
        .await
        .expect("it opens");
    browser.shows("signed out").await;
    logs_in(&browser, &system, "bob").await;

    // The page of Ledgerline is still open. Its answer reaches bob, who is told why, and nothing is exchanged.
    browser.driver.switch_to_window(consent).await.expect("the tab");
    browser.scripts(false).await;
    browser.click("button[name=decision][value=allow]").await;
    browser.shows("Started by another account").await;
    let binding = returned_to(&browser, system.account("/oauth2/session-binding").as_str()).await;
    let status = browser
        .driver
        .execute(
            "return performance.getEntriesByType('navigation')[0].responseStatus",
            Vec::new(),
        )
        .await
        .expect("a status");
    assert_eq!(status.json(), StatusCode::FORBIDDEN.as_u16());
    let shown = browser.text().await;
    assert!(
        shown.contains("Signed in") || shown.contains("Bob"),
        "who is signed in:\n{shown}"
    );
    assert!(
        !shown.to_lowercase().contains("alice"),
        "but not who began:\n{shown}"
    );

    // Any other browser of bob's learns nothing from the same address.
    let elsewhere = Chromium::open(true).await;
    logs_in(&elsewhere, &system, "bob").await;
    elsewhere.driver.goto(binding.as_str()).await.expect("it opens");
    elsewhere.shows("Nothing to confirm").await;
    let shown = elsewhere.text().await;
    assert!(!shown.contains("another account"), "{shown}");

    // What was agreed is discarded for good: alice, back at the machine, cannot use it any more.
    browser.scripts(true).await;
    browser.driver.goto(binding.as_str()).await.expect("it opens");
    browser.shows("Started by another account").await;
    browser
        .driver
        .goto(system.account("/logout").as_str())
        .await
        .expect("it opens");
    browser.shows("signed out").await;
    logs_in(&browser, &system, "alice").await;
    browser.driver.goto(binding.as_str()).await.expect("it opens");
    browser.shows("somebody else tried to confirm it").await;
    assert_eq!(
        token_requests(&system).await,
        0,
        "no code was sent to the token endpoint"
    );
}

/// Alice asks on her phone and has begun there; then she opens the link, and the way back, on her laptop.
#[tokio::test]
async fn a11_what_begins_on_one_device_does_not_end_on_another() {
    let system = System::start();
    let phone = Chromium::open(true).await;
    phone.looks(375, false).await;
    logs_in(&phone, &system, "alice").await;
    let link = asks(&phone).await;
    let laptop = Chromium::open(true).await;
    logs_in(&laptop, &system, "alice").await;

    // The link alone, before anything: it belongs to the login in which she asked.
    laptop.driver.goto(&link).await.expect("it opens");
    laptop.shows("You have signed in again since").await;

    // Begun on the phone, up to the address that leads back from Ledgerline.
    let chat = new_tab(&phone).await;
    phone.driver.goto(&link).await.expect("the start page opens");
    phone.click("button[name=decision][value=allow]").await;
    enters(&phone, "alice").await;
    phone.scripts(false).await;
    phone.click("button[name=decision][value=allow]").await;
    phone.find("#confirm-binding").await;
    let back = returned_to(&phone, system.account("/oauth2/session-binding").as_str()).await;
    for address in [link.as_str(), back.as_str()] {
        laptop.driver.goto(address).await.expect("it opens");
        let shown = laptop.text().await;
        assert!(!shown.contains("is connected"), "{shown}");
        let buttons = laptop
            .driver
            .find_all(thirtyfour::By::Css("#confirm-binding, button[name=decision]"))
            .await
            .expect("a list");
        assert!(
            buttons.is_empty(),
            "there is nothing to press on the laptop:\n{shown}"
        );
    }
    assert_eq!(
        token_requests(&system).await,
        0,
        "no code was sent to the token endpoint"
    );

    // The phone goes on as if nothing had been.
    phone.scripts(true).await;
    phone.click("#confirm-binding").await;
    phone.shows("is connected").await;
    phone.driver.switch_to_window(chat).await.expect("the chat");
    phone.shows("ALICE-1").await;
}
