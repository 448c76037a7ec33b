//! One turn: the person's message, the model's steps and the tool calls between them, until there is an
//! answer.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use countersign_api::data::GetWorkloadAccessTokenForJWT;
use countersign_api::data::get_workload_access_token_for_jwt::Input;
use countersign_api::{ClientError, ErrorCode, Sensitive};
use countersign_web::Person;
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use crate::Agent;
use crate::access::{Access, Denial, Grant, Waiting};
use crate::conversation::{Conversation, ConversationFull, Entry, StoreError, ToolCall};
use crate::event::{Event, Events, ToolState};
use crate::model::{Delta, ModelError};
use crate::session_id::SessionId;
use crate::tools::{Call, ToolError};
use crate::turns::Place;

/// Model steps in one turn. A model that still wants tools then has lost its way.
const MOST_STEPS: usize = 8;
/// Tool calls in one step; more are dropped.
const MOST_CALLS: usize = 16;
/// The whole of a turn: below the life of the workload access token (60 min) that it works with.
const TURN_LIMIT: Duration = Duration::from_mins(50);

/// A turn about to run.
pub(crate) struct Turn {
    pub(crate) agent: Arc<Agent>,
    pub(crate) person: Person,
    pub(crate) id: SessionId,
    pub(crate) place: Place,
    pub(crate) events: Events,
}

