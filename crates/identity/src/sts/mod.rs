//! `AssumeRoleWithWebIdentity` and `GetCallerIdentity` of AWS STS, in its query protocol.
//!
//! A program that some issuer vouches for (a Kubernetes cluster, a CI system) becomes a role for an hour or so, without
//! an access key to keep. Refused: issuers that the operator has not listed, before anything is fetched; tokens that
//! the role's trust policy does not name by issuer, audience and subject; session policies, which are not offered.
//! Whether a role exists is not told to strangers.

mod answer;
mod assume_role_with_web_identity;
mod get_caller_identity;
mod parameters;
pub(crate) mod session_token;
pub(crate) mod trust;

use std::net::IpAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::response::Response;
use axum::routing::get;
use countersign_audit::{Entry, Outcome};
use countersign_crypto::Timestamp;
use countersign_web::{Peer, RequestId};
use http::request::Parts;
use http::{Method, StatusCode};
use tracing::Instrument as _;

use self::answer::StsError;
use self::parameters::Parameters;
use crate::authn;
use crate::finished::Finished;
use crate::operation::read_body;
use crate::state::State;
use crate::stops::Subject;

/// Adds the route of the query protocol.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    router.route("/", get(serve).post(serve))
}

/// One call.
struct StsCall {
    state: State,
    now: Timestamp,
    request_id: String,
    source: Option<IpAddr>,
    /// What will be recorded.
    entry: Entry,
    /// Whether the caller is somebody this installation knows. Refusals of all others are counted, not awaited: anybody
    /// gets a token of a public CI system (design D15).
    known: bool,
}

impl StsCall {
    /// Counts a call of an account that has been authenticated, with those of its other operations.
    fn check_rate(&self, account: &str) -> Result<(), StsError> {
        Ok(self.state.rates.account(account, self.now)?)
    }

    /// Refuses when the role or principal `name`, or its account, is stopped.
    async fn check_stops(&self, account: &str, name: &str) -> Result<(), StsError> {
        let subjects = [Subject::Principal(name.to_owned()), Subject::Account];
        match self.state.stops.first_stopped(account, &subjects).await? {
            None => Ok(()),
            Some(subject) => {
                let message = "Access has been stopped.";
                Err(StsError::new(
                    StatusCode::FORBIDDEN,
                    "AccessDenied",
                    subject.reason(),
                    message,
                ))
            }
        }
    }
}

async fn serve(Extract(state): Extract<State>, request: Request) -> Response {
    let span = tracing::info_span!(
        "identity.sts",
        operation = tracing::field::Empty,
        request.id = tracing::field::Empty
    );
    Finished::new(answer(state, request).instrument(span)).await
}

async fn answer(state: State, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let request_id = parts.extensions.get::<RequestId>();
    let source = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let mut call = StsCall {
        now: state.clock.now(),
        request_id: request_id.map_or_else(String::new, ToString::to_string),
        source,
        entry: Entry::new("UnknownOperation", Outcome::Done),
        known: false,
        state,
    };
    call.entry.request_id = Some(call.request_id.clone());
    call.entry.source = source.map(|source| source.to_string());
    tracing::Span::current().record("request.id", call.request_id.as_str());
    let result = dispatch(&mut call, &parts, body).await;
    finish(call, result).await
}

async fn dispatch(call: &mut StsCall, parts: &Parts, body: Body) -> Result<Response, StsError> {
    authn::admit_source(&call.state, parts, call.source, call.now)?;
    let body = read_body(body).await?;
    let parameters = Parameters::read(parts, &body)?;
    match parameters.get("Action") {
        Some("GetCallerIdentity") => {
            call.entry.action = "GetCallerIdentity";
            get_caller_identity::answer(call, parts, &body).await
        }
        Some("AssumeRoleWithWebIdentity") => {
            call.entry.action = "AssumeRoleWithWebIdentity";
            // A token in a URL would be in every log on the way.
            if parts.method == Method::POST {
                assume_role_with_web_identity::answer(call, &parameters).await
            } else {
                let message = "AssumeRoleWithWebIdentity is called with POST.";
                let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "InvalidAction");
                Err(StsError::new(status, code, "wrong_method", message))
            }
        }
        _ => Err(StsError::invalid_action("No operation has this action.")),
    }
}

/// Records how it ended, then answers.
async fn finish(mut call: StsCall, result: Result<Response, StsError>) -> Response {
    tracing::Span::current().record("operation", call.entry.action);
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => {
            call.entry.outcome = if error.cause.is_some() {
                Outcome::Failed
            } else {
                Outcome::Refused
            };
            call.entry.reason = Some(error.reason);
            if let Some(cause) = &error.cause {
                tracing::error!(reason = error.reason, cause, "an operation failed");
            }
            error.respond(&call.request_id)
        }
    };
    let outcome = call.entry.outcome;
    metrics::counter!(
        "countersign_identity_operations_total",
        "operation" => call.entry.action, "outcome" => outcome.as_str()
    )
    .increment(1);
    if !call.known && outcome != Outcome::Done {
        authn::count_refusal(
            &call.state,
            call.source,
            call.entry.reason.unwrap_or_default(),
            call.now,
        );
        let source = call.entry.source.clone();
        call.state
            .recorder
            .record_unauthenticated_refusal(source.as_deref().unwrap_or("unknown"), call.entry);
        return answer;
    }
    match call.state.recorder.record(call.entry).await {
        Ok(_) => answer,
        Err(error) => {
            tracing::error!(%error, "an operation could not be recorded; its answer is withheld");
            StsError::unavailable("audit_failed", error).respond(&call.request_id)
        }
    }
}
