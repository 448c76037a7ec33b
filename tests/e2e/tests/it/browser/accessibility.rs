//! Every page that a person meets, in the order in which they meet it: nobody is shut out of any, at desktop and phone
//! width, in light and dark. The pictures of the documentation are taken on the way.

use e2e::{Person, System, chromium::Chromium, cli::countersign, system::Options};
use url::Url;

use super::account_change::{agrees_as, asking};
use super::{card_link, enters, says};

async fn opens(browser: &Chromium, url: &Url) {
    browser.driver.goto(url.as_str()).await.expect("it opens");
}

/// A message, and the part of the answer by which its end is known.
async fn asks(browser: &Chromium, message: &str, answer: &str) {
    says(browser, message).await;
    browser.shows(answer).await;
}

#[tokio::test]
async fn pages_of_a_consent_are_for_everybody() {
    let system = System::start();
    let browser = Chromium::open(true).await;
    opens(&browser, &system.app("/")).await;
    browser.find("input[name=password]").await;
    browser.is_accessible("login").await;
    browser.types("input[name=username]", "alice").await;
    browser.types("input[name=password]", "wrong").await;
    browser.click("button[type=submit]").await;
    browser.shows("do not match").await;
    browser.is_accessible("login-wrong").await;
    browser
        .find("input[name=username]")
        .await
        .clear()
        .await
        .expect("an empty field");
    enters(&browser, "alice").await;
    browser.find("#message").await;
    browser.is_accessible("chat-empty").await;
    says(&browser, "list my open issues").await;
    let link = card_link(&browser).await;
    browser.is_accessible("consent-card").await;

    // The card opens a tab of its own; the conversation stays.
    let chat = browser.driver.window().await.expect("a window");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    browser.driver.goto(&link).await.expect("the start page opens");
    browser.shows("Connect ledgerline?").await;
    browser.is_accessible("start-page").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.find("input[name=password]").await;
    browser.is_accessible("ledgerline-login").await;
    enters(&browser, "alice").await;
    browser.find("button[name=decision][value=allow]").await;
    browser.is_accessible("ledgerline-consent").await;
    // Our script answers the next page at once; to be looked at it has to stay.
    browser.scripts(false).await;
    browser.click("button[name=decision][value=allow]").await;
    browser.find("#confirm-binding").await;
    browser.scripts(true).await;
    browser.is_accessible("session-binding").await;
    browser.click("#confirm-binding").await;
    browser.shows("is connected").await;
    browser.is_accessible("connected").await;

    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("ALICE-1").await;
    browser.shows("ALICE-2").await;
    browser.is_accessible("chat-answer").await;

    opens(&browser, &system.account("/connections")).await;
    browser.shows("Connected accounts").await;
    browser.is_accessible("connections").await;
    browser.click("a[href^='/connections/']:not([download])").await;
    browser.find("#disconnect").await;
    browser.is_accessible("connection").await;
    browser.click("#disconnect").await;
    browser.shows("is disconnected").await;
    browser.is_accessible("disconnected").await;
    opens(&browser, &system.account("/connections")).await;
    browser.shows("Nothing is connected").await;
    browser.is_accessible("connections-none").await;
    opens(&browser, &system.ledgerline("/")).await;
    browser.shows("Issues of").await;
    browser.is_accessible("ledgerline").await;

    opens(&browser, &system.account("/logout")).await;
    browser.shows("signed out").await;
    browser.is_accessible("logged-out").await;
}

#[tokio::test]
async fn pages_of_a_conversation_are_for_everybody() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    super::takes_over(&browser, &alice, &system).await;
    opens(&browser, &system.app("/?c=s")).await;
    // More scopes than before in this conversation: what is new is told apart. Then the person says no.
    says(&browser, "create issue: Printer on fire").await;
    let more = card_link(&browser).await;
    browser.shows("Let dev-agent do more at Ledgerline?").await;
    browser.shows("You agreed before").await;
    browser.is_accessible("consent-card-more").await;
    let chat = browser.driver.window().await.expect("a window");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    browser.driver.goto(&more).await.expect("the start page opens");
    browser.click("button[name=decision][value=deny]").await;
    browser.shows("is not connected").await;
    browser.is_accessible("denied").await;
    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("Not allowed.").await;
    browser.is_accessible("chat-denied").await;
    asks(&browser, "what can you do?", "issue").await;
    browser.is_accessible("chat-help").await;
}

