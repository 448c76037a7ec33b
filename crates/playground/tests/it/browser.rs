//! A browser as far as these pages need one: cookies, forms with hidden fields, no redirects followed
//! without being told.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use http::header::{CONTENT_TYPE, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use tower::ServiceExt as _;
use url::Url;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("JSON, not {}", self.body))
    }

    pub(crate) fn location(&self) -> &str {
        self.headers[LOCATION].to_str().expect("ASCII")
    }

    /// Parameters of the redirect.
    pub(crate) fn parameters(&self) -> BTreeMap<String, String> {
        Url::parse(self.location())
            .expect("an absolute URL")
            .query_pairs()
            .into_owned()
            .collect()
    }

    pub(crate) fn hidden(&self, name: &str) -> String {
        let marker = format!("name=\"{name}\" value=\"");
        let (_, rest) = self
            .body
            .split_once(&marker)
            .unwrap_or_else(|| panic!("field {name} in {}", self.body));
        rest.split('"').next().expect("a value").to_owned()
    }
}

/// Sends one request to a router.
pub(crate) async fn send(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let body = String::from_utf8(body.to_vec()).expect("UTF-8");
    Answer {
        status: parts.status,
        headers: parts.headers,
        body,
    }
}

pub(crate) fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

/// One person's browser at one site.
pub(crate) struct Browser {
    router: Router,
    origin: String,
    cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) fn new(router: Router, origin: &str) -> Self {
        Self {
            router,
            origin: origin.to_owned(),
            cookies: BTreeMap::new(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.request(Method::GET, path, None, &self.origin.clone()).await
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = self.origin.clone();
        self.request(Method::POST, path, Some(fields), &origin).await
    }

    pub(crate) async fn post_from(&mut self, origin: &str, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.request(Method::POST, path, Some(fields), origin).await
    }

    async fn request(
        &mut self,
        method: Method,
        path: &str,
        fields: Option<&[(&str, &str)]>,
        origin: &str,
    ) -> Answer {
        let host = self.origin.trim_start_matches("http://").to_owned();
        let mut request = Request::builder().method(method).uri(path).header(HOST, host);
        if !self.cookies.is_empty() {
            let cookies: Vec<String> = self
                .cookies
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            request = request.header(COOKIE, cookies.join("; "));
        }
        let mut body = String::new();
        if let Some(fields) = fields {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .header(ORIGIN, origin);
            body = encode(fields);
        }
        let answer = send(&self.router, request.body(Body::from(body)).expect("a request")).await;
        for header in answer.headers.get_all(SET_COOKIE) {
            let text = header.to_str().expect("ASCII");
            let (name, rest) = text.split_once('=').expect("a cookie");
            let value = rest.split(';').next().expect("a value");
            if text.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}
