//! A page that asks one question and posts the answer.

use askama::Template;
use axum::response::Response;
use http::StatusCode;

use super::{Action, Fact, Layout, Script};
use crate::RequestId;
use crate::security_headers::FormAction;

/// Presses the marked button as soon as the page is there.
const AUTO_SUBMIT: Script =
    Script("const b=document.querySelector('[data-auto-submit]');if(b)b.form.requestSubmit(b);");

/// A submit button.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Button {
    label: String,
    id: Option<String>,
    field: Option<(String, String)>,
    primary: bool,
    auto: bool,
}

impl Button {
    /// The button the person most likely presses.
    #[must_use]
    pub fn primary(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            primary: true,
            ..Self::default()
        }
    }

    /// Another button.
    #[must_use]
    pub fn secondary(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            ..Self::default()
        }
    }

    /// Its element id.
    #[must_use]
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The field sent when it is the one pressed.
    #[must_use]
    pub fn field(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.field = Some((name.into(), value.into()));
        self
    }

    /// Pressed by script as soon as the page is there; without JavaScript the person presses it.
    #[must_use]
    pub fn auto_submit(mut self, auto: bool) -> Self {
        self.auto = auto;
        self
    }
}

#[derive(Template)]
#[template(path = "form_page.html")]
struct Content<'a> {
    title: &'a str,
    lead: &'a str,
    facts: &'a [Fact],
    details: &'a [String],
    post_to: &'a str,
    hidden: &'a [(String, String)],
    buttons: &'a [Button],
    actions: &'a [Action],
}

/// A page with one form of hidden fields and buttons.
#[derive(Debug, Clone, Default)]
pub struct FormPage {
    title: String,
    lead: String,
    facts: Vec<Fact>,
    details: Vec<String>,
    post_to: String,
    hidden: Vec<(String, String)>,
    buttons: Vec<Button>,
    actions: Vec<Action>,
    layout: Layout,
}

impl FormPage {
    /// A form that posts to `post_to`, a path of our own, and whose answer stays on our origin.
    #[must_use]
    pub fn new(title: impl Into<String>, post_to: impl Into<String>) -> Self {
        let title = title.into();
        let layout = Layout::new(title.clone()).form_action(FormAction::SameOrigin);
        Self {
            layout,
            title,
            post_to: post_to.into(),
            ..Self::default()
        }
    }

    /// The question, or the sentence before it.
    #[must_use]
    pub fn lead(mut self, lead: impl Into<String>) -> Self {
        self.lead = lead.into();
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

    /// Adds a hidden field.
    #[must_use]
    pub fn hidden(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.hidden.push((name.into(), value.into()));
        self
    }

    /// Adds a button.
    #[must_use]
    pub fn button(mut self, button: Button) -> Self {
        if button.auto {
            self.layout = self.layout.script(AUTO_SUBMIT);
        }
        self.buttons.push(button);
        self
    }

    /// Adds a link beside the buttons.
    #[must_use]
    pub fn action(mut self, action: Action) -> Self {
        self.actions.extend(Some(action).filter(Action::is_safe));
        self
    }

    /// Where the answer to the post may lead.
    #[must_use]
    pub fn form_action(mut self, form_action: FormAction) -> Self {
        self.layout = self.layout.form_action(form_action);
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
            lead: &self.lead,
            facts: &self.facts,
            details: &self.details,
            post_to: &self.post_to,
            hidden: &self.hidden,
            buttons: &self.buttons,
            actions: &self.actions,
        })
    }
}
