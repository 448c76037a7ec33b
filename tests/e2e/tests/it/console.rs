//! `/console` in headless Chromium, on a fresh `dev`: alice is a viewer there, bob nobody.

use e2e::chromium::Chromium;
use e2e::hostile_page::HostilePage;
use e2e::person::PASSWORD;
use e2e::{Person, System};
use reqwest::StatusCode;

#[tokio::test]
async fn the_console_draws_the_chain_of_one_question() {
    let system = System::start();
    Person::connected(&system, "alice").await;
    // Without JavaScript, as on every page of the account origin.
    let browser = Chromium::open(false).await;
    let opens = |path: &'static str| {
        let url = system.account(path);
        let driver = browser.driver.clone();
        async move { driver.goto(url.as_str()).await.expect("the page loads") }
    };
    opens("/console").await;
    browser.types("input[name=username]", "alice").await;
    browser.types("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
    browser.shows("Your role: viewer").await;
    browser.shows("ledgerline").await;
    browser.picture("console-overview").await;
    for (path, told) in [
        ("/console/agents", "dev-agent"),
        ("/console/agents/dev-agent", "session-binding"),
        ("/console/providers", "CustomOauth2"),
        ("/console/people", "dev-agent"),
        ("/console/grants", "active"),
        ("/console/sessions", "completed"),
        ("/console/stops", "Nothing is stopped."),
        (
            "/console/simulation?principal=dev-agent&action=bedrock-agentcore:CompleteResourceTokenAuth",
            "not allowed by any statement",
        ),
        ("/console/health", "arrive within a second"),
        ("/console/report?agent=dev-agent", "May still be good"),
        ("/console/principals", "dev-binding"),
        ("/console/principals/dev-agent", "GetResourceOauth2Token"),
        ("/console/keys", "Token vault, version 1"),
    ] {
        opens(path).await;
        browser.shows(told).await;
        let name = path.split(['/', '?']).nth(2).unwrap_or_default();
        browser.picture(&format!("console-{name}")).await;
    }
    opens("/console/people").await;
    browser.click("tbody td a").await;
    browser.shows("Authorization sessions of the last day").await;
    browser.picture("console-person").await;
    // A busy machine takes longer than the page waits.
    for _ in 0..60 {
        opens("/console/audit/verification").await;
        if browser.text().await.contains("no fault found") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
    browser.shows("no fault found").await;
    browser.picture("console-verified").await;
    opens("/console/audit?action=GetResourceOauth2Token&outcome=done").await;
    browser.picture("console-audit").await;
    browser.click("tbody td a").await;
    for told in [
        "Workload access token",
        "Authorization session",
        "Grant",
        "Token released",
        "ReceiveAuthorizationResponse",
    ] {
        browser.shows(told).await;
    }
    browser.picture("console-chain").await;
    let wide = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";
    browser
        .driver
        .set_window_rect(0, 0, 375, 900)
        .await
        .expect("a phone");
    let wider = browser
        .driver
        .execute(wide, Vec::new())
        .await
        .expect("a script runs");
    assert_eq!(wider.json(), false, "the page is wider than a phone");
    browser.picture("console-chain-phone").await;
}

/// Posts the form of a stop to the console, from whatever page the browser is on.
const STOPS: &str = "
const form = document.createElement('form');
form.method = 'post';
form.action = arguments[0];
for (const [name, value] of Object.entries({ csrf_token: '1.1', kind: 'workload', subject: 'dev-agent', reason: 'x' })) {
  const input = document.createElement('input');
  [input.name, input.value] = [name, value];
  form.append(input);
}
document.body.append(form);
form.submit();
";

#[tokio::test]
async fn another_page_cannot_stop_anything_nor_frame_the_console() {
    let system = System::start();
    let hostile = HostilePage::start().await;
    let browser = Chromium::open_behind(hostile.port).await;
    let console = system.account("/console");
    browser.driver.goto(console.as_str()).await.expect("the console");
    browser.types("input[name=username]", "alice").await;
    browser.types("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
    browser.shows("Your role: viewer").await;
    // The agent's own origin, which is of the same site: cookies do go along.
    let page = system.app("/hostile");
    browser
        .driver
        .goto(page.as_str())
        .await
        .expect("the agent's page");
    let stops = system.account("/console/stops");
    let arguments = vec![stops.as_str().into()];
    browser
        .driver
        .execute(STOPS, arguments)
        .await
        .expect("a form is posted");
    browser.shows("did not come from one of our own pages").await;
    browser
        .driver
        .goto(page.as_str())
        .await
        .expect("the agent's page");
    let frame = "const frame = document.createElement('iframe'); frame.src = arguments[0]; document.body.append(frame);";
    let arguments = vec![console.as_str().into()];
    browser
        .driver
        .execute(frame, arguments)
        .await
        .expect("a frame is made");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    browser.driver.enter_frame(0).await.expect("the frame");
    let framed = browser.driver.source().await.expect("its source");
    assert!(!framed.contains("Your role"), "{framed}");
    browser.driver.enter_default_frame().await.expect("the page");
    browser.driver.goto(stops.as_str()).await.expect("the console");
    browser.shows("Nothing is stopped.").await;
}

#[tokio::test]
async fn who_is_no_operator_gets_no_console() {
    let system = System::start();
    let bob = Person::new(&system, "bob");
    bob.logs_in().await;
    for path in ["/console", "/console/audit", "/console/grants"] {
        let page = bob.opens(&system.account(path)).await;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{path}");
        assert!(page.body.contains("for operators"), "{}", page.body);
    }
}
