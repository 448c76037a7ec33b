//! The whole flow with nothing but a keyboard: what has the focus is always seen, and everything is reached by Tab.

use std::time::Duration;

use e2e::{Person, System, chromium::Chromium, person::PASSWORD};
use thirtyfour::{Key, TypingData};

/// Presses keys wherever the focus is.
async fn press(browser: &Chromium, keys: impl Into<TypingData>) {
    let focused = browser
        .driver
        .active_element()
        .await
        .expect("something has the focus");
    focused.send_keys(keys).await.expect("it takes keys");
}

/// Walks by Tab until what matches has the focus; each stop on the way has to be visible as such.
async fn walks_to(browser: &Chromium, selector: &str) {
    browser.find(selector).await;
    let here = format!("return document.activeElement?.matches({selector:?}) ?? false");
    let seen = "const it = document.activeElement; const style = getComputedStyle(it); \
        return it === document.body || (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2)";
    for _ in 0..40 {
        let found = browser
            .driver
            .execute(&here, Vec::new())
            .await
            .expect("an answer");
        if found.json() == true {
            return;
        }
        press(browser, Key::Tab).await;
        let visible = browser.driver.execute(seen, Vec::new()).await.expect("an answer");
        if visible.json() != true {
            let what = browser
                .driver
                .execute(
                    "return document.activeElement.outerHTML.slice(0, 200)",
                    Vec::new(),
                )
                .await
                .expect("its text");
            panic!("the focus cannot be seen on {}", what.json());
        }
    }
    panic!("`{selector}` is not reached by Tab");
}

async fn enters(browser: &Chromium, user: &str) {
    walks_to(browser, "input[name=username]").await;
    press(browser, user).await;
    press(browser, Key::Tab).await;
    press(browser, PASSWORD).await;
    press(browser, Key::Enter).await;
}

/// Follows the window that a link has opened.
async fn switches_to_the_new_window(browser: &Chromium, old: &thirtyfour::WindowHandle) {
    for _ in 0..300 {
        let windows = browser.driver.windows().await.expect("windows");
        if let Some(new) = windows.into_iter().find(|window| window != old) {
            browser.driver.switch_to_window(new).await.expect("the window");
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("no window was opened");
}

#[tokio::test]
async fn the_whole_flow_is_walked_by_keyboard() {
    let system = System::start();
    let browser = Chromium::open(true).await;
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("it opens");
    enters(&browser, "alice").await;
    walks_to(&browser, "#message").await;
    press(&browser, "list my open issues").await;
    press(&browser, Key::Enter).await;
    walks_to(&browser, "[data-testid=consent-link]").await;
    let chat = browser.driver.window().await.expect("a window");
    press(&browser, Key::Enter).await;
    switches_to_the_new_window(&browser, &chat).await;
    browser.shows("Connect ledgerline?").await;
    walks_to(&browser, "button[name=decision][value=allow]").await;
    press(&browser, Key::Enter).await;
    enters(&browser, "alice").await;
    walks_to(&browser, "button[name=decision][value=allow]").await;
    press(&browser, Key::Enter).await;
    browser.shows("is connected").await;
    // The agent has used it before it is taken back.
    let account = browser.driver.window().await.expect("a window");
    browser
        .driver
        .switch_to_window(chat.clone())
        .await
        .expect("the chat");
    browser.shows("ALICE-1").await;
    browser.driver.switch_to_window(account).await.expect("the page");
    walks_to(&browser, "a[href='/connections']").await;
    press(&browser, Key::Enter).await;
    browser.shows("Connected accounts").await;
    walks_to(&browser, "main a[href^='/connections/']:not([download])").await;
    press(&browser, Key::Enter).await;
    walks_to(&browser, "#disconnect").await;
    press(&browser, Key::Enter).await;
    browser.shows("is disconnected").await;
    walks_to(&browser, "a[href='/logout']").await;

    browser.driver.switch_to_window(chat).await.expect("the chat");
    walks_to(&browser, "#message").await;
    press(&browser, "what can you do?").await;
    walks_to(&browser, "#send").await;
    press(&browser, Key::Space).await;
    browser.shows("what can you do?").await;
}

#[tokio::test]
async fn the_console_is_walked_by_keyboard() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    super::takes_over(&browser, &alice, &system).await;
    let console = system.account("/console");
    browser.driver.goto(console.as_str()).await.expect("it opens");
    walks_to(&browser, "nav a[href='/console/report']").await;
    press(&browser, Key::Enter).await;
    walks_to(&browser, "input[name=agent]").await;
    press(&browser, "dev-agent").await;
    walks_to(&browser, "form button").await;
    press(&browser, Key::Enter).await;
    browser.shows("May still be good").await;
    walks_to(&browser, "a[download][href^='/console/report/csv']").await;
    walks_to(&browser, "tbody a[href^='/console/audit/']").await;
    press(&browser, Key::Enter).await;
    browser.shows("Token released").await;
}
