//! The browser cookie of design D11: one random id per browser. It ties start, callback and the form between them
//! to one browser; it names nobody and opens nothing by itself.

use countersign_crypto::{ExposeSecret as _, Random, SecretString, b64url_decode, sha256, token};
use countersign_web::cookie::{self, CookieOptions};
use http::{HeaderMap, HeaderValue};

const COOKIE: &str = "countersign-browser";

/// A browser, by its cookie.
#[derive(Debug)]
pub(crate) struct Browser {
    id: SecretString,
    fresh: bool,
}

/// How the cookie is written on this installation's front channel.
#[derive(Debug, Clone)]
pub(crate) struct BrowserCookie {
    name: String,
    secure: bool,
}

impl BrowserCookie {
    /// For a front channel at an https origin or not; `suffix` keeps installations on one loopback host apart.
    pub(crate) fn new(secure: bool, suffix: &str) -> Self {
        Self {
            name: cookie::name(COOKIE, secure, suffix),
            secure,
        }
    }

    /// The browser that sent `headers`; `None` when it sent no cookie, two, or one that we cannot have set.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<Browser> {
        let value = cookie::read_single(headers, &self.name).ok().flatten()?;
        b64url_decode(&value).filter(|id| id.len() == 32)?;
        Some(Browser {
            id: value.into(),
            fresh: false,
        })
    }

    /// The browser that sent `headers`, with a new id if it has none.
    pub(crate) fn read_or_make(&self, headers: &HeaderMap, random: &dyn Random) -> Browser {
        self.read(headers).unwrap_or_else(|| Browser {
            id: token(random).into(),
            fresh: true,
        })
    }

    /// The `Set-Cookie` header that makes `browser` known from now on, where it is new.
    pub(crate) fn set(&self, browser: &Browser) -> Option<HeaderValue> {
        let options = CookieOptions {
            secure: self.secure,
            ..CookieOptions::default()
        };
        browser
            .fresh
            .then(|| cookie::build(&self.name, browser.id.expose_secret(), options))
    }
}

impl Browser {
    /// What sessions remember of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        browser_hash(self.id.expose_secret())
    }

    /// The cookie's value, to which form tokens are bound.
    pub(crate) fn id(&self) -> &str {
        self.id.expose_secret()
    }
}

/// The hash of a cookie value.
pub(crate) fn browser_hash(value: &str) -> [u8; 32] {
    sha256(value.as_bytes())
}
