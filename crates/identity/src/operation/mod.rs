//! The one path that every operation of the API takes.
//!
//! Signature, input, then the operation itself, which authorizes against the ARNs it finds out; then the audit
//! record; then the answer. Nothing leaves before its record is on disk (design D15), and stops are read again in
//! that last step. Errors become answers here and nowhere else: what the caller did wrong is said, what went wrong
//! with us is logged once and not said.

mod operator;

use std::fmt::Display;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use countersign_api::operation::{Operation, parse_request, success};
use countersign_api::{ApiError, Arn, ErrorCode};
use countersign_audit::{Entry, Outcome};
use countersign_crypto::Timestamp;
use countersign_db::DbError;
use countersign_outbound::trace;
use countersign_web::{Peer, RequestId};
use http::StatusCode;
use http::request::Parts;
use metrics::{Counter, Histogram};

use crate::authn::{self, Authenticated, Unauthenticated};
use crate::finished::Finished;
use crate::policy::{self, Context, Decision, Facts, Tags};
use crate::principal_addresses;
use crate::state::{NoKeys, State};
use crate::stops::Subject;
use crate::store::principal::PrincipalRow;

pub(crate) use operator::{Operator, perform, share};

/// Largest request body, bytes.
pub(crate) const MAX_BODY: usize = 1 << 20;
/// For the body to arrive.
const BODY_TIME: Duration = Duration::from_secs(10);

/// What an operation does, once somebody known has asked for it in valid form.
pub(crate) trait Handle: Operation {
    /// Does it. The first step is [`Call::authorize`]; what the audit record should say goes into
    /// [`Call::entry`] as soon as it is known.
    fn handle(
        call: &mut Call,
        input: Self::Input,
    ) -> impl Future<Output = Result<Self::Output, OperationError>> + Send;
}

/// Who calls.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) principal: Arc<PrincipalRow>,
    /// The caller as it is shown and recorded: the principal, or a session of a role.
    pub(crate) arn: Arn,
    /// The principal itself.
    pub(crate) principal_arn: Arn,
    /// The principal's account, the only one it ever acts in.
    pub(crate) account: String,
    pub(crate) request_id: String,
    /// Network address.
    pub(crate) source: Option<String>,
}

/// One call of an operation.
pub(crate) struct Call {
    pub(crate) state: State,
    pub(crate) caller: Caller,
    /// When it was authenticated.
    pub(crate) now: Timestamp,
    /// What will be recorded.
    pub(crate) entry: Entry,
    /// What conditions of policies are compared with. An operation sets what its input says before it asks for
    /// authorization.
    pub(crate) context: Context,
    action: &'static str,
    authorized: bool,
    effective: bool,
    subjects: Vec<Subject>,
}

/// Why an operation did not do what was asked.
#[derive(Debug)]
pub(crate) enum OperationError {
    /// The caller may not, or asked for what cannot be. Told as it is.
    Refused {
        error: ApiError,
        /// The audit reason.
        reason: &'static str,
    },
    /// Something went wrong that is not the caller's doing. `cause` is for our log alone.
    Failed {
        error: ApiError,
        /// The audit reason.
        reason: &'static str,
        cause: String,
    },
}

impl OperationError {
    /// A refusal.
    pub(crate) const fn refused(reason: &'static str, error: ApiError) -> Self {
        Self::Refused { error, reason }
    }

    /// A failure of ours: `InternalServerException`.
    pub(crate) fn internal(reason: &'static str, cause: impl Display) -> Self {
        Self::Failed {
            error: ApiError::internal(),
            reason,
            cause: cause.to_string(),
        }
    }

    /// Something we depend on is away: `ServiceUnavailableException`.
    pub(crate) fn unavailable(reason: &'static str, cause: impl Display) -> Self {
        Self::Failed {
            error: ApiError::unavailable(),
            reason,
            cause: cause.to_string(),
        }
    }

    /// No such resource.
    pub(crate) fn not_found(what: &'static str, name: &str) -> Self {
        Self::refused(
            "not_found",
            ApiError::not_found(format!("{what} {name} does not exist")),
        )
    }
}

impl From<DbError> for OperationError {
    fn from(error: DbError) -> Self {
        Self::from(&error)
    }
}

