//! `RecordBindingRefusal`: what the session binding service refused by itself, for the audit trail, which it has none of.

use serde::{Deserialize, Serialize};

use crate::data::UserIdentifier;
use crate::validate::pattern;
use crate::validate::{Checker, Validate};

operation! {
    /// What the session binding service refused by itself, for the audit trail, which it has none of.
    RecordBindingRefusal: "countersign" "/countersign/RecordBindingRefusal" => 200
}

/// Why the page refused. A closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BindingRefusal {
    /// A form from another origin.
    #[default]
    CrossOrigin,
    /// A form without this page's token for this person, browser session and handle.
    InvalidCsrfToken,
    /// A form of this page that is too old.
    StaleForm,
    /// A completion handle that is none.
    MalformedHandle,
    /// A browser that fetches ahead of the person.
    Prefetch,
    /// An image, a frame, a script or another part of a page.
    NotADocument,
}

impl BindingRefusal {
    /// The audit reason.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CrossOrigin => "cross_origin",
            Self::InvalidCsrfToken => "invalid_csrf_token",
            Self::StaleForm => "stale_form",
            Self::MalformedHandle => "malformed_handle",
            Self::Prefetch => "prefetch",
            Self::NotADocument => "not_a_document",
        }
    }
}

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Why.
    pub reason: BindingRefusal,
    /// The request id that the person was given.
    pub page_request_id: String,
    /// The person who was in front of the page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_identifier: Option<UserIdentifier>,
    /// Refusals since the last that was recorded, which were too many to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<i64>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Output {}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        check.text("pageRequestId", &self.page_request_id, 1..=128, &pattern::ID);
        if let Some(identifier) = &self.user_identifier {
            check.nested("userIdentifier", |check| identifier.validate(check));
        }
        if let Some(suppressed) = self.suppressed {
            check.range("suppressed", suppressed, 0..=1_000_000_000);
        }
    }
}
