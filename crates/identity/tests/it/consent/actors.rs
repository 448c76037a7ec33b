//! Who acts: workloads that ask, people with browsers.

use std::collections::BTreeMap;
use std::sync::Mutex;

use axum::body::Body;
use countersign_api::Credentials;
use countersign_crypto::{Clock as _, published_user_id};
use http::header::{AsHeaderName, COOKIE, HOST, LOCATION, ORIGIN, SET_COOKIE};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use url::Url;

use super::{Answer, FRONT, RETURN_URL, System, text};

/// An agent.
pub(super) struct Workload<'s> {
    pub(super) system: &'s System,
    pub(super) name: String,
    pub(super) credentials: Credentials,
}

/// What a workload asks for.
#[derive(Clone)]
pub(super) struct Ask {
    pub(super) provider: &'static str,
    pub(super) scopes: Vec<&'static str>,
    pub(super) force: bool,
    pub(super) more: Value,
}

impl Default for Ask {
    fn default() -> Self {
        Self {
            provider: "vendor",
            scopes: vec!["read"],
            force: false,
            more: json!({}),
        }
    }
}

impl Workload<'_> {
    /// A workload access token for a person the gateway proves.
    pub(super) async fn wat(&self, person: &Person<'_>) -> String {
        let answer = self
            .mint("ForJWT", json!({"userToken": person.token(&self.name)}))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        text(&answer.body["workloadAccessToken"]).to_owned()
    }

    /// A workload access token for whoever it says.
    pub(super) async fn wat_for_user_id(&self, user_id: &str) -> String {
        let path = "/identities/GetWorkloadAccessTokenForUserId";
        let body = json!({"workloadName": self.name, "userId": user_id});
        let answer = self.system.call(&self.system.admin, path, &body).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        text(&answer.body["workloadAccessToken"]).to_owned()
    }

    pub(super) async fn mint(&self, kind: &str, mut body: Value) -> Answer {
        body["workloadName"] = self.name.clone().into();
        let path = format!("/identities/GetWorkloadAccessToken{kind}");
        self.system.call(&self.credentials, &path, &body).await
    }

    pub(super) async fn asks(&self, wat: &str, ask: &Ask) -> Answer {
        let mut body = json!({
            "workloadIdentityToken": wat,
            "resourceCredentialProviderName": ask.provider,
            "scopes": ask.scopes,
            "oauth2Flow": "USER_FEDERATION",
            "resourceOauth2ReturnUrl": RETURN_URL,
            "forceAuthentication": ask.force,
        });
        for (name, value) in ask.more.as_object().expect("an object") {
            body[name] = value.clone();
        }
        self.system
            .call(&self.credentials, "/identities/oauth2/token", &body)
            .await
    }

    /// The plain request: scope `read` at `vendor`.
    pub(super) async fn asks_for_token(&self, person: &Person<'_>) -> Answer {
        let wat = self.wat(person).await;
        self.asks(&wat, &Ask::default()).await
    }

    pub(super) async fn polls(&self, wat: &str, session_uri: &str) -> Answer {
        self.asks(
            wat,
            &Ask {
                more: json!({"sessionUri": session_uri}),
                ..Ask::default()
            },
        )
        .await
    }
}

/// What a browser got.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Page {
    pub(super) fn header(&self, name: impl AsHeaderName) -> &str {
        let value = self.headers.get(name);
        value.and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn location(&self) -> &str {
        self.header(LOCATION)
    }

    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        let url = Url::parse(self.location()).expect("an absolute location");
        url.query_pairs()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The completion handle on the way to the return URL.
    pub(super) fn handle(&self) -> String {
        assert!(
            self.location().starts_with(RETURN_URL),
            "not on the way to the return URL: {self:?}"
        );
        self.parameter("session_id").expect("a session_id")
    }

    /// The value of a hidden field of its form.
    pub(super) fn hidden(&self, name: &str) -> String {
        let after = self
            .body
            .split_once(&format!("name=\"{name}\" value=\""))
            .expect("the field")
            .1;
        after.split_once('"').expect("a quote").0.to_owned()
    }
}

/// A person with a browser.
pub(super) struct Person<'s> {
    pub(super) system: &'s System,
    /// The gateway that vouches for them.
    pub(super) gateway: &'static str,
    pub(super) issuer: String,
    pub(super) subject: String,
    pub(super) sid: String,
    pub(super) groups: Vec<&'static str>,
    /// How long ago they proved who they are, seconds.
    pub(super) login_age: i64,
    pub(super) cookies: Mutex<BTreeMap<String, String>>,
}

