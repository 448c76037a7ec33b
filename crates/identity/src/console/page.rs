//! What the console's pages are made of: facts, tables, a drawn chain, filters and forms.

use askama::Template;
use axum::response::Response;
use countersign_api::{ApiError, EpochSeconds};
use countersign_web::page::Layout;
use countersign_web::security_headers::FormAction;
use http::StatusCode;
use http::header::SET_COOKIE;

use super::chain::Chain;
use super::operator::Session;

/// The parts of the console.
const PARTS: [(&str, &str); 12] = [
    ("/console", "Overview"),
    ("/console/agents", "Agents"),
    ("/console/people", "People"),
    ("/console/providers", "Providers"),
    ("/console/grants", "Grants"),
    ("/console/sessions", "Sessions"),
    ("/console/stops", "Stops"),
    ("/console/principals", "Principals"),
    ("/console/keys", "Keys"),
    ("/console/audit", "Audit"),
    ("/console/report", "Report"),
    ("/console/health", "Health"),
];

/// What operations call the fields of our filters, where they call them otherwise.
const MEMBERS: [(&str, &str); 8] = [
    ("workloadName", "agent"),
    ("credentialProviderName", "provider"),
    ("grantId", "grant"),
    ("principal", "caller"),
    ("principalName", "principal"),
    ("requestId", "request"),
    ("sessionId", "session"),
    ("sid", "login"),
];

/// A page.
#[derive(Template, Default)]
#[template(path = "console/page.html")]
pub(super) struct Page {
    parts: &'static [(&'static str, &'static str)],
    /// The part it belongs to.
    pub(super) here: &'static str,
    role: &'static str,
    status: StatusCode,
    /// What is wrong with the filter.
    problem: String,
    pub(super) title: String,
    pub(super) lead: &'static str,
    pub(super) facts: Vec<(&'static str, Cell)>,
    pub(super) filter: Vec<Field>,
    /// Fields of the filter that are folded away until one is used.
    pub(super) more_filter: Vec<Field>,
    pub(super) tables: Vec<Table>,
    pub(super) chain: Option<Chain>,
    /// Files of what the facts are about: words and where they are.
    pub(super) downloads: Vec<(&'static str, String)>,
    /// What to do with the filter, on its button; empty: "Show".
    pub(super) filter_button: &'static str,
    pub(super) documents: Vec<(&'static str, String)>,
    pub(super) actions: Vec<Action>,
}

/// A value in a table or among facts.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) text: String,
    /// Where it leads.
    pub(super) href: Option<String>,
    /// `code`, `time`, or `status` with `good`, `limited`, `bad`.
    pub(super) class: &'static str,
}

/// A table.
#[derive(Default)]
pub(super) struct Table {
    pub(super) caption: &'static str,
    pub(super) head: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
    /// What is said when there are no rows.
    pub(super) empty: &'static str,
    /// The next page.
    pub(super) next: Option<String>,
    /// The words of the link to it, where they are not "Next page".
    pub(super) further: String,
}

/// A field of a form.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    /// The choices of a selection; a text field has none.
    pub(super) choices: &'static [(&'static str, &'static str)],
    pub(super) required: bool,
    /// Several lines of text.
    pub(super) lines: bool,
    /// It is what the page's problem is about.
    pub(super) wrong: bool,
}

/// A form that changes something.
pub(super) struct Action {
    /// Where it is posted to.
    pub(super) path: String,
    /// Set when the page is rendered, for this browser.
    pub(super) token: String,
    pub(super) heading: String,
    pub(super) explanation: &'static str,
    pub(super) hidden: Vec<(&'static str, String)>,
    pub(super) fields: Vec<Field>,
    /// The words beside a box to tick, with the name of the field.
    pub(super) tick: Option<(&'static str, &'static str)>,
    pub(super) button: &'static str,
    pub(super) danger: bool,
}

impl Page {
    /// A page of the part `here`.
    pub(super) fn new(here: &'static str, title: impl Into<String>) -> Self {
        Self {
            parts: &PARTS,
            here,
            title: title.into(),
            ..Self::default()
        }
    }

    /// The page with what is wrong with its filter, each field under the label that stands on it.
    pub(super) fn refused(mut self, error: &ApiError) -> Self {
        self.status = error.code.status();
        let mut words = Vec::new();
        for wrong in &error.fields {
            let member = wrong.name.split(['[', '.']).next().unwrap_or_default();
            let known = MEMBERS.iter().find(|(known, _)| *known == member);
            let name = known.map_or(member, |(_, name)| name);
            let mut fields = self.filter.iter_mut().chain(&mut self.more_filter);
            let label = fields.find(|field| field.name == name).map_or(name, |field| {
                field.wrong = true;
                field
                    .label
                    .split([',', '(', ':'])
                    .next()
                    .unwrap_or_default()
                    .trim_end()
            });
            words.push(format!("{label}: {}", wrong.message));
        }
        self.problem = if words.is_empty() {
            error.message.clone()
        } else {
            words.join("; ")
        };
        self
    }

