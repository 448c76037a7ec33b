//! Answers to HTTP-01 challenges (RFC 8555 section 8.3).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;

const PREFIX: &str = "/.well-known/acme-challenge/";

/// The key authorizations that listeners answer with, by token.
#[derive(Debug, Default)]
pub(crate) struct HttpChallenges(ArcSwap<HashMap<String, String>>);

impl HttpChallenges {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn begin(&self, token: &str, key_authorization: &str) {
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.insert(token.to_owned(), key_authorization.to_owned());
            known
        });
    }

    pub(crate) fn end(&self, token: &str) {
        self.0.rcu(|known| {
            let mut known = HashMap::clone(known);
            known.remove(token);
            known
        });
    }

    /// The answer to a request for `path`; `None` when it is no challenge that is under way.
    pub(crate) fn answer(&self, path: &str) -> Option<String> {
        self.0.load().get(path.strip_prefix(PREFIX)?).cloned()
    }
}
