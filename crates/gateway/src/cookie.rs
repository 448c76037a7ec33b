//! Names and attributes of the gateway's own cookies.
//!
//! Every name begins with [`PREFIX`], after `__Host-` on HTTPS origins, so that no sibling host can set
//! them. On loopback HTTP browsers share cookies between ports: there the suffix, and the origin in the
//! name, keep installations and listeners apart.

use std::time::Duration;

use countersign_crypto::sha256;
use countersign_web::cookie::{self, CookieOptions, DuplicateCookie, SameSite};
use http::{HeaderMap, HeaderValue, header};

use crate::origin::Origin;

/// Begins the name of every cookie of this product.
pub(crate) const PREFIX: &str = "countersign-";

/// How long a login may take. Fixed, as on an ALB.
pub(crate) const LOGIN_LIFETIME: Duration = Duration::from_mins(15);

/// Logins under way in one browser; older ones are forgotten, so that a page which starts logins in a
/// loop cannot fill the cookie jar.
const MAX_TRANSACTIONS: usize = 5;

/// The cookie names of one listener.
#[derive(Clone, Debug)]
pub(crate) struct CookieNames {
    secure: bool,
    ticket: String,
    /// Begins the names that an ALB would use, where this cookie stands for one of an ALB.
    shards: Option<String>,
    transaction: String,
}

fn is_number(text: &str) -> bool {
    (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
}

impl CookieNames {
    /// The cookies of one login on one origin. `kind` is its name among those of the origin; `session` is
    /// the name an ALB's cookie would have, whose first and only shard the ticket then is.
    pub(crate) fn new(kind: &str, origin: &Origin, suffix: &str, session: Option<&str>) -> Self {
        let secure = origin.is_https();
        let name = |kind: &str| cookie::name(&format!("{PREFIX}{kind}"), secure, suffix);
        Self {
            secure,
            ticket: session.map_or_else(|| name(kind), |session| format!("{session}-0")),
            shards: session.map(|session| format!("{session}-")),
            transaction: format!("{}-{kind}-", name("login")),
        }
    }

    /// Whether a browser brings any ticket of this login, be it worth something or not.
    pub(crate) fn has_ticket(&self, headers: &HeaderMap) -> bool {
        !matches!(self.ticket(headers), Ok(None))
    }

    /// The ticket's name, where it is one that targets know of.
    pub(crate) fn foreign_ticket_name(&self) -> Option<&str> {
        self.shards.as_ref().map(|_| self.ticket.as_str())
    }

    /// Whether a cookie is the ticket, or would be a shard of an ALB's.
    pub(crate) fn is_ticket(&self, name: &str) -> bool {
        let shard = |shards: &String| name.strip_prefix(shards.as_str()).is_some_and(is_number);
        name == self.ticket || self.shards.as_ref().is_some_and(shard)
    }

    /// The ticket a browser sent.
    pub(crate) fn ticket(&self, headers: &HeaderMap) -> Result<Option<String>, DuplicateCookie> {
        cookie::read_single(headers, &self.ticket)
    }

    /// The same, as it was sent.
    pub(crate) fn ticket_bytes<'a>(
        &self,
        headers: &'a HeaderMap,
    ) -> Result<Option<&'a [u8]>, DuplicateCookie> {
        cookie::find_single(headers, &self.ticket)
    }

    /// Has the browser keep a ticket. Without `Max-Age`: the session's limits are the server's matter,
    /// and a browser that is closed forgets it.
    pub(crate) fn set_ticket(&self, value: &str) -> HeaderValue {
        cookie::build(&self.ticket, value, self.options())
    }

    pub(crate) fn clear_ticket(&self) -> HeaderValue {
        self.removal(&self.ticket)
    }

    /// The login transaction of `state`. Each has a cookie of its own, so that two tabs can log in.
    pub(crate) fn transaction(
        &self,
        headers: &HeaderMap,
        state: &str,
    ) -> Result<Option<String>, DuplicateCookie> {
        cookie::read_single(headers, &self.transaction_name(state))
    }

    pub(crate) fn set_transaction(&self, state: &str, value: &str) -> HeaderValue {
        let options = CookieOptions {
            max_age: Some(LOGIN_LIFETIME),
            ..self.options()
        };
        cookie::build(&self.transaction_name(state), value, options)
    }

    pub(crate) fn clear_transaction(&self, state: &str) -> HeaderValue {
        self.removal(&self.transaction_name(state))
    }

    /// Whether any login is under way in this browser.
    pub(crate) fn has_transaction(&self, headers: &HeaderMap) -> bool {
        self.transactions(headers).next().is_some()
    }

    /// Cookies that end logins under way, where a browser has too many of them.
    pub(crate) fn clear_crowd(&self, headers: &HeaderMap) -> Vec<HeaderValue> {
        if self.transactions(headers).count() < MAX_TRANSACTIONS {
            return Vec::new();
        }
        self.transactions(headers)
            .map(|name| self.removal(name))
            .collect()
    }

    fn transactions<'a>(&'a self, headers: &'a HeaderMap) -> impl Iterator<Item = &'a str> {
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('=').map(|(name, _)| name))
            .filter(|name| name.starts_with(&self.transaction))
    }

    fn transaction_name(&self, state: &str) -> String {
        format!(
            "{}{}",
            self.transaction,
            hex::encode(&sha256(state.as_bytes())[..4])
        )
    }

    fn options(&self) -> CookieOptions {
        // Lax: the identity provider and the consent flow come back by cross-site navigation.
        CookieOptions {
            secure: self.secure,
            same_site: SameSite::Lax,
            max_age: None,
        }
    }

    fn removal(&self, name: &str) -> HeaderValue {
        cookie::remove(name, self.options())
    }
}