impl Person<'_> {
    /// What the gateway says about them to `audience`.
    pub(super) fn token(&self, audience: &str) -> String {
        let now = self.system.clock.now().as_secs();
        let claims = json!({
            "iss": self.gateway, "sub": format!("{}|{}", self.issuer, self.subject), "aud": audience,
            "iat": now, "exp": now + 300, "sid": self.sid, "auth_time": now - self.login_age,
            "idp_iss": self.issuer, "idp_sub": self.subject, "name": self.subject,
            "groups": self.groups,
        });
        self.system
            .gateway
            .sign_jwt(serde_json::Map::new(), &claims)
            .expect("signed")
    }

    pub(super) fn published_id(&self) -> String {
        published_user_id(&self.issuer, &self.subject)
    }

    pub(super) fn request(&self, method: Method, url: &str) -> http::request::Builder {
        let relative = url.strip_prefix(FRONT).unwrap_or(url);
        let cookies = self.cookies.lock().expect("not poisoned");
        let cookies: Vec<String> = cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut builder = Request::builder()
            .method(method)
            .uri(relative)
            .header(HOST, "account.test");
        if !cookies.is_empty() {
            builder = builder.header(COOKIE, cookies.join("; "));
        }
        builder
    }

    pub(super) async fn send(&self, request: Request<Body>) -> Page {
        let page = self.system.front_channel(request).await;
        for cookie in page.headers.get_all(SET_COOKIE) {
            let pair = cookie
                .to_str()
                .expect("ASCII")
                .split(';')
                .next()
                .unwrap_or_default();
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies
                .lock()
                .expect("not poisoned")
                .insert(name.to_owned(), value.to_owned());
        }
        page
    }

    /// Opens a link of the account origin, logged in.
    pub(super) async fn opens(&self, url: &str) -> Page {
        self.opens_with(url, &[]).await
    }

    /// As [`Self::opens`], with further headers.
    pub(super) async fn opens_with(&self, url: &str, headers: &[(&'static str, &'static str)]) -> Page {
        let mut request = self
            .request(Method::GET, url)
            .header("x-countersign-user-token", self.token("identity"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::empty()).expect("a request")).await
    }

    /// Opens a link without being logged in.
    pub(super) async fn opens_anonymously(&self, url: &str) -> Page {
        self.send(
            self.request(Method::GET, url)
                .body(Body::empty())
                .expect("a request"),
        )
        .await
    }

    /// Answers the start page's question.
    pub(super) async fn answers(&self, page: &Page, decision: &str) -> Page {
        self.answers_as(page, decision, FRONT).await
    }

    pub(super) async fn answers_as(&self, page: &Page, decision: &str, origin: &'static str) -> Page {
        assert_eq!(page.status, StatusCode::OK, "{page:?}");
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("request_uri", &page.hidden("request_uri"))
            .append_pair("csrf_token", &page.hidden("csrf_token"))
            .append_pair("decision", decision)
            .finish();
        let request = self
            .request(Method::POST, "/identities/oauth2/authorize")
            .header("x-countersign-user-token", self.token("identity"))
            .header(ORIGIN, origin)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .expect("a request");
        self.send(request).await
    }

    /// Opens the agent's link and goes on to the vendor; gives the vendor's URL.
    pub(super) async fn starts(&self, link: &str) -> String {
        let question = self.opens(link).await;
        let on = self.answers(&question, "allow").await;
        assert_eq!(on.status, StatusCode::SEE_OTHER, "{on:?}");
        on.location().to_owned()
    }

    /// Agrees at the vendor with the account `account`, and follows the way back.
    pub(super) async fn agrees(&self, vendor_url: &str, account: &str) -> Page {
        let callback = self.system.vendor.agree(vendor_url, account);
        self.opens(&callback).await
    }

    /// From the link to the return URL; gives the completion handle.
    pub(super) async fn consents(&self, link: &str) -> String {
        let vendor_url = self.starts(link).await;
        self.agrees(&vendor_url, &self.subject).await.handle()
    }

    /// What the binding page does for the person in front of it.
    pub(super) async fn completes(&self, handle: &str) -> Answer {
        let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": self.token("binding")}});
        self.system
            .call(
                &self.system.binding,
                "/identities/CompleteResourceTokenAuth",
                &body,
            )
            .await
    }

    /// Everything, from the link on.
    pub(super) async fn connects(&self, link: &str) {
        let handle = self.consents(link).await;
        let answer = self.completes(&handle).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    pub(super) async fn describes(&self, handle: &str) -> Answer {
        let body = json!({"sessionUri": handle, "userIdentifier": {"userToken": self.token("binding")}});
        self.system
            .call(
                &self.system.binding,
                "/countersign/DescribeAuthorizationSession",
                &body,
            )
            .await
    }
}