impl From<&DbError> for OperationError {
    fn from(error: &DbError) -> Self {
        if error.is_transient() {
            Self::unavailable("store_unavailable", error)
        } else {
            Self::internal("store_failed", error)
        }
    }
}

impl From<NoKeys> for OperationError {
    fn from(error: NoKeys) -> Self {
        match error {
            NoKeys::NotConfigured(_) => Self::internal("account_not_configured", error),
            NoKeys::Outdated => Self::unavailable("keys_unavailable", error),
            NoKeys::VaultAway => Self::unavailable("vault_key_unavailable", error),
        }
    }
}

/// In the detail of a record that says otherwise: what the operation was for has happened, and something after it failed.
pub(crate) const EFFECTIVE: &str = "effective";

impl Call {
    /// What the operation is for is committed: `restore --audit-export` does it again, however the call ends.
    pub(crate) const fn takes_effect(&mut self) {
        self.effective = true;
    }

    /// The caller's account.
    pub(crate) fn account(&self) -> &str {
        &self.caller.account
    }

    /// The region of every ARN.
    pub(crate) fn region(&self) -> &str {
        &self.state.config.region
    }

    /// Whether the policy allows this operation on every one of `resources`. Without it nothing is answered.
    pub(crate) async fn authorize(&mut self, resources: &[Arn]) -> Result<(), OperationError> {
        let Some(stored) = &self.caller.principal.policy else {
            return Err(self.not_authorized(resources.first(), Decision::ImplicitDeny));
        };
        let policy = &stored.policy;
        let mut decided = resources.is_empty().then_some((None, Decision::ImplicitDeny));
        for resource in resources {
            let tags = if policy.reads_resource_tags() {
                Some(Box::pin(self.resource_tags(resource)).await?)
            } else {
                None
            };
            let decision = policy.decide(self.action, resource, &self.facts(tags.as_ref()));
            if decision != Decision::Allowed {
                decided = Some((Some(resource), decision));
                break;
            }
        }
        if let Some((resource, decision)) = decided {
            return Err(self.not_authorized(resource, decision));
        }
        self.authorized = true;
        Ok(())
    }

    /// Whether the caller's policy asks for claims of the user token.
    pub(crate) fn reads_claims(&self) -> bool {
        let policy = self.caller.principal.policy.as_ref();
        policy.is_some_and(|stored| stored.policy.reads_claims())
    }

    fn facts<'a>(&'a self, resource_tags: Option<&'a Tags>) -> Facts<'a> {
        Facts {
            principal: policy::Principal {
                arn: &self.caller.principal_arn,
                name: &self.caller.principal.name,
                tags: &self.caller.principal.tags,
            },
            region: self.region(),
            now: self.now,
            context: &self.context,
            resource_tags,
        }
    }

    /// The tags by which a policy tells resources apart; none for what does not exist.
    pub(crate) async fn resource_tags(&self, arn: &Arn) -> Result<Tags, OperationError> {
        Ok(crate::tags::of(&self.state, self.account(), arn).await?)
    }

    /// In AWS's words: the caller's own account may know which rule it was.
    fn not_authorized(&self, resource: Option<&Arn>, decision: Decision) -> OperationError {
        let because = match decision {
            Decision::ExplicitDeny { .. } => "with an explicit deny in an identity-based policy",
            _ => "because no identity-based policy allows the action",
        };
        let on = resource
            .map(|resource| format!(" on resource: {resource}"))
            .unwrap_or_default();
        let message = format!(
            "User: {} is not authorized to perform: {}{on} {because}",
            self.caller.arn, self.action
        );
        OperationError::refused("not_authorized", ApiError::access_denied(message))
    }

    /// Refuses when one of `subjects` is stopped, now and again just before the answer leaves.
    pub(crate) async fn check_stops(
        &mut self,
        subjects: impl IntoIterator<Item = Subject>,
    ) -> Result<(), OperationError> {
        self.subjects.extend(subjects);
        self.stopped().await
    }

    /// Notes how the call ended, and gives what its caller is told. The cause of a failure of ours goes into the log.
    fn fails(&mut self, error: OperationError) -> ApiError {
        let (outcome, reason, error) = match error {
            OperationError::Refused { error, reason } => (Outcome::Refused, reason, error),
            OperationError::Failed { error, reason, cause } => {
                tracing::error!(
                    operation = self.entry.action,
                    request.id = self.caller.request_id,
                    reason,
                    cause,
                    "an operation failed"
                );
                (Outcome::Failed, reason, error)
            }
        };
        (self.entry.outcome, self.entry.reason) = (outcome, Some(reason));
        if self.effective {
            self.entry.detail.insert(EFFECTIVE.to_owned(), true.into());
        }
        error
    }

