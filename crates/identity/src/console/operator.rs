//! Who is in front of the console, and what their role lets them do.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use axum::response::Response;
use countersign_api::{ApiError, Arn, ErrorCode};
use countersign_web::page::{Action, Message, Tone};
use countersign_web::{Person, csrf, form};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::page::Page;
use crate::config::ConsoleConfig;
use crate::data::user_subjects;
use crate::front_channel::browser::Browser;
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::operation::{Caller, Handle, Operator, perform};
use crate::policy::{Policy, Tags};
use crate::state::State;
use crate::stops::Subject;
use crate::store::principal::{PrincipalRow, StoredPolicy};

/// How old a login may be for a change.
const FRESH: Duration = Duration::from_mins(10);
/// Longest form read, bytes.
const MAX_FORM: usize = 16 * 1024;

/// What an operator may do; each may do what the ones before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Looks.
    Viewer,
    /// Stops, starts and revokes.
    Responder,
    /// Rotates keys.
    Admin,
}

/// Everything that shows and reveals no secret. `GetResource*` and `GetWorkloadAccessToken*` are not among it: an
/// operator never gets a token (design D6).
const VIEWER: &[&str] = &[
    "bedrock-agentcore:GetApiKeyCredentialProvider",
    "bedrock-agentcore:GetOauth2CredentialProvider",
    "bedrock-agentcore:GetTokenVault",
    "bedrock-agentcore:GetWorkloadIdentity",
    "bedrock-agentcore:ListApiKeyCredentialProviders",
    "bedrock-agentcore:ListOauth2CredentialProviders",
    "bedrock-agentcore:ListWorkloadIdentities",
    "countersign:DescribeHealth",
    "countersign:ExplainAuditRecord",
    "countersign:GetAuditReport",
    "countersign:GetGrant",
    "countersign:GetPrincipal",
    "countersign:GetPrincipalPolicy",
    "countersign:ListAccessKeys",
    "countersign:ListAuditRecords",
    "countersign:ListAuthorizationSessions",
    "countersign:ListGrants",
    "countersign:ListKeys",
    "countersign:ListPrincipals",
    "countersign:ListStops",
    "countersign:ListUsers",
    "countersign:SimulatePolicy",
    "countersign:VerifyAudit",
];
const RESPONDER: &[&str] = &["countersign:RevokeGrant", "countersign:Start", "countersign:Stop"];
const ADMIN: &[&str] = &["countersign:RotateKey"];

impl Role {
    /// The greatest role that one of `groups` gives.
    fn of(groups: &[String], config: &ConsoleConfig) -> Option<Self> {
        [
            (Self::Admin, &config.admins),
            (Self::Responder, &config.responders),
            (Self::Viewer, &config.viewers),
        ]
        .into_iter()
        .find_map(|(role, listed)| groups.iter().any(|group| listed.contains(group)).then_some(role))
    }

    /// The role in words; its principal is `console-` and this.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Admin => "admin",
        }
    }

    /// Its policy, from a document in the language of all policies.
    fn policy(self) -> Option<StoredPolicy> {
        static POLICIES: LazyLock<[Option<StoredPolicy>; 3]> = LazyLock::new(|| {
            [
                vec![VIEWER],
                vec![VIEWER, RESPONDER],
                vec![VIEWER, RESPONDER, ADMIN],
            ]
            .map(|actions| compiled(&actions.concat()))
        });
        POLICIES[self as usize].clone()
    }
}

fn compiled(actions: &[&str]) -> Option<StoredPolicy> {
    let document = json!({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}],
    });
    // Without a policy nothing is allowed.
    let policy = Policy::parse(&document).ok()?;
    Some(StoredPolicy {
        document,
        policy,
        break_glass: false,
        updated_at: countersign_crypto::Timestamp::from_secs(0),
    })
}

/// One operator's visit of one page.
pub(super) struct Session {
    pub(super) visit: Visit,
    pub(super) person: Person,
    pub(super) role: Role,
}

