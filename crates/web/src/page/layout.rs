//! The one layout of all pages.

use std::sync::LazyLock;

use askama::Template;
use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY};
use http::{HeaderValue, StatusCode};

use crate::RequestId;
use crate::security_headers::{self, ContentSecurityPolicy, FormAction, Referrer};

/// The style sheet, inlined in every page and allowed by its hash.
pub const STYLE: &str = include_str!("../../templates/style.css");

/// An inline ES module script, allowed by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script(pub &'static str);

#[derive(Template)]
#[template(path = "layout.html")]
struct Document<'a> {
    title: &'a str,
    style: &'static str,
    person: Option<&'a str>,
    request_id: Option<&'a str>,
    script: Option<&'static str>,
    wide: bool,
    content: &'a str,
}

/// A page around a template's content.
#[derive(Debug, Clone, Default)]
pub struct Layout {
    title: String,
    status: StatusCode,
    form_action: FormAction,
    person: Option<String>,
    request_id: Option<RequestId>,
    script: Option<Script>,
    wide: bool,
}

impl Layout {
    /// A page with this title, status 200, without forms and scripts.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            ..Self::default()
        }
    }

    /// The status.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Where the page's forms may lead. Any value but [`FormAction::None`] makes the page send its own
    /// origin a `Referer` and `Origin`, see [`Referrer::SameOrigin`].
    #[must_use]
    pub fn form_action(mut self, form_action: FormAction) -> Self {
        self.form_action = form_action;
        self
    }

    /// Who is logged in: shown with a link to log out.
    #[must_use]
    pub fn person(mut self, name: Option<&str>) -> Self {
        self.person = name.map(str::to_owned);
        self
    }

    /// Shown at the foot of pages about a problem.
    #[must_use]
    pub fn request_id(mut self, request_id: Option<&RequestId>) -> Self {
        self.request_id = request_id.cloned();
        self
    }

    /// A script the page is better with.
    #[must_use]
    pub fn script(mut self, script: Script) -> Self {
        self.script = Some(script);
        self
    }

    /// Room for tables.
    #[must_use]
    pub fn wide(mut self) -> Self {
        self.wide = true;
        self
    }

    /// The answer. A template that fails to render gives 500 without a body.
    #[must_use]
    pub fn render(&self, content: &impl Template) -> Response {
        match self.document(content) {
            Ok(html) => self.respond(html),
            Err(error) => {
                tracing::error!(%error, title = self.title, "template");
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                response
            }
        }
    }

    fn document(&self, content: &impl Template) -> Result<String, askama::Error> {
        Document {
            title: &self.title,
            style: STYLE,
            person: self.person.as_deref(),
            request_id: self.request_id.as_ref().map(RequestId::as_str),
            script: self.script.map(|script| script.0),
            wide: self.wide,
            content: &content.render()?,
        }
        .render()
    }

    fn respond(&self, html: String) -> Response {
        static STYLED: LazyLock<ContentSecurityPolicy> =
            LazyLock::new(|| ContentSecurityPolicy::new().style(STYLE));
        let mut policy = STYLED.clone().form_action(self.form_action.clone());
        if let Some(script) = self.script {
            policy = policy.script(script.0);
        }
        let referrer = match self.form_action {
            FormAction::None => Referrer::None,
            _ => Referrer::SameOrigin,
        };
        let mut response = Response::new(Body::from(html));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static(referrer.as_str()));
        if let Ok(policy) = HeaderValue::from_str(&policy.value()) {
            headers.insert(CONTENT_SECURITY_POLICY, policy);
        }
        // Without a valid policy of its own the page gets the strictest.
        security_headers::add_missing(headers);
        response
    }
}
