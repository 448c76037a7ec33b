//! Another account than before, with `account_change = "confirm"` (design D12): the binding page asks which one stays.

use e2e::{Person, System, chromium::Chromium, system::Options};

use super::{card_link, enters, says, takes_over};

/// A system that asks, and alice's browser session, in which agents have worked with the account alice so far.
pub(super) fn asking() -> System {
    System::start_with(Options {
        arguments: vec!["--account-change".to_owned(), "confirm".to_owned()],
        ..Options::default()
    })
}

/// From the agent's link to Ledgerline, where the browser is logged in as nobody yet: agrees there as `user`.
pub(super) async fn agrees_as(browser: &Chromium, link: &str, user: &str) {
    browser.driver.goto(link).await.expect("the start page opens");
    browser.click("button[name=decision][value=allow]").await;
    enters(browser, user).await;
    browser.click("button[name=decision][value=allow]").await;
}

#[tokio::test]
async fn agents_get_no_token_of_another_account_before_its_person_says_so() {
    let system = asking();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    takes_over(&browser, &alice, &system).await;
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    says(&browser, "create issue: Printer on fire").await;
    let link = card_link(&browser).await;
    let chat = browser.driver.window().await.expect("a window");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    // The first form is sent by script, since the start was alice's. The question is not answered by any.
    agrees_as(&browser, &link, "bob").await;
    browser.shows("Which ledgerline account?").await;
    let shown = browser.text().await;
    assert!(
        shown.contains("alice (LU-1001)") && shown.contains("bob (LU-1002)"),
        "both by name:\n{shown}"
    );

    // Meanwhile the agent works with alice's account, and with that alone.
    let mut events = alice.asks("list my open issues", "s2").await;
    let answer = events.answer().await;
    assert!(
        answer.contains("ALICE-1") && !answer.contains("BOB-1"),
        "{answer}"
    );
    browser
        .driver
        .switch_to_window(chat.clone())
        .await
        .expect("the chat");
    let shown = browser.text().await;
    assert!(!shown.contains("BOB-3"), "{shown}");

    // A reload is the same page, since it is no answer.
    let window = browser.driver.windows().await.expect("windows");
    let tab = window
        .into_iter()
        .find(|window| *window != chat)
        .expect("the tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    browser.driver.refresh().await.expect("the same again");
    browser.shows("Which ledgerline account?").await;
    browser.click("#use-account").await;
    browser.shows("ledgerline is connected").await;
    browser.shows("In the place of").await;
    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("BOB-3").await;
}