    async fn stopped(&self) -> Result<(), OperationError> {
        match self
            .state
            .stops
            .first_stopped(self.account(), &self.subjects)
            .await?
        {
            None => Ok(()),
            Some(subject) => Err(OperationError::refused(
                subject.reason(),
                ApiError::access_denied("Access has been stopped."),
            )),
        }
    }
}

/// The metrics of one operation, held by its route: finding them by name and labels costs more than counting.
pub(crate) struct Meters {
    done: Counter,
    refused: Counter,
    failed: Counter,
    seconds: Histogram,
}

impl Meters {
    pub(crate) fn of<O: Operation>() -> Self {
        let ended = |outcome: Outcome| {
            metrics::counter!(
                "countersign_identity_operations_total",
                "operation" => O::NAME,
                "outcome" => outcome.as_str()
            )
        };
        Self {
            done: ended(Outcome::Done),
            refused: ended(Outcome::Refused),
            failed: ended(Outcome::Failed),
            seconds: metrics::histogram!("countersign_identity_operation_seconds", "operation" => O::NAME),
        }
    }

    fn record<T>(&self, call: &Call, result: &Result<T, OperationError>) {
        let counter = match result {
            Ok(_) => &self.done,
            Err(OperationError::Refused { .. }) => &self.refused,
            Err(OperationError::Failed { .. }) => &self.failed,
        };
        counter.increment(1);
        self.seconds
            .record(call.state.clock.now().since(call.now).as_secs_f64());
    }
}

/// The handler of an operation's route.
pub(crate) async fn serve<O: Handle>(state: State, meters: Arc<Meters>, request: Request) -> Response {
    Finished::new(answer::<O>(state, meters, request)).await
}

async fn answer<O: Handle>(state: State, meters: Arc<Meters>, request: Request) -> Response {
    let started = state.clock.now();
    let (parts, body) = request.into_parts();
    let request_id = parts
        .extensions
        .get::<RequestId>()
        .map_or_else(String::new, ToString::to_string);
    let address = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let peer = address.map(|address| address.to_string());

    let (authenticated, body) = match authenticate::<O>(&state, &parts, body, address, started).await {
        Ok(authenticated) => authenticated,
        Err(refusal) => return refuse_stranger::<O>(&state, refusal, &request_id, address, started),
    };
    let arn = authenticated.arn();
    let principal = authenticated.principal;
    let caller = Caller {
        principal_arn: principal.arn(),
        arn,
        account: principal.account.clone(),
        principal,
        request_id,
        source: peer,
    };
    principal_addresses::note(&state, &caller, address, started);
    let entry = Entry {
        principal: Some(caller.arn.to_string()),
        request_id: Some(caller.request_id.clone()),
        source: caller.source.clone(),
        trace_id: trace::current_id(),
        ..Entry::new(O::NAME, Outcome::Done).with_account(&*caller.account, &*state.config.region)
    };
    let subjects = standing_subjects::<O>(&caller);
    let secure_transport = state.config.api_tls.is_some();
    let mut call = Call {
        state,
        caller,
        now: started,
        entry,
        context: Context {
            source_ip: address,
            // What stands in front of a listener without TLS can only be believed to have had it.
            secure_transport,
            ..Context::default()
        },
        action: O::ACTION,
        authorized: false,
        effective: false,
        subjects,
    };
    let result = run::<O>(&mut call, &parts.uri, &body).await;
    meters.record(&call, &result);
    finish(call, result).await
}

async fn authenticate<O: Operation>(
    state: &State,
    parts: &Parts,
    body: Body,
    source: Option<IpAddr>,
    now: Timestamp,
) -> Result<(Authenticated, Bytes), Unauthenticated> {
    authn::admit_source(state, parts, source, now)?;
    let body = read_body(body).await?;
    let caller = authn::authenticate(state, parts, &body, O::SERVICE).await?;
    Ok((caller, body))
}

