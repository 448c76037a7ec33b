//! Response headers that confine a page (design D20), and the builder of its Content-Security-Policy.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::sha256;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// `Cross-Origin-Opener-Policy`: a window that opened ours, or that ours opened, gets no handle on it.
pub const COOP: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
/// `Cross-Origin-Resource-Policy`.
pub const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// `Permissions-Policy`.
pub const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// What a response that says nothing of its own gets: nothing may load, nothing may frame it.
const STRICTEST: &str = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

/// Sets every header of the list that the response does not already have.
pub fn add_missing(headers: &mut HeaderMap) {
    let defaults = [
        (CONTENT_SECURITY_POLICY, STRICTEST),
        (COOP, "same-origin"),
        (CORP, "same-origin"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (
            PERMISSIONS_POLICY,
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ];
    // Once instead of at every doubling: an answer of an API begins with two headers.
    headers.reserve(defaults.len());
    for (name, value) in defaults {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Where forms of a page may post to. Chromium applies `form-action` to every redirect that follows a
/// post, too, so a form whose answer leads to another origin has to name that origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum FormAction {
    /// No form.
    #[default]
    None,
    /// The page's own origin, redirects included.
    SameOrigin,
    /// The page's own origin, then redirects to these origins.
    Origins(Vec<String>),
    /// The page's own origin, then redirects that nobody can foresee (a provider that sends the person on
    /// to another login). The directive is left out; the form's address is still ours, in our own markup.
    AnyRedirect,
}

/// What a page tells other pages about where the person came from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Referrer {
    /// Nothing.
    #[default]
    None,
    /// Only pages of its own origin. Pages with forms need this: under `no-referrer` browsers send
    /// `Origin: null` with a post (Fetch standard, "append a request `Origin` header"), and our Origin
    /// check would refuse the person.
    SameOrigin,
}

impl Referrer {
    /// The header value.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "no-referrer",
            Self::SameOrigin => "same-origin",
        }
    }
}

/// A Content-Security-Policy that allows exactly the given inline style and scripts.
#[derive(Debug, Clone, Default)]
pub struct ContentSecurityPolicy {
    styles: Vec<String>,
    scripts: Vec<String>,
    form_action: FormAction,
}

impl ContentSecurityPolicy {
    /// Nothing allowed.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows this inline style, the exact text between the tags.
    #[must_use]
    pub fn style(mut self, text: &str) -> Self {
        self.styles.push(hash_source(text));
        self
    }

    /// Allows this inline script, the exact text between the tags.
    #[must_use]
    pub fn script(mut self, text: &str) -> Self {
        self.scripts.push(hash_source(text));
        self
    }

    /// Where forms may lead.
    #[must_use]
    pub fn form_action(mut self, form_action: FormAction) -> Self {
        self.form_action = form_action;
        self
    }

    /// The header value. `img-src data:` is for the icon in the base layout.
    #[must_use]
    pub fn value(&self) -> String {
        let mut policy = String::from("default-src 'none'; img-src data:");
        for (directive, sources) in [("style-src", &self.styles), ("script-src", &self.scripts)] {
            if !sources.is_empty() {
                policy.push_str("; ");
                policy.push_str(directive);
                for source in sources {
                    policy.push(' ');
                    policy.push_str(source);
                }
            }
        }
        policy.push_str("; frame-ancestors 'none'; base-uri 'none'");
        match &self.form_action {
            FormAction::None => policy.push_str("; form-action 'none'"),
            FormAction::SameOrigin => policy.push_str("; form-action 'self'"),
            FormAction::Origins(origins) => {
                policy.push_str("; form-action 'self'");
                for origin in origins.iter().filter(|origin| is_source(origin)) {
                    policy.push(' ');
                    policy.push_str(origin);
                }
            }
            FormAction::AnyRedirect => {}
        }
        policy
    }
}

/// Whether `text` is safe as one source expression: no separator that would begin another.
fn is_source(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !matches!(byte, b';' | b',' | b'\''))
}

fn hash_source(text: &str) -> String {
    format!("'sha256-{}'", STANDARD.encode(sha256(text.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policy_allows_only_what_was_named() {
        let policy = ContentSecurityPolicy::new()
            .style("a{}")
            .form_action(FormAction::Origins(vec![
                "https://idp.example".into(),
                "x; script-src *".into(),
            ]))
            .value();
        assert!(policy.starts_with("default-src 'none'; img-src data:; style-src 'sha256-"));
        assert!(!policy.contains("script-src"));
        assert!(policy.ends_with("base-uri 'none'; form-action 'self' https://idp.example"));
    }

    #[test]
    fn defaults_do_not_overwrite() {
        let mut headers = HeaderMap::new();
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
        add_missing(&mut headers);
        assert_eq!(headers[REFERRER_POLICY], "same-origin");
        assert_eq!(headers[CONTENT_SECURITY_POLICY], STRICTEST);
        assert_eq!(headers[CACHE_CONTROL], "no-store");
    }
}
