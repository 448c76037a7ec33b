//! A browser as far as HTTP shows: cookies kept by host (not by port, as real ones do), redirects.

use std::collections::BTreeMap;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, Response, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use url::Url;

#[derive(Clone)]
pub(crate) struct Browser {
    client: Client<HttpConnector, Body>,
    pub(crate) cookies: BTreeMap<(String, String), String>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The URL that answered.
    pub(crate) url: String,
    /// All URLs on the way.
    pub(crate) visited: Vec<String>,
}

impl Answer {
    pub(crate) fn location(&self) -> &str {
        self.headers[header::LOCATION].to_str().expect("a text")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {}", self.body))
    }
}

impl Browser {
    pub(crate) fn new() -> Self {
        Self {
            client: Client::builder(TokioExecutor::new()).build_http(),
            cookies: BTreeMap::new(),
        }
    }

    /// One that speaks HTTP/2.
    pub(crate) fn http2(&self) -> Self {
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .build_http();
        Self {
            client,
            cookies: self.cookies.clone(),
        }
    }

    /// A navigation, without following.
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.get_with(url, &[("accept", "text/html")]).await
    }

    pub(crate) async fn get_with(&mut self, url: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(Method::GET, url, headers, "").await
    }

    pub(crate) async fn send(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let (head, body) = self.open(method, url, headers, body).await.into_parts();
        let body: Bytes = body.collect().await.expect("a body").to_bytes();
        Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: String::from_utf8_lossy(&body).into_owned(),
            url: url.to_owned(),
            visited: Vec::new(),
        }
    }

    /// Sends a request and keeps the cookies; the body has still to come.
    pub(crate) async fn open(
        &mut self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Response<Incoming> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let host = Url::parse(url)
            .expect("a URL")
            .host_str()
            .expect("a host")
            .to_owned();
        let cookies = self.cookie_header(&host);
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies);
        }
        let request = request.body(Body::from(body.to_owned())).expect("a request");
        let response = self.client.request(request).await.expect("an answer");
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            self.keep(&host, &String::from_utf8_lossy(cookie.as_bytes()));
        }
        response
    }

    /// The `Cookie` header for a host.
    pub(crate) fn cookie_header(&self, host: &str) -> String {
        let of_host = self.cookies.iter().filter(|((of, _), _)| of == host);
        of_host
            .map(|((_, name), value)| format!("{name}={value}"))
            .collect::<Vec<_>>()
            .join("; ")
    }

    /// A navigation with all its redirects.
    pub(crate) async fn follow(&mut self, url: &str) -> Answer {
        let mut url = url.to_owned();
        let mut visited = Vec::new();
        for _ in 0..20 {
            visited.push(url.clone());
            let mut answer = self.get(&url).await;
            if !(300..400).contains(&answer.status) {
                answer.visited = visited;
                return answer;
            }
            answer.location().clone_into(&mut url);
        }
        panic!("a redirect loop: {visited:#?}");
    }

    /// Follows redirects until one begins with `stop`, which is not opened.
    pub(crate) async fn follow_to(&mut self, url: &str, stop: &str) -> String {
        let mut url = url.to_owned();
        for _ in 0..20 {
            let answer = self.get(&url).await;
            assert!(
                (300..400).contains(&answer.status),
                "{} at {url}: {}",
                answer.status,
                answer.body
            );
            answer.location().clone_into(&mut url);
            if url.starts_with(stop) {
                return url;
            }
        }
        panic!("never came to {stop}");
    }

    /// The cookies whose names begin with `prefix`.
    pub(crate) fn cookies_of(&self, prefix: &str) -> Vec<(String, String)> {
        let own = self
            .cookies
            .iter()
            .filter(|((_, name), _)| name.starts_with(prefix));
        own.map(|((_, name), value)| (name.clone(), value.clone()))
            .collect()
    }

    fn keep(&mut self, host: &str, cookie: &str) {
        let (pair, attributes) = cookie.split_once(';').unwrap_or((cookie, ""));
        let (name, value) = pair.split_once('=').expect("a pair");
        let key = (host.to_owned(), name.to_owned());
        if attributes.contains("Max-Age=0") {
            self.cookies.remove(&key);
        } else {
            self.cookies.insert(key, value.to_owned());
        }
    }
}