/// Whose stops hold for every call. An account's stop leaves our own extension working, or nobody could lift it.
fn standing_subjects<O: Operation>(caller: &Caller) -> Vec<Subject> {
    let mut subjects = vec![Subject::Principal(caller.principal.name.clone())];
    if O::SERVICE == "bedrock-agentcore" {
        subjects.push(Subject::Account);
    }
    subjects
}

pub(crate) async fn read_body(body: Body) -> Result<Bytes, Unauthenticated> {
    match tokio::time::timeout(BODY_TIME, axum::body::to_bytes(body, MAX_BODY)).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(_)) => Err(Unauthenticated::refused(
            "body_too_large",
            ApiError::new(
                ErrorCode::RequestEntityTooLarge,
                "The request body is larger than 1 MiB or broke off.",
            ),
        )),
        Err(_) => Err(Unauthenticated::refused(
            "body_too_slow",
            ApiError::new(
                ErrorCode::IncompleteSignature,
                "The request body did not arrive in time.",
            ),
        )),
    }
}

async fn run<O: Handle>(
    call: &mut Call,
    uri: &http::Uri,
    body: &[u8],
) -> Result<http::Response<Bytes>, OperationError> {
    if O::SERVICE == "bedrock-agentcore" {
        call.state.rates.account(call.account(), call.now)?;
    }
    call.stopped().await?;
    let input =
        parse_request::<O>(uri, body).map_err(|error| OperationError::refused("invalid_input", error))?;
    let output = carry_out::<O>(call, input).await?;
    success::<O>(&output).map_err(|error| OperationError::internal("answer_not_json", error))
}

/// What is the same for every caller: the operation within its time, and nothing from one that did not ask the policy or
/// that a stop has overtaken.
async fn carry_out<O: Handle>(call: &mut Call, input: O::Input) -> Result<O::Output, OperationError> {
    let output = {
        // Pinned where it lies: passed by value it would be copied, some kilobytes, into the timeout.
        let operation = pin!(O::handle(call, input));
        let output = tokio::time::timeout(O::TIME, operation).await;
        output.map_err(|_| OperationError::unavailable("timed_out", "the operation took too long"))??
    };
    if !call.authorized {
        return Err(OperationError::internal(
            "not_authorized",
            "an operation ended without asking the policy",
        ));
    }
    call.stopped().await?;
    Ok(output)
}

/// Records how it ended, then answers.
async fn finish(mut call: Call, result: Result<http::Response<Bytes>, OperationError>) -> Response {
    let answer = match result {
        Ok(answer) => answer,
        Err(error) => call.fails(error).to_http(),
    };
    if call.entry.outcome == Outcome::Refused && answer.status() == StatusCode::TOO_MANY_REQUESTS {
        // Who asks too often must not fill the disk: the first ten of a minute, then their number.
        let source = call.caller.source.as_deref().unwrap_or("unknown");
        call.state
            .recorder
            .record_unauthenticated_refusal(source, call.entry);
        return respond(answer);
    }
    match call.state.recorder.record(call.entry).await {
        Ok(_) => respond(answer),
        Err(error) => {
            tracing::error!(request.id = call.caller.request_id, %error, "an operation could not be recorded; its answer is withheld");
            respond(ApiError::unavailable().to_http())
        }
    }
}

fn refuse_stranger<O: Operation>(
    state: &State,
    refusal: Unauthenticated,
    request_id: &str,
    source: Option<IpAddr>,
    now: Timestamp,
) -> Response {
    match refusal {
        Unauthenticated::Refused { error, reason } => {
            authn::count_refusal(state, source, reason, now);
            let peer = source.map(|address| address.to_string());
            let mut entry = Entry::new(O::NAME, Outcome::Refused)
                .with_reason(reason)
                .with_request_id(request_id);
            entry.source.clone_from(&peer);
            entry.trace_id = trace::current_id();
            state
                .recorder
                .record_unauthenticated_refusal(peer.as_deref().unwrap_or("unknown"), entry);
            respond(error.to_http())
        }
        Unauthenticated::Failed(error) => {
            tracing::error!(request.id = request_id, %error, "a caller could not be looked up");
            respond(ApiError::unavailable().to_http())
        }
    }
}

/// The answer as axum sends it.
pub(crate) fn respond(response: http::Response<Bytes>) -> Response {
    response.map(Body::from)
}