#[tokio::test]
async fn pages_of_another_account_are_for_everybody() {
    let system = asking();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    super::takes_over(&browser, &alice, &system).await;
    opens(&browser, &system.app("/")).await;
    says(&browser, "create issue: Printer on fire").await;
    let link = card_link(&browser).await;
    let chat = browser.driver.window().await.expect("a window");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    agrees_as(&browser, &link, "bob").await;
    browser.find("#use-account").await;
    browser.is_accessible("account-question").await;
    browser.click("#keep-account").await;
    browser.shows("stays as it was").await;
    browser.is_accessible("account-kept").await;
    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("Not connected.").await;
}

/// The pages that nobody wants to see.
#[tokio::test]
async fn pages_of_refusals_are_for_everybody() {
    let system = System::start();
    let alice = Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
    let bob = Person::new(&system, "bob");
    bob.logs_in().await;
    let browser = Chromium::open(true).await;
    super::takes_over(&browser, &bob, &system).await;
    for (page, url, told) in [
        ("refused-other-person", link.clone(), "This request is not yours"),
        (
            "refused-malformed",
            system.account("/identities/oauth2/authorize?request_uri=x"),
            "does not work",
        ),
        (
            "refused-binding-malformed",
            system.account("/oauth2/session-binding"),
            "Nothing to confirm",
        ),
        (
            "refused-binding",
            system.account("/oauth2/session-binding?session_id=urn:ietf:params:oauth:request_uri:AAAA"),
            "Nothing to confirm",
        ),
        ("refused-console", system.account("/console"), "for operators"),
        ("not-found", system.account("/nowhere"), "404"),
        (
            "no-such-connection",
            system.account("/connections/unknown"),
            "No such page",
        ),
    ] {
        opens(&browser, &url).await;
        if told != "404" {
            browser.shows(told).await;
        }
        browser.is_accessible(page).await;
    }
}

#[tokio::test]
async fn pages_of_the_console_are_for_everybody() {
    let system = System::start();
    let alice = Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    super::takes_over(&browser, &alice, &system).await;
    for (page, path) in [
        ("console", "/console"),
        ("console-agents", "/console/agents"),
        ("console-agent", "/console/agents/dev-agent"),
        ("console-providers", "/console/providers"),
        ("console-people", "/console/people"),
        ("console-grants", "/console/grants"),
        ("console-sessions", "/console/sessions"),
        ("console-stops", "/console/stops"),
        ("console-principals", "/console/principals"),
        (
            "console-simulation",
            "/console/simulation?principal=dev-agent&action=bedrock-agentcore:CompleteResourceTokenAuth&agent=dev-agent",
        ),
        ("console-keys", "/console/keys"),
        ("console-health", "/console/health"),
        ("console-report-form", "/console/report"),
        (
            "console-report-wrong",
            "/console/report?agent=dev-agent&from=yesterday",
        ),
        ("console-report-none", "/console/report?agent=nobody"),
        (
            "console-report",
            "/console/report?agent=dev-agent&provider=ledgerline",
        ),
        (
            "console-audit",
            "/console/audit?action=GetResourceOauth2Token&outcome=done",
        ),
    ] {
        opens(&browser, &system.account(path)).await;
        browser.find("h1").await;
        browser.is_accessible(page).await;
    }
    browser.click("tbody td a").await;
    browser.shows("Workload access token").await;
    browser.is_accessible("console-chain").await;
    opens(&browser, &system.account("/console/people")).await;
    browser.click("tbody td a").await;
    browser.shows("Authorization sessions of the last day").await;
    browser.is_accessible("console-person").await;
}

