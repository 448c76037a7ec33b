//! The whole flow in headless Chromium: at the playground, and with npm `oidc-provider` on both ends.

use e2e::{
    System,
    chromium::Chromium,
    oidc_provider::{Client, OidcProvider, free_port},
    person::PASSWORD,
    python,
};

async fn enters(browser: &Chromium, user: &str) {
    browser.types("input[name=username]", user).await;
    browser.types("input[name=password]", PASSWORD).await;
    browser.click("button[type=submit]").await;
}

async fn says(browser: &Chromium, message: &str) {
    browser.types("#message", message).await;
    browser.click("#send").await;
}

#[tokio::test]
async fn alice_logs_in_consents_and_sees_her_issues() {
    let system = System::start();
    let browser = Chromium::open(true).await;
    browser
        .driver
        .goto(system.app("/").as_str())
        .await
        .expect("the app opens");
    browser.picture("login").await;
    enters(&browser, "alice").await;
    browser.find("#message").await;
    browser.picture("chat-empty").await;
    says(&browser, "list my open issues").await;
    let link = browser.find("[data-testid=consent-link]").await;
    browser.picture("consent-card").await;

    // The card opens a tab of its own; the conversation stays.
    let chat = browser.driver.window().await.expect("a window");
    let url = link.attr("href").await.expect("a link").expect("with a target");
    let tab = browser.driver.new_tab().await.expect("a tab");
    browser.driver.switch_to_window(tab).await.expect("the tab");
    browser.driver.goto(&url).await.expect("the start page opens");
    browser.shows("Ledgerline").await;
    browser.picture("start-page").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.find("input[name=password]").await;
    browser.picture("ledgerline-login").await;
    enters(&browser, "alice").await;
    browser.find("button[name=decision][value=allow]").await;
    browser.picture("ledgerline-consent").await;
    browser.click("button[name=decision][value=allow]").await;
    browser.shows("connected").await;
    browser.picture("connected").await;

    browser.driver.switch_to_window(chat).await.expect("the chat");
    browser.shows("ALICE-1").await;
    let answer = browser
        .find("[data-testid=answer]")
        .await
        .text()
        .await
        .expect("text");
    assert!(answer.contains("ALICE-2"), "{answer}");
    browser.picture("chat-answer").await;
    says(&browser, "list my open issues").await;
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let cards = browser
        .driver
        .find_all(thirtyfour::By::Css("[data-testid=consent-link]"))
        .await
        .expect("a list");
    let open = {
        let mut open = 0;
        for card in cards {
            open += usize::from(card.is_displayed().await.unwrap_or(false));
        }
        open
    };
    assert!(open <= 1, "the second question shows no new card");
}

#[tokio::test]
async fn consent_pages_work_without_javascript() {
    let system = System::start();
    // The chat needs script; the link is made by another browser of the same person.
    let alice = e2e::Person::new(&system, "alice");
    alice.logs_in().await;
    let mut events = alice.asks("list my open issues", "s").await;
    let consent = events.until("consent").await;
    let browser = Chromium::open(false).await;
    browser
        .driver
        .goto(consent.data["url"].as_str().expect("a link"))
        .await
        .expect("it opens");
    enters(&browser, "alice").await;
    browser.click("button[name=decision][value=allow]").await;
    enters(&browser, "alice").await;
    browser.click("button[name=decision][value=allow]").await;
    // Without script the person presses the button that script would have pressed.
    browser.click("#confirm-binding").await;
    browser.shows("connected").await;
    assert!(events.answer().await.contains("ALICE-1"));
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
    let _provider = OidcProvider::start(
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
    browser.types("input[name=login]", "carol").await;
    browser.types("input[name=password]", "anything").await;
    browser.click("button[type=submit]").await;
    // Its development pages ask for consent to our login too.
    browser.click("button[type=submit]").await;
    says(&browser, "list my open issues").await;
    let link = browser.find("[data-testid=consent-link]").await;
    assert!(link.attr("href").await.expect("a link").is_some());
    drop(browser);

    // As a third-party service it is driven by the API alone: its own user consents, boto3 completes.
    assert_eq!(
        python::run(&system, "custom_provider.py", &["flow", "other"]).trim(),
        "done"
    );
}
