//! What callers hand in.

use countersign_crypto::UserKey;
use serde_json::{Map, Value};

/// How an operation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It did what was asked.
    Done,
    /// It was not allowed, and changed nothing.
    Refused,
    /// It was allowed and went wrong.
    Failed,
}

impl Outcome {
    /// The stored word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// One thing that happened, before it is a record. Text members longer than 2048 bytes are cut.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The operation's own name: `GetResourceOauth2Token`, `Login`, `CompleteResourceTokenAuth`, …
    pub action: &'static str,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it was refused or failed, from the caller's closed list: `wrong_person`, `expired`, …
    pub reason: Option<&'static str>,
    /// The account; empty for the recorder's own.
    pub account: String,
    /// The region; empty for the recorder's own.
    pub region: String,
    /// ARN of the authenticated caller.
    pub principal: Option<String>,
    /// The `x-amzn-requestid` that the caller was given.
    pub request_id: Option<String>,
    /// The trace that spans the services involved.
    pub trace_id: Option<String>,
    /// Network address of the caller. Sealed with the personal details when the entry names a person.
    pub source: Option<String>,
    /// The login session (`sid`) on which gateway and identity records join.
    pub sid: Option<String>,
    /// Name of the workload identity.
    pub workload: Option<String>,
    /// Name of the credential provider.
    pub provider: Option<String>,
    /// The authorization session's public record id, never its URI, which is a capability.
    pub session: Option<String>,
    /// Id of the grant made, used or revoked.
    pub grant: Option<String>,
    /// The person concerned; stored as a pseudonym under a key that can be destroyed.
    pub person: Option<UserKey>,
    /// What identifies or describes the person; sealed under the person's key. Needs `person`.
    pub personal: Map<String, Value>,
    /// What does not; stored in clear. No secrets.
    pub detail: Map<String, Value>,
}

impl Entry {
    /// An entry with nothing but its action and outcome.
    #[must_use]
    pub fn new(action: &'static str, outcome: Outcome) -> Self {
        Self {
            action,
            outcome,
            reason: None,
            account: String::new(),
            region: String::new(),
            principal: None,
            request_id: None,
            trace_id: None,
            source: None,
            sid: None,
            workload: None,
            provider: None,
            session: None,
            grant: None,
            person: None,
            personal: Map::new(),
            detail: Map::new(),
        }
    }

    /// Sets the reason of a refusal or failure.
    #[must_use]
    pub fn with_reason(mut self, reason: &'static str) -> Self {
        self.reason = Some(reason);
        self
    }

    /// Sets account and region.
    #[must_use]
    pub fn with_account(mut self, account: impl Into<String>, region: impl Into<String>) -> Self {
        self.account = account.into();
        self.region = region.into();
        self
    }

    /// Sets the caller's ARN.
    #[must_use]
    pub fn with_principal(mut self, arn: impl Into<String>) -> Self {
        self.principal = Some(arn.into());
        self
    }

    /// Sets the request id.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.request_id = Some(id.into());
        self
    }

    /// Sets the trace id.
    #[must_use]
    pub fn with_trace_id(mut self, id: impl Into<String>) -> Self {
        self.trace_id = Some(id.into());
        self
    }

    /// Sets the caller's network address.
    #[must_use]
    pub fn with_source(mut self, address: impl Into<String>) -> Self {
        self.source = Some(address.into());
        self
    }

    /// Sets the login session.
    #[must_use]
    pub fn with_sid(mut self, sid: impl Into<String>) -> Self {
        self.sid = Some(sid.into());
        self
    }

    /// Sets the workload identity's name.
    #[must_use]
    pub fn with_workload(mut self, name: impl Into<String>) -> Self {
        self.workload = Some(name.into());
        self
    }

    /// Sets the credential provider's name.
    #[must_use]
    pub fn with_provider(mut self, name: impl Into<String>) -> Self {
        self.provider = Some(name.into());
        self
    }

    /// Sets the authorization session's public id.
    #[must_use]
    pub fn with_session(mut self, id: impl Into<String>) -> Self {
        self.session = Some(id.into());
        self
    }

    /// Sets the grant's id.
    #[must_use]
    pub fn with_grant(mut self, id: impl Into<String>) -> Self {
        self.grant = Some(id.into());
        self
    }

    /// Sets the person concerned.
    #[must_use]
    pub fn with_person(mut self, person: UserKey) -> Self {
        self.person = Some(person);
        self
    }

    /// Adds a personal detail.
    #[must_use]
    pub fn with_personal(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.personal.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a detail that is neither personal nor secret.
    #[must_use]
    pub fn with_detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(name.to_owned(), value.into());
        self
    }
}
