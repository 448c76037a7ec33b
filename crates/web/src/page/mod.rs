//! Pages: one layout, one style sheet, and the two kinds of page that most answers to a person are.
//!
//! Pages work without JavaScript, load nothing, and say in their Content-Security-Policy that nothing may
//! be loaded (design D20). A crate with a page of its own writes an askama template of what stands inside
//! `<main>` and renders it through [`Layout`].

mod form_page;
mod layout;
mod message;
mod redirect;
mod scope_words;

use axum::response::Response;
use http::StatusCode;

pub use form_page::{Button, FormPage};
pub use layout::{Layout, STYLE, Script};
pub use message::{Message, Tone};
pub use redirect::{found, see_other};
pub use scope_words::scope_words;

use crate::RequestId;

/// A line of facts: a label and what it is about, once or as a list (such as scopes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    label: String,
    values: Vec<Value>,
    list: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Value {
    /// What the text means, in words.
    words: Option<String>,
    text: String,
}

impl Fact {
    /// One value.
    #[must_use]
    pub fn text(label: impl Into<String>, value: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            values: vec![Value {
                words: None,
                text: value.into(),
            }],
            list: false,
        }
    }

    /// Several values, each set apart.
    #[must_use]
    pub fn list<S: Into<String>>(label: impl Into<String>, values: impl IntoIterator<Item = S>) -> Self {
        Self::explained(label, values.into_iter().map(|value| (None, value)))
    }

    /// Scopes, each with what it means where its name tells ([`scope_words`]).
    #[must_use]
    pub fn scopes(label: impl Into<String>, scopes: &[String]) -> Self {
        let values = scopes.iter().map(|scope| (scope_words(scope), scope.as_str()));
        Self::explained(label, values)
    }

    /// Several values with what each means, where that is known.
    #[must_use]
    pub fn explained<S: Into<String>>(
        label: impl Into<String>,
        values: impl IntoIterator<Item = (Option<String>, S)>,
    ) -> Self {
        let value = |(words, text): (Option<String>, S)| Value {
            words,
            text: text.into(),
        };
        Self {
            label: label.into(),
            values: values.into_iter().map(value).collect(),
            list: true,
        }
    }
}

/// A link that looks like a button. Links that are neither a path of our own nor http(s) are not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    label: String,
    href: String,
    primary: bool,
}

impl Action {
    /// What the person most likely wants next.
    #[must_use]
    pub fn primary(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
            primary: true,
        }
    }

    /// Another way on.
    #[must_use]
    pub fn secondary(label: impl Into<String>, href: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            href: href.into(),
            primary: false,
        }
    }

    fn is_safe(&self) -> bool {
        let own_path =
            self.href.starts_with('/') && !self.href.starts_with("//") && !self.href.starts_with("/\\");
        own_path || self.href.starts_with("https://") || self.href.starts_with("http://")
    }
}

/// The page of a refusal or failure: what happened in general terms, and the request id by which the
/// operator finds the cause.
#[must_use]
pub fn error_page(status: StatusCode, title: &str, message: &str, request_id: &RequestId) -> Response {
    Message::new(title)
        .lead(message)
        .tone(Tone::Problem)
        .status(status)
        .request_id(Some(request_id))
        .render()
}
