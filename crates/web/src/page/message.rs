//! A page that tells something: success, a refusal, an error.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{Action, Fact, Layout};
use crate::RequestId;

/// How a message is meant; shown by an icon and a word for screen readers, not by colour alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Plain information.
    #[default]
    Neutral,
    /// It worked.
    Success,
    /// It did not.
    Problem,
}

#[derive(Template)]
#[template(path = "message.html")]
struct Content<'a> {
    title: &'a str,
    tone: Tone,
    lead: &'a str,
    facts: &'a [Fact],
    details: &'a [String],
    actions: &'a [Action],
}

/// A message page.
#[derive(Debug, Clone, Default)]
pub struct Message {
    title: String,
    lead: String,
    tone: Tone,
    facts: Vec<Fact>,
    details: Vec<String>,
    actions: Vec<Action>,
    layout: Layout,
}

impl Message {
    /// A message with this heading.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        let title = title.into();
        Self {
            layout: Layout::new(title.clone()),
            title,
            ..Self::default()
        }
    }

    /// The one sentence that matters.
    #[must_use]
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = lead.into();
        self
    }

    /// How it is meant.
    #[must_use]
    pub fn tone(mut self, tone: Tone) -> Self {
        self.tone = tone;
        self
    }

    /// Adds a line of facts.
    #[must_use]
    pub fn fact(mut self, fact: Fact) -> Self {
        self.facts.push(fact);
        self
    }

    /// Adds a paragraph.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.details.push(detail.into());
        self
    }

    /// Adds a link.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.extend(Some(action).filter(Action::is_safe));
        self
    }

    /// The status; 200 unless said otherwise.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.layout = self.layout.status(status);
        self
    }

    /// The id to quote to the operator.
    #[must_use]
    pub fn request_id(mut self, request_id: Option<&RequestId>) -> Self {
        self.layout = self.layout.request_id(request_id);
        self
    }

    /// Who is logged in.
    #[must_use]
    pub fn person(mut self, name: Option<&str>) -> Self {
        self.layout = self.layout.person(name);
        self
    }

    /// The answer.
    #[must_use]
    pub fn render(&self) -> Response {
        self.layout.render(&Content {
            title: &self.title,
            tone: self.tone,
            lead: &self.lead,
            facts: &self.facts,
            details: &self.details,
            actions: &self.actions,
        })
    }
}
