//! A browser without a screen: cookies, redirects one hop at a time, forms. It sends the fetch metadata that Chromium
//! sends with a navigation, so that same-origin rules are exercised.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use reqwest::{
    Client, Method, StatusCode,
    cookie::{CookieStore, Jar},
    header::{HeaderMap, HeaderValue},
    redirect,
};
use url::Url;

/// How many redirects a navigation may take.
const MAX_HOPS: usize = 20;

/// A cookie jar that also knows which cookies were set with `HttpOnly`, as which a browser keeps them from scripts.
#[derive(Debug, Default)]
pub struct Cookies {
    jar: Jar,
    http_only: Mutex<BTreeMap<String, bool>>,
}

impl Cookies {
    /// Whether the cookie of this name was last set with `HttpOnly`.
    #[must_use]
    pub fn is_http_only(&self, name: &str) -> bool {
        let http_only = self.http_only.lock().unwrap_or_else(PoisonError::into_inner);
        http_only.get(name).copied().unwrap_or(false)
    }
}

impl CookieStore for Cookies {
    fn set_cookies(&self, headers: &mut dyn Iterator<Item = &HeaderValue>, url: &Url) {
        let headers: Vec<&HeaderValue> = headers.collect();
        let mut http_only = self.http_only.lock().unwrap_or_else(PoisonError::into_inner);
        for header in headers.iter().filter_map(|header| header.to_str().ok()) {
            let mut parts = header.split(';').map(str::trim);
            let name = parts.next().and_then(|pair| pair.split_once('='));
            let flag = parts.any(|part| part.eq_ignore_ascii_case("HttpOnly"));
            http_only.extend(name.map(|(name, _)| (name.to_owned(), flag)));
        }
        drop(http_only);
        self.jar.set_cookies(&mut headers.into_iter(), url);
    }

    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        self.jar.cookies(url)
    }
}

/// One person's browser.
#[derive(Clone)]
pub struct HttpBrowser {
    client: Client,
    /// Its cookies.
    pub jar: Arc<Cookies>,
}

/// What a navigation ended in.
#[derive(Debug, Clone)]
pub struct Page {
    /// The final URL.
    pub url: Url,
    /// Every URL on the way, the final one last.
    pub hops: Vec<Url>,
    /// The status of the final answer.
    pub status: StatusCode,
    /// The headers of the final answer.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
}

/// A form of a page.
#[derive(Debug, Clone)]
pub struct Form {
    /// Where it goes.
    pub action: Url,
    /// `GET` or `POST`.
    pub method: Method,
    /// Its inputs with their values, buttons left out.
    pub fields: Vec<(String, String)>,
}

impl Default for HttpBrowser {
    fn default() -> Self {
        Self::new()
    }
}

