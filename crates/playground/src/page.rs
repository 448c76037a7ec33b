//! The playground's pages: a layout of their own, so that a person sees whose page it is. They work without
//! JavaScript and load nothing.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use countersign_web::security_headers::{ContentSecurityPolicy, FormAction, Referrer};
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};

const STYLE: &str = include_str!("../templates/style.css");

/// How a service of the playground presents itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brand {
    pub(crate) name: &'static str,
    pub(crate) tagline: &'static str,
    pub(crate) mark: &'static str,
    pub(crate) class: &'static str,
}

/// A scope and what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) name: &'a str,
    pub(crate) words: &'a str,
}

#[derive(Template)]
#[template(path = "login.html")]
pub(crate) struct LoginPage<'a> {
    title: &'static str,
    style: &'static str,
    brand: &'a Brand,
    client: Option<&'a str>,
    interaction: Option<&'a str>,
    failed: bool,
}

impl<'a> LoginPage<'a> {
    pub(crate) fn new(
        brand: &'a Brand,
        client: Option<&'a str>,
        interaction: Option<&'a str>,
        failed: bool,
    ) -> Self {
        Self {
            title: "Sign in",
            style: STYLE,
            brand,
            client,
            interaction,
            failed,
        }
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
pub(crate) struct ConsentPage<'a> {
    title: &'static str,
    style: &'static str,
    brand: &'a Brand,
    client: &'a str,
    person: &'a str,
    scopes: &'a [Scope<'a>],
    destination: &'a str,
    interaction: &'a str,
}

impl<'a> ConsentPage<'a> {
    pub(crate) fn new(
        brand: &'a Brand,
        client: &'a str,
        person: &'a str,
        scopes: &'a [Scope<'a>],
        destination: &'a str,
        interaction: &'a str,
    ) -> Self {
        Self {
            title: "Allow access?",
            style: STYLE,
            brand,
            client,
            person,
            scopes,
            destination,
            interaction,
        }
    }
}

/// One button with hidden fields.
pub(crate) struct MessageForm<'a> {
    pub(crate) action: &'a str,
    pub(crate) fields: Vec<(&'a str, &'a str)>,
    pub(crate) button: &'a str,
}

#[derive(Template)]
#[template(path = "message.html")]
pub(crate) struct MessagePage<'a> {
    title: &'a str,
    style: &'static str,
    brand: &'a Brand,
    text: &'a str,
    form: Option<MessageForm<'a>>,
}

impl<'a> MessagePage<'a> {
    pub(crate) fn new(brand: &'a Brand, title: &'a str, text: &'a str) -> Self {
        Self {
            title,
            style: STYLE,
            brand,
            text,
            form: None,
        }
    }

    pub(crate) fn form(mut self, form: MessageForm<'a>) -> Self {
        self.form = Some(form);
        self
    }
}

/// An application that may act for somebody.
pub(crate) struct Connection {
    pub(crate) grant: String,
    pub(crate) client: String,
    pub(crate) scopes: String,
    pub(crate) since: String,
}

#[derive(Template)]
#[template(path = "ledgerline.html")]
pub(crate) struct LedgerlinePage<'a> {
    title: &'static str,
    style: &'static str,
    brand: &'a Brand,
    person: Option<&'a str>,
    issues: &'a [crate::ledgerline::Issue],
    connections: &'a [Connection],
}

impl<'a> LedgerlinePage<'a> {
    pub(crate) fn new(
        brand: &'a Brand,
        person: Option<&'a str>,
        issues: &'a [crate::ledgerline::Issue],
        connections: &'a [Connection],
    ) -> Self {
        Self {
            title: "Issues",
            style: STYLE,
            brand,
            person,
            issues,
            connections,
        }
    }
}

/// Renders a page. Forms may lead anywhere: their address is ours, but the client they send the browser
/// back to redirects on, and Chromium applies `form-action` to the whole chain.
pub(crate) fn render(status: StatusCode, page: &impl Template) -> Response {
    let Ok(body) = page.render() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let policy = ContentSecurityPolicy::new()
        .style(STYLE)
        .form_action(FormAction::AnyRedirect)
        .value();
    let mut response = (status, Html(body)).into_response();
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::from_str(&policy) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // With `no-referrer` browsers would send `Origin: null` along with the forms.
    headers.insert(
        REFERRER_POLICY,
        HeaderValue::from_static(Referrer::SameOrigin.as_str()),
    );
    response
}
