//! A person with a browser, doing what people do.

use serde_json::json;
use url::Url;

use crate::{HttpBrowser, Page, System, sse::Events};

/// The password of every user of the playground.
pub const PASSWORD: &str = "countersign";

/// Someone at a browser of their own.
pub struct Person<'a> {
    system: &'a System,
    /// The name they log in with.
    pub name: String,
    /// Their browser.
    pub browser: HttpBrowser,
}

impl<'a> Person<'a> {
    /// A person who has not logged in.
    #[must_use]
    pub fn new(system: &'a System, name: &str) -> Self {
        Self {
            system,
            name: name.to_owned(),
            browser: HttpBrowser::new(),
        }
    }

    /// Somebody who is logged in and has let the agent use Ledgerline, in the conversation `s`.
    pub async fn connected(system: &'a System, name: &str) -> Self {
        let person = Self::new(system, name);
        person.logs_in().await;
        let mut events = person.asks("list my open issues", "s").await;
        let consent = events.until("consent").await;
        let link = Url::parse(consent.data["url"].as_str().expect("a link")).expect("a URL");
        person.consents(&link).await;
        let first = format!("{}-1", name.to_uppercase());
        let answer = events.answer().await;
        assert!(answer.contains(&first), "{answer}");
        person
    }

    /// Opens the app, logs in at the playground's OpenID provider, and gives the chat page.
    pub async fn logs_in(&self) -> Page {
        self.opens(&self.system.app("/")).await
    }

    /// Opens a URL, logging in at the playground's OpenID provider if that is asked for.
    pub async fn opens(&self, url: &Url) -> Page {
        let page = self.browser.opens(url).await;
        if page.body.contains("name=\"password\"") {
            self.enters_password(&page).await
        } else {
            page
        }
    }

    /// Fills the login form of a page.
    pub async fn enters_password(&self, page: &Page) -> Page {
        self.browser
            .submits(page, &[("username", &self.name), ("password", PASSWORD)])
            .await
    }

    /// Sends a message to the agent and gives the open stream.
    pub async fn asks(&self, message: &str, session: &str) -> Events {
        Events::new(
            self.posts_invocation(&json!({ "message": message, "sessionId": session }))
                .await,
        )
    }

    /// Posts a body to `/invocations` as the chat page's script does.
    pub async fn posts_invocation(&self, body: &serde_json::Value) -> reqwest::Response {
        let url = self.system.app("/invocations");
        self.browser
            .client()
            .post(url.clone())
            .header("origin", url.origin().ascii_serialization())
            .header("accept", "text/event-stream")
            .header("sec-fetch-mode", "cors")
            .header("sec-fetch-site", "same-origin")
            .header("sec-fetch-dest", "empty")
            .json(body)
            .send()
            .await
            .expect("the agent answers")
    }

    /// Opens a consent link and says yes at our start page: gives the provider's page (its login, or its consent if
    /// this browser is logged in there).
    pub async fn starts_consent(&self, url: &Url) -> Page {
        let page = self.opens(url).await;
        if page.body.contains("name=\"decision\"") && page.url.origin() == self.system.account("/").origin() {
            self.browser.submits(&page, &[("decision", "allow")]).await
        } else {
            page
        }
    }

    /// At Ledgerline: logs in if asked, then decides. Stops before the session binding page and gives its URL.
    pub async fn decides_at_ledgerline(&self, page: &Page, as_user: &str, decision: &str) -> Page {
        let page = if page.body.contains("name=\"password\"") {
            self.browser
                .submits(page, &[("username", as_user), ("password", PASSWORD)])
                .await
        } else {
            page.clone()
        };
        assert!(
            page.body.contains("name=\"decision\""),
            "Ledgerline asks for consent:\n{}",
            page.body
        );
        self.browser
            .submits_until(&page, &[("decision", decision)], |url| {
                url.path() == "/oauth2/session-binding"
            })
            .await
    }

    /// Opens the session binding page and presses its button.
    pub async fn confirms_binding(&self, url: &Url) -> Page {
        let page = self.opens(url).await;
        assert!(
            page.body.contains("confirm-binding"),
            "the binding page has its button:\n{}",
            page.body
        );
        self.browser.submits(&page, &[]).await
    }

    /// The whole consent: start page, Ledgerline, binding.
    pub async fn consents(&self, url: &Url) -> Page {
        let page = self.starts_consent(url).await;
        let held = self.decides_at_ledgerline(&page, &self.name, "allow").await;
        self.confirms_binding(&held.url).await
    }
}