/// Begins the visit of a page that shows. The refused get their answer.
impl FromRequest<State> for Session {
    type Rejection = Response;

    async fn from_request(request: Request, state: &State) -> Result<Self, Response> {
        let (visit, _) = Visit::begin(state, "OpenConsole", request);
        begin(visit).await.map_err(|answer| *answer)
    }
}

/// Begins the visit of a form that changes something, and reads it.
pub(super) async fn enter_with_form<F: DeserializeOwned>(
    state: &State,
    request: Request,
    purpose: &str,
) -> Result<(Session, F), Box<Response>> {
    let (visit, body) = Visit::begin(state, "OpenConsole", request);
    let session = begin(visit).await?;
    match session.read_form(body, purpose).await {
        Ok(form) => Ok((session, form)),
        Err(refused) => Err(Box::new(session.visit.refuse(refused).await)),
    }
}

async fn begin(mut visit: Visit) -> Result<Session, Box<Response>> {
    match recognise(&mut visit).await {
        Ok((person, role)) => Ok(Session { visit, person, role }),
        Err(refused) => Err(Box::new(visit.refuse(refused).await)),
    }
}

async fn recognise(visit: &mut Visit) -> Result<(Person, Role), Refused> {
    let person = visit.person().await?;
    let person = person.ok_or(Refused::new(Refusal::Unavailable, "identity_missing"))?;
    visit.acts(person.user_key, person.sid.as_deref());
    let state = &visit.state;
    visit.entry.account.clone_from(&state.config.account);
    visit.entry.region.clone_from(&state.config.region);
    // Another account's identity provider says what it likes about groups; here they would be this account's.
    let served = state.config.account_served(&person);
    if served.is_some_and(|account| account != state.config.account) {
        return Err(Refused::new(Refusal::NotAnOperator, "other_account"));
    }
    let role = Role::of(&person.groups, &state.config.console);
    let role = role.ok_or(Refused::new(Refusal::NotAnOperator, "not_an_operator"))?;
    Ok((person, role))
}

impl Session {
    /// Whether buttons of this role are shown.
    pub(super) fn may(&self, role: Role) -> bool {
        self.role >= role
    }

    /// The page, or what kept it from being made.
    pub(super) fn answer(&self, page: Result<Page, Problem>) -> Response {
        match page {
            Ok(page) => page.render(self),
            Err(problem) => problem.page(self),
        }
    }

    /// Does an operation as this operator.
    pub(super) async fn perform<O: Handle>(&self, input: &O::Input) -> Result<O::Output, Problem> {
        let state = &self.visit.state;
        let done = perform::<O>(state, self.operator(), input).await;
        done.map_err(Problem)
    }

    /// Who does what a page is made of.
    pub(super) fn operator(&self) -> Operator {
        let state = &self.visit.state;
        let account = state.config.account.clone();
        let name = format!("console-{}", self.role.as_str());
        // The login, which the gateway's trail leads to the person; nothing that names them.
        let session = self.person.sid.as_deref().unwrap_or("unknown-login");
        let principal = PrincipalRow {
            id: String::new(),
            account: account.clone(),
            name: name.clone(),
            policy: self.role.policy(),
            tags: Tags::default(),
            trust: None,
            created_at: self.visit.now,
        };
        let published = countersign_crypto::published_user_id(&self.person.issuer, &self.person.subject);
        Operator {
            caller: Caller {
                arn: Arn::assumed_role(&account, &name, session),
                principal_arn: Arn::role(&account, &name),
                principal: Arc::new(principal),
                account,
                request_id: self.request_id(),
                source: None,
            },
            sid: self.person.sid.clone(),
            subjects: user_subjects(self.person.user_key, Some(&published))
                .chain([Subject::Principal(name)])
                .collect(),
        }
    }

    fn request_id(&self) -> String {
        let id = self.visit.request_id.as_ref();
        id.map_or_else(String::new, ToString::to_string)
    }