/// Why a turn ended without an answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TurnError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Full(#[from] ConversationFull),
    #[error("identity service: {0}")]
    Identity(#[from] ClientError),
    #[error("identity service answered unusably: {0}")]
    Answer(&'static str),
    #[error(transparent)]
    Model(#[from] ModelError),
    #[error("the model wanted more than {MOST_STEPS} steps")]
    Steps,
    #[error("the turn took longer than {} min", TURN_LIMIT.as_secs() / 60)]
    TooLong,
    #[error("a newer message replaced the turn")]
    Replaced,
    #[error("the process is stopping")]
    Draining,
}

impl Turn {
    /// Runs the turn to its `done` event.
    #[tracing::instrument(name = "agent.turn", skip_all, fields(workload.name = %self.agent.workload))]
    pub(crate) async fn run(mut self, message: String) {
        self.place.predecessor().await;
        let outcome = tokio::time::timeout(TURN_LIMIT, self.answer(&message))
            .await
            .unwrap_or(Err(TurnError::TooLong));
        if let Err(error) = outcome {
            let (code, words) = error.for_person();
            match error {
                TurnError::Replaced | TurnError::Draining => tracing::info!(reason = code, "turn ended"),
                _ => tracing::warn!(%error, reason = code, "turn failed"),
            }
            self.events.error(code, words).await;
        }
        let session_id = self.id.to_string();
        self.events.send(Event::Done { session_id }).await;
    }

    async fn answer(&self, message: &str) -> Result<(), TurnError> {
        let now = || self.agent.parts.clock.now();
        let stored = self
            .agent
            .conversations
            .find(&self.person.user_key, &self.id)
            .await?;
        let mut conversation = stored.unwrap_or_else(|| Conversation::new(&self.id, now()));
        conversation.ask(message, now())?;
        // Written first, so that a page loaded again while the turn waits shows the question.
        self.put(&conversation).await?;

        // The person's token lives five minutes, a wait for consent ten: the turn works with a workload
        // access token from its start on.
        let mut access = Access::new(
            &self.agent,
            &self.events,
            &self.place,
            self.workload_access_token().await?,
        );
        for _ in 0..MOST_STEPS {
            let (text, calls) = self.step(&conversation).await?;
            let results = self.call_tools(&calls, &mut access).await?;
            let answered = calls.is_empty();
            conversation.entries.push(Entry::Assistant {
                text,
                tool_calls: calls,
            });
            conversation.entries.extend(results);
            conversation.updated_at = now();
            // Calls and results are written together: a model must never be shown one without the other.
            self.put(&conversation).await?;
            if answered {
                return Ok(());
            }
        }
        Err(TurnError::Steps)
    }

    async fn put(&self, conversation: &Conversation) -> Result<(), TurnError> {
        let put = self
            .agent
            .conversations
            .put(&self.person.user_key, &self.id, conversation);
        match put.await {
            Err(StoreError::Superseded) => Err(TurnError::Replaced),
            outcome => Ok(outcome?),
        }
    }

    async fn workload_access_token(&self) -> Result<Sensitive, TurnError> {
        let input = Input {
            workload_name: self.agent.workload.clone(),
            user_token: self.person.token.clone().into(),
        };
        let output = self
            .agent
            .identity
            .call::<GetWorkloadAccessTokenForJWT>(&input)
            .await?;
        Ok(output.workload_access_token)
    }

    /// One answer of the model: its text, passed on as it comes, and the tool calls it wants.
    async fn step(&self, conversation: &Conversation) -> Result<(String, Vec<ToolCall>), TurnError> {
        let mut text = String::new();
        let mut calls = Vec::new();
        let mut deltas = self
            .agent
            .model
            .answer(conversation.for_model(), &self.agent.tools);
        loop {
            let delta = tokio::select! {
                delta = deltas.next() => delta,
                () = self.place.replaced() => return Err(TurnError::Replaced),
            };
            match delta.transpose()? {
                Some(Delta::Text(piece)) => {
                    text.push_str(&piece);
                    self.events.message(piece).await;
                }
                Some(Delta::ToolCall(call)) if calls.len() < MOST_CALLS => {
                    let number = conversation.entries.len() + calls.len();
                    calls.push(with_usable_id(call, number));
                }
                Some(Delta::ToolCall(_)) => tracing::warn!("a tool call too many is dropped"),
                None => return Ok((text, calls)),
            }
        }
    }

    /// Makes the calls in their order. All of them share one token, and with it one consent card.
    async fn call_tools(&self, calls: &[ToolCall], access: &mut Access<'_>) -> Result<Vec<Entry>, TurnError> {
        let mut parsed = Vec::with_capacity(calls.len());
        for call in calls {
            self.events
                .tool(&call.id, &call.name, ToolState::Started, None)
                .await;
            parsed.push((call, Call::parse(&call.name, &call.arguments)));
        }
        let scopes: BTreeSet<&'static str> = parsed
            .iter()
            .filter_map(|(_, parsed)| parsed.as_ref().ok().map(Call::scope))
            .collect();
        let waiting: Vec<Waiting<'_>> = parsed
            .iter()
            .filter(|(_, parsed)| parsed.is_ok())
            .map(|(call, _)| waiting(call))
            .collect();
        let mut grant = if scopes.is_empty() {
            None
        } else {
            Some(access.obtain(&scopes, &waiting).await?)
        };
        let mut results = Vec::with_capacity(calls.len());
        for (call, parsed) in parsed {
            let result = match (parsed, &mut grant) {
                (Ok(parsed), Some(grant)) => self.call_tool(call, &parsed, &scopes, grant, access).await?,
                (Ok(_), None) => Err(failure("unavailable", "no access was asked for")),
                (Err(words), _) => Err(failure("invalid_arguments", &words)),
            };
            results.push(self.report(call, result).await);
        }
        Ok(results)
    }

    async fn call_tool(
        &self,
        call: &ToolCall,
        parsed: &Call,
        scopes: &BTreeSet<&'static str>,
        grant: &mut Result<Grant, Denial>,
        access: &mut Access<'_>,
    ) -> Result<Result<Value, Failure>, TurnError> {
        loop {
            let current = match grant {
                Ok(current) => current,
                Err(denial) => return Ok(Err(self.denied(*denial))),
            };
            if !current.permits(parsed.scope()) {
                let words = format!(
                    "Your consent at {} does not cover {}.",
                    self.agent.provider,
                    parsed.scope()
                );
                return Ok(Err(failure("scope_not_granted", &words)));
            }
            let token = current.token.clone().into_secret();
            match self.agent.ledgerline.make(parsed, &token).await {
                Ok(result) => return Ok(Ok(result)),
                Err(ToolError::Unauthorized) => {
                    let renewed = access.renew(&current.token, scopes, waiting(call)).await?;
                    *grant = renewed;
                }
                Err(error) => {
                    tracing::warn!(tool.name = %call.name, %error, "a tool call failed");
                    let words = format!("That did not work: {error}.");
                    return Ok(Err(failure("tool_failed", &words)));
                }
            }
        }
    }

    /// Tells the page how a call ended; the entry that tells the model.
    async fn report(&self, call: &ToolCall, result: Result<Value, Failure>) -> Entry {
        let (state, reason, content) = match result {
            Ok(content) => (ToolState::Done, None, content),
            Err(failure) => (ToolState::Failed, Some(failure.code), failure.content),
        };
        self.events.tool(&call.id, &call.name, state, reason).await;
        Entry::Tool {
            call_id: call.id.clone(),
            name: call.name.clone(),
            content,
        }
    }

    fn denied(&self, denial: Denial) -> Failure {
        let provider = &self.agent.provider;
        match denial {
            Denial::Declined => failure(
                "consent_declined",
                &format!(
                    "Access to {provider} was declined or could not be completed, so I stopped here. Ask again \
                     if you want to be asked for consent once more."
                ),
            ),
            Denial::Expired => failure(
                "consent_expired",
                &format!(
                    "The request for access to {provider} expired before it was answered. Ask again to get a new one."
                ),
            ),
            Denial::Unusable => failure(
                "access_refused",
                &format!(
                    "{provider} does not accept the access it granted, even after new consent, so I stopped here."
                ),
            ),
        }
    }
}

/// A tool call without a result.
struct Failure {
    code: &'static str,
    content: Value,
}

fn failure(code: &'static str, message: &str) -> Failure {
    Failure {
        code,
        content: json!({ "error": code, "message": message }),
    }
}

/// Some vendors give no id, and none is bound to keep it short.
fn with_usable_id(mut call: ToolCall, number: usize) -> ToolCall {
    if call.id.is_empty() || call.id.len() > 200 {
        call.id = format!("call-{number}");
    }
    call
}

fn waiting(call: &ToolCall) -> Waiting<'_> {
    Waiting {
        id: &call.id,
        name: &call.name,
    }
}

impl TurnError {
    /// A code for programs and words for the person. Causes stay in the log.
    fn for_person(&self) -> (&'static str, &'static str) {
        match self {
            Self::Store(StoreError::TooLarge) | Self::Full(_) => (
                "conversation_full",
                "This conversation has become too long. Please begin a new one.",
            ),
            Self::Store(_) => (
                "conversations",
                "The conversation could not be read or saved. Please try again.",
            ),
            Self::Identity(error) => match error.code() {
                Some(ErrorCode::AccessDenied) => (
                    "access_denied",
                    "This agent may not act for you at the moment. If that surprises you, ask your administrator.",
                ),
                Some(ErrorCode::Unauthorized) => (
                    "sign_in",
                    "Your sign-in could not be confirmed. Load the page again to sign in.",
                ),
                _ => (
                    "identity_unavailable",
                    "The identity service could not be reached. Please try again in a moment.",
                ),
            },
            Self::Answer(_) => (
                "identity_unavailable",
                "The identity service gave an answer this agent does not trust, so it stopped.",
            ),
            Self::Model(_) => ("model", "The model gave no usable answer. Please try again."),
            Self::Steps => (
                "too_many_steps",
                "The model did not come to an end, so the agent stopped it.",
            ),
            Self::TooLong => (
                "too_long",
                "This took too long, so the agent stopped. Please ask again.",
            ),
            Self::Replaced => ("replaced", "A newer message took this one's place."),
            Self::Draining => (
                "restarting",
                "The agent is restarting. Please ask again in a moment.",
            ),
        }
    }
}