impl HttpBrowser {
    /// A browser with no cookies.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(Cookies::default()))
    }

    /// The same browser after its connections were closed, as by a restart of the server.
    #[must_use]
    pub fn reconnected(&self) -> Self {
        Self::with(Arc::clone(&self.jar))
    }

    /// A browser that takes the certificates which a server has signed itself.
    #[must_use]
    pub fn trusting_any_certificate() -> Self {
        Self::build(Arc::new(Cookies::default()), true)
    }

    /// The `Cookie` header that it would send to `url`.
    #[must_use]
    pub fn cookie_header(&self, url: &Url) -> Option<String> {
        Some(self.jar.cookies(url)?.to_str().ok()?.to_owned())
    }

    fn with(jar: Arc<Cookies>) -> Self {
        Self::build(jar, false)
    }

    fn build(jar: Arc<Cookies>, any_certificate: bool) -> Self {
        let client = Client::builder()
            .danger_accept_invalid_certs(any_certificate)
            .cookie_provider(Arc::clone(&jar))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, jar }
    }

    /// The client underneath, for requests that a page's script would make.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Types a URL: follows every redirect.
    pub async fn opens(&self, url: impl AsRef<str>) -> Page {
        self.navigates(Method::GET, parse(url.as_ref()), None, "none", |_| false)
            .await
    }

    /// Types a URL and stops before the first redirect to a URL that `stop` accepts; that URL is the page's.
    pub async fn opens_until(&self, url: impl AsRef<str>, stop: impl Fn(&Url) -> bool) -> Page {
        self.navigates(Method::GET, parse(url.as_ref()), None, "none", stop)
            .await
    }

    /// One request, no redirect followed.
    pub async fn one_hop(&self, url: impl AsRef<str>) -> Page {
        self.send(&Method::GET, parse(url.as_ref()), None, "none").await
    }

    /// Submits a form of `page` with these values over its own.
    pub async fn submits(&self, page: &Page, values: &[(&str, &str)]) -> Page {
        self.submits_until(page, values, |_| false).await
    }

    /// As [`Self::submits`], stopping before a redirect that `stop` accepts.
    pub async fn submits_until(
        &self,
        page: &Page,
        values: &[(&str, &str)],
        stop: impl Fn(&Url) -> bool,
    ) -> Page {
        let mut form = page
            .form()
            .unwrap_or_else(|| panic!("no form on {}:\n{}", page.url, page.body));
        for (name, value) in values {
            form.fields.retain(|(field, _)| field != name);
            form.fields.push(((*name).to_owned(), (*value).to_owned()));
        }
        let same = form.action.origin() == page.url.origin();
        let site = if same { "same-origin" } else { "cross-site" };
        self.navigates(
            form.method,
            form.action,
            Some((form.fields, page.url.clone())),
            site,
            stop,
        )
        .await
    }

    async fn navigates(
        &self,
        mut method: Method,
        mut url: Url,
        mut form: Option<(Vec<(String, String)>, Url)>,
        site: &str,
        stop: impl Fn(&Url) -> bool,
    ) -> Page {
        let mut hops = vec![];
        let mut site = site.to_owned();
        for _ in 0..MAX_HOPS {
            hops.push(url.clone());
            let mut page = self.send(&method, url.clone(), form.take(), &site).await;
            let next = page
                .status
                .is_redirection()
                .then(|| page.headers.get("location"))
                .flatten()
                .map(|location| {
                    url.join(location.to_str().expect("a text location"))
                        .expect("a location")
                });
            match next {
                None => {
                    page.hops = hops;
                    return page;
                }
                Some(next) if stop(&next) => {
                    hops.push(next.clone());
                    page.url = next;
                    page.hops = hops;
                    return page;
                }
                Some(next) => {
                    if next.origin() != url.origin() && site != "none" {
                        "cross-site".clone_into(&mut site);
                    }
                    method = Method::GET;
                    url = next;
                }
            }
        }
        panic!("more than {MAX_HOPS} redirects: {hops:#?}");
    }

    async fn send(
        &self,
        method: &Method,
        url: Url,
        form: Option<(Vec<(String, String)>, Url)>,
        site: &str,
    ) -> Page {
        let mut request = self
            .client
            .request(method.clone(), url.clone())
            .header("accept", "text/html,application/xhtml+xml")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-user", "?1")
            .header("sec-fetch-site", site);
        if let Some((fields, from)) = form {
            if *method == Method::POST {
                request = request
                    .header("origin", from.origin().ascii_serialization())
                    .form(&fields);
            } else {
                request = request.query(&fields);
            }
        }
        let response = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{method} {url}: {error}"));
        Page {
            url: response.url().clone(),
            hops: vec![response.url().clone()],
            status: response.status(),
            headers: response.headers().clone(),
            body: response.text().await.expect("a text body"),
        }
    }
}

impl Page {
    /// Its first form.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        let start = self.body.find("<form")?;
        let end = start + self.body[start..].find("</form>")?;
        let text = &self.body[start..end];
        let head = &text[..=text.find('>')?];
        let action = attribute(head, "action").unwrap_or_default();
        let method = attribute(head, "method").unwrap_or_else(|| "get".to_owned());
        let mut fields = vec![];
        for part in text.split("<input").skip(1) {
            let tag = &part[..part.find('>')?];
            let Some(name) = attribute(tag, "name") else {
                continue;
            };
            let kind = attribute(tag, "type").unwrap_or_default();
            if kind != "submit" && kind != "button" {
                fields.push((name, attribute(tag, "value").unwrap_or_default()));
            }
        }
        Some(Form {
            action: self.url.join(&action).expect("an action"),
            method: if method.eq_ignore_ascii_case("post") {
                Method::POST
            } else {
                Method::GET
            },
            fields,
        })
    }

    /// A parameter of the final URL.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<String> {
        query(&self.url, name)
    }
}

/// A parameter of a URL.
#[must_use]
pub fn query(url: &Url, name: &str) -> Option<String> {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

fn parse(url: &str) -> Url {
    Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
}

/// The value of an attribute, entities of URLs decoded.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag
        .find(&format!(" {name}="))
        .or_else(|| tag.find(&format!("\n{name}=")))?
        + name.len()
        + 2;
    let rest = &tag[at..];
    let value = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
        _ => rest.split([' ', '>']).next()?,
    };
    Some(
        value
            .replace("&#38;", "&")
            .replace("&amp;", "&")
            .replace("&#34;", "\"")
            .replace("&quot;", "\"")
            .replace("&#39;", "'")
            .replace("&#x2F;", "/")
            .replace("&lt;", "<")
            .replace("&gt;", ">"),
    )
}