    /// A token for the form that is posted to `path`.
    pub(super) fn form_token(&self, browser: &Browser, path: &str) -> String {
        csrf::token(&self.secret(), browser.id(), path, self.visit.now)
    }

    fn secret(&self) -> [u8; 32] {
        let session = &self.visit.state.installation.session;
        session.derive("console form tokens")
    }

    /// Origin first, then the cookie and the token, then how long ago the person proved who they are.
    async fn read_form<F: DeserializeOwned>(&self, body: Body, path: &str) -> Result<F, Refused> {
        let foreign = |reason| Refused::new(Refusal::ForeignForm, reason);
        let visit = &self.visit;
        let origin = visit.state.config.front_channel_url.origin();
        csrf::require_same_origin(&visit.parts.headers, &origin.ascii_serialization())
            .map_err(|error| foreign(error.reason()))?;
        let body = axum::body::to_bytes(body, MAX_FORM)
            .await
            .map_err(|_| foreign("malformed_form"))?;
        let text = std::str::from_utf8(&body).map_err(|_| foreign("malformed_form"))?;
        let proof: Proof = form::parse(text).map_err(|_| foreign("malformed_form"))?;
        let browser = visit.cookie().read(&visit.parts.headers);
        let browser = browser.ok_or(foreign("missing_cookie"))?;
        csrf::verify(&self.secret(), browser.id(), path, &proof.csrf_token, visit.now)
            .map_err(|error| foreign(error.reason()))?;
        let fresh = |at| visit.now.since(at) <= FRESH;
        if !self.person.auth_time.is_some_and(fresh) {
            return Err(Refused::new(Refusal::OldLogin, "login_too_old"));
        }
        form::parse(text).map_err(|_| foreign("malformed_form"))
    }
}

/// What every form of the console carries.
#[derive(serde::Deserialize)]
struct Proof {
    csrf_token: String,
}

/// An operation did not do what was asked; it is recorded already.
pub(super) struct Problem(pub(super) ApiError);

impl Problem {
    /// The page with what is wrong with its filter, where that is what it is.
    pub(super) fn on(self, page: Page) -> Result<Page, Self> {
        match self.0.code {
            ErrorCode::Validation | ErrorCode::ResourceNotFound => Ok(page.refused(&self.0)),
            _ => Err(self),
        }
    }

    /// The page that says so.
    pub(super) fn page(self, session: &Session) -> Response {
        let Self(error) = self;
        let title = if error.code.status().is_server_error() {
            "Not available right now"
        } else {
            "This was not done"
        };
        Message::new(title)
            .lead(error.message)
            .tone(Tone::Problem)
            .status(error.code.status())
            .request_id(session.visit.request_id.as_ref())
            .action(Action::secondary("Back to the console", super::PATH))
            .render()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_role_counts_and_no_group_gives_none() {
        let config = ConsoleConfig {
            viewers: vec!["staff".to_owned()],
            responders: vec!["security".to_owned()],
            admins: vec!["platform".to_owned()],
        };
        let role = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            Role::of(&groups, &config)
        };
        assert_eq!(role(&[]), None);
        assert_eq!(role(&["Staff", "staff "]), None, "to the letter");
        assert_eq!(role(&["staff"]), Some(Role::Viewer));
        assert_eq!(role(&["staff", "platform", "security"]), Some(Role::Admin));
        assert_eq!(Role::of(&["staff".to_owned()], &ConsoleConfig::default()), None);
    }

    #[test]
    fn no_role_may_get_a_token_or_complete_a_session() {
        for actions in [VIEWER, RESPONDER, ADMIN] {
            for action in actions {
                let may_not = ["GetResource", "GetWorkloadAccessToken", "Complete", "*"];
                assert!(may_not.iter().all(|part| !action.contains(part)), "{action}");
            }
        }
        for role in [Role::Viewer, Role::Responder, Role::Admin] {
            assert!(
                role.policy().is_some(),
                "the document of {} compiles",
                role.as_str()
            );
        }
    }
}