/// Posts the first form of the page whose action begins so.
async fn submits(browser: &Chromium, action: &str) {
    let button = format!("form[action^=\"{action}\"] button[type=submit]");
    browser.click(&button).await;
}

async fn stops_for(browser: &Chromium, reason: &str) {
    let field = "form[action=\"/console/stops\"] [name=reason]";
    browser.types(field, reason).await;
    submits(browser, "/console/stops").await;
}

#[tokio::test]
async fn what_an_admin_does_in_the_console_is_for_everybody() {
    let system = System::start_with(Options {
        arguments: vec!["--console-role".to_owned(), "admin".to_owned()],
        ..Options::default()
    });
    Person::connected(&system, "alice").await;
    let browser = Chromium::open(true).await;
    opens(&browser, &system.account("/console")).await;
    enters(&browser, "alice").await;
    browser.shows("Your role: admin").await;
    browser.is_accessible("console-overview").await;
    for (page, path) in [
        ("console-agent-admin", "/console/agents/dev-agent"),
        ("console-provider", "/console/providers/ledgerline"),
        ("console-principal", "/console/principals/dev-agent"),
    ] {
        opens(&browser, &system.account(path)).await;
        browser.find("form[action=\"/console/stops\"]").await;
        browser.is_accessible(page).await;
    }

    // A principal: what it was given is known by the trail alone.
    stops_for(&browser, "INC-2041: unexpected repository access").await;
    browser.shows("Principal dev-agent is stopped").await;
    browser.shows("Tokens still alive").await;
    browser.find("td a[href^=\"/console/grants/\"]").await;
    browser.is_accessible("console-stopped").await;
    opens(&browser, &system.account("/console/stops")).await;
    browser.shows("INC-2041").await;
    browser.is_accessible("console-stops-in-force").await;
    submits(&browser, "/console/stops/lift").await;
    browser.shows("Nothing is stopped.").await;

    opens(&browser, &system.account("/console/agents/dev-agent")).await;
    stops_for(&browser, "INC-2041: unexpected repository access").await;
    browser.shows("Agent dev-agent is stopped").await;
    browser.is_accessible("console-stop").await;
    opens(&browser, &system.account("/console/stops")).await;
    browser.find("form[action=\"/console/stops/lift\"]").await;
    // Somebody else was first.
    let started = countersign(&["workload", "start", "dev-agent"], system.environment());
    assert_eq!(started.code, 0, "{}", started.stderr);
    submits(&browser, "/console/stops/lift").await;
    browser.shows("This was not done").await;
    browser.is_accessible("console-problem").await;

    opens(&browser, &system.account("/console/grants")).await;
    browser.click("tbody td a").await;
    browser.find("form[action$=\"/revoke\"]").await;
    browser.is_accessible("console-grant").await;
    submits(&browser, "/console/grants/").await;
    browser.shows("ended").await;
    browser.is_accessible("console-grant-ended").await;

    opens(&browser, &system.account("/console/keys")).await;
    submits(&browser, "/console/keys/rotate").await;
    browser.shows("version 2").await;
    browser.is_accessible("console-keys-rotated").await;
    opens(&browser, &system.account("/console/report?agent=dev-agent")).await;
    browser.shows("May still be good").await;
    browser.is_accessible("console-report-withdrawn").await;
    opens(&browser, &system.account("/console/audit/verification")).await;
    browser.find("h1").await;
    browser.is_accessible("console-verification").await;

    // A form whose cookie is gone. An old login is told so by the same template.
    opens(&browser, &system.account("/console/keys")).await;
    browser.find("form[action=\"/console/keys/rotate\"]").await;
    let cookies = browser.driver.get_all_cookies().await.expect("cookies");
    for cookie in cookies
        .iter()
        .filter(|cookie| !cookie.name.starts_with("countersign-account"))
    {
        browser.driver.delete_cookie(&cookie.name).await.expect("deleted");
    }
    submits(&browser, "/console/keys/rotate").await;
    browser.shows("Nothing was done").await;
    browser.is_accessible("console-foreign-form").await;
}