    /// Whether one of the folded fields is used.
    fn unfolded(&self) -> bool {
        self.more_filter.iter().any(|field| !field.value.is_empty())
    }

    /// The answer.
    pub(super) fn render(mut self, session: &Session) -> Response {
        self.role = session.role.as_str();
        let visit = &session.visit;
        let browser = visit
            .cookie()
            .read_or_make(&visit.parts.headers, &*visit.state.random);
        for action in &mut self.actions {
            action.token = session.form_token(&browser, &action.path);
        }
        let mut answer = Layout::new(self.title.as_str())
            .wide()
            .status(self.status)
            .person(Some(session.person.display_name()))
            .form_action(FormAction::SameOrigin)
            .render(&self);
        if let Some(cookie) = visit.cookie().set(&browser) {
            answer.headers_mut().append(SET_COOKIE, cookie);
        }
        answer
    }
}

impl Cell {
    /// Words.
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// An id or another text for machines.
    pub(super) fn code(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "code",
            ..Self::default()
        }
    }

    /// How something stands: `good`, `limited` or `bad`.
    pub(super) fn status(text: impl Into<String>, class: &'static str) -> Self {
        Self {
            text: text.into(),
            class,
            ..Self::default()
        }
    }

    /// A time, which in a narrow column takes two lines and not four.
    pub(super) fn moment(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            class: "time",
            ..Self::default()
        }
    }

    /// A time, or words where there is none.
    pub(super) fn time(at: Option<EpochSeconds>, otherwise: &str) -> Self {
        Self::moment(at.map_or_else(|| otherwise.to_owned(), time))
    }

    /// Leads to a path of ours.
    pub(super) fn at(mut self, path: impl Into<String>) -> Self {
        self.href = Some(path.into());
        self
    }

    /// Leads to a page of `part`; `name` is encoded.
    pub(super) fn to(mut self, part: &str, name: &str) -> Self {
        self.href = Some(link(part, name));
        self
    }
}

impl Field {
    /// A text field.
    pub(super) fn text(name: &'static str, label: &'static str, value: Option<&str>) -> Self {
        Self {
            name,
            label,
            value: value.unwrap_or_default().to_owned(),
            choices: &[],
            required: false,
            lines: false,
            wrong: false,
        }
    }

    /// A text field that has to be filled in.
    pub(super) fn required(name: &'static str, label: &'static str) -> Self {
        Self {
            required: true,
            ..Self::text(name, label, None)
        }
    }

    /// A selection.
    pub(super) fn choice(
        name: &'static str,
        label: &'static str,
        choices: &'static [(&'static str, &'static str)],
        value: Option<&str>,
    ) -> Self {
        Self {
            choices,
            ..Self::text(name, label, value)
        }
    }
}

impl Action {
    /// A form posted to `path` by `button`.
    pub(super) fn new(path: impl Into<String>, heading: impl Into<String>, button: &'static str) -> Self {
        Self {
            path: path.into(),
            token: String::new(),
            heading: heading.into(),
            explanation: "",
            hidden: Vec::new(),
            fields: Vec::new(),
            tick: None,
            button,
            danger: false,
        }
    }
}

/// `part/name`, with `name` encoded.
pub(super) fn link(part: &str, name: &str) -> String {
    format!("{part}/{}", encoded(name))
}

/// `path?name=value`, with `value` encoded.
pub(super) fn query(path: &str, name: &str, value: &str) -> String {
    format!("{path}?{name}={}", encoded(value))
}

/// The beginning of an id, enough to tell it from others on a page.
pub(super) fn short(id: &str, length: usize) -> String {
    id.get(..length).unwrap_or(id).to_owned()
}

/// For a value in a query.
pub(super) fn encoded(text: &str) -> percent_encoding::PercentEncode<'_> {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
}

/// The page of `path` that begins at `token`, with what the filter says.
pub(super) fn next<'f>(
    path: &str,
    filter: impl IntoIterator<Item = &'f Field>,
    token: Option<String>,
) -> Option<String> {
    let token = token?;
    Some(format!("{}next={}", with_filter(path, filter), encoded(&token)))
}

/// `path` with what the filter says, and room for one more.
pub(super) fn with_filter<'f>(path: &str, filter: impl IntoIterator<Item = &'f Field>) -> String {
    let mut query = format!("{path}?");
    for field in filter.into_iter().filter(|field| !field.value.is_empty()) {
        query.extend([field.name, "=", &encoded(&field.value).to_string(), "&"]);
    }
    query
}

/// A time as people read it; there is no script to put it into their own time zone.
pub(super) fn time(at: EpochSeconds) -> String {
    let since = jiff::SignedDuration::try_from_secs_f64(at.as_secs_f64()).unwrap_or_default();
    let at = jiff::Timestamp::from_duration(since).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}
