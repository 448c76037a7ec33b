//! The tool calls of one model step. Those of one provider share one token and with it one consent card, and are
//! made in their order; those that the person has agreed to already come first, by a token of their own. Providers do not
//! wait for each other.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_api::Sensitive;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::{Turn, TurnError};
use crate::access::{Access, Denial, Grant, Waiting};
use crate::conversation::{Conversation, Entry, NOT_BEGUN, OUTCOME_UNKNOWN, Step, ToolCall};
use crate::event::{Event, ToolState};
use crate::tools::{Call, ToolError};

/// One turn's access to each provider that its calls have needed.
pub(super) struct Accesses {
    workload_access_token: Sensitive,
    by_provider: BTreeMap<Arc<str>, Access>,
}

/// A model's call and what it comes to.
struct Prepared<'a> {
    /// Its place among the step's calls.
    number: usize,
    wanted: &'a ToolCall,
    call: Call,
}

/// A tool call without a result.
struct Failure {
    code: &'static str,
    content: Value,
}

type Outcome = Result<Value, Failure>;

impl Accesses {
    pub(super) fn new(workload_access_token: Sensitive) -> Self {
        Self {
            workload_access_token,
            by_provider: BTreeMap::new(),
        }
    }
}

impl Turn {
    /// Makes the calls of `step`; their results in the order of the calls.
    pub(super) async fn call_tools(
        &self,
        step: &Step,
        conversation: &mut Conversation,
        accesses: &mut Accesses,
    ) -> Result<Vec<Entry>, TurnError> {
        let mut entries: Vec<Option<Entry>> = vec![None; step.calls.len()];
        let mut groups: BTreeMap<Arc<str>, Vec<Prepared<'_>>> = BTreeMap::new();
        for (number, wanted) in step.calls.iter().enumerate() {
            self.tell(wanted, ToolState::Started, None);
            match self.prepare(step, wanted) {
                Ok((provider, call)) => {
                    let group = groups.entry(provider).or_default();
                    group.push(Prepared { number, wanted, call });
                }
                Err(failure) => entries[number] = Some(self.report(wanted, Err(failure))),
            }
        }
        for provider in groups.keys() {
            let known = conversation.granted.get(&**provider).cloned().unwrap_or_default();
            let token = &accesses.workload_access_token;
            accesses
                .by_provider
                .entry(Arc::clone(provider))
                .or_insert_with(|| Access::new(Arc::clone(provider), token.clone(), known));
        }
        let conversation = Mutex::new(conversation);
        let running = accesses
            .by_provider
            .iter_mut()
            .filter_map(|(provider, access)| Some((groups.remove(provider)?, access)))
            .map(|(group, access)| self.call_provider(group, access, &conversation));
        for (number, entry) in try_join_all(running).await?.into_iter().flatten() {
            entries[number] = Some(entry);
        }
        Ok(entries.into_iter().flatten().collect())
    }

    fn prepare(&self, step: &Step, wanted: &ToolCall) -> Result<(Arc<str>, Call), Failure> {
        if step.begun.contains(&wanted.id) {
            return Err(failure(OUTCOME_UNKNOWN.0, OUTCOME_UNKNOWN.1));
        }
        self.agent
            .tools
            .prepare(&wanted.name, &wanted.arguments)
            .map_err(|words| failure("invalid_arguments", &words))
    }

    /// What the person has agreed to already neither waits for a new consent nor fails with it.
    async fn call_provider(
        &self,
        group: Vec<Prepared<'_>>,
        access: &mut Access,
        conversation: &Mutex<&mut Conversation>,
    ) -> Result<Vec<(usize, Entry)>, TurnError> {
        let (held, new): (Vec<_>, Vec<_>) = group
            .into_iter()
            .partition(|prepared| access.knows(&prepared.call.scopes));
        let mut results = Vec::new();
        for group in [held, new] {
            if !group.is_empty() {
                results.extend(self.call_with_one_token(group, access, conversation).await?);
            }
        }
        Ok(results)
    }

    async fn call_with_one_token(
        &self,
        group: Vec<Prepared<'_>>,
        access: &mut Access,
        conversation: &Mutex<&mut Conversation>,
    ) -> Result<Vec<(usize, Entry)>, TurnError> {
        let scopes: BTreeSet<String> = group
            .iter()
            .flat_map(|prepared| prepared.call.scopes.iter().cloned())
            .collect();
        let waiting: Vec<Waiting<'_>> = group.iter().map(|prepared| waiting(prepared.wanted)).collect();
        let mut grant = access.obtain(self, &scopes, &waiting).await?;
        let mut results = Vec::with_capacity(group.len());
        for prepared in group {
            if !prepared.call.is_safe() && grant.is_ok() && self.running.has_ended().is_none() {
                self.note_begun(prepared.wanted, conversation).await?;
            }
            let outcome = self.call_tool(&prepared, &scopes, &mut grant, access).await?;
            results.push((prepared.number, self.report(prepared.wanted, outcome)));
        }
        if !access.known().is_empty() {
            let mut conversation = conversation.lock().await;
            let provider = access.provider().to_owned();
            conversation.granted.insert(provider, access.known().clone());
        }
        Ok(results)
    }

    /// Writes down that a call that may change something is about to be made, so that it is not made again by a
    /// turn that takes up this one.
    async fn note_begun(
        &self,
        wanted: &ToolCall,
        conversation: &Mutex<&mut Conversation>,
    ) -> Result<(), TurnError> {
        let mut conversation = conversation.lock().await;
        if let Some(pending) = &mut conversation.pending {
            pending.begun.push(wanted.id.clone());
        }
        self.put(&mut conversation).await
    }

    async fn call_tool(
        &self,
        prepared: &Prepared<'_>,
        scopes: &BTreeSet<String>,
        grant: &mut Result<Grant, Denial>,
        access: &mut Access,
    ) -> Result<Outcome, TurnError> {
        let Prepared { wanted, call, .. } = prepared;
        let title = self.agent.title(access.provider());
        loop {
            if self.running.has_ended().is_some() {
                return Ok(Err(failure(NOT_BEGUN.0, NOT_BEGUN.1)));
            }
            let current = match grant {
                Ok(current) => current,
                Err(denial) => return Ok(Err(denied(*denial, &title))),
            };
            if let Some(missing) = call.scopes.iter().find(|scope| !current.permits(scope)) {
                let mut words = format!("Your consent at {title} does not cover {missing}.");
                // AgentCore has no such page.
                if self.agent.binding_start.is_none() {
                    words.push_str(" If you want it, allow it under “Connections”, then ask again.");
                }
                return Ok(Err(failure("scope_not_granted", &words)));
            }
            let token = current.token.clone().into_secret();
            match call.make(self.agent.tools.outbound(), &token).await {
                Ok(result) => return Ok(Ok(result)),
                Err(ToolError::Unauthorized(_)) => {
                    *grant = access
                        .renew(self, &current.token, scopes, waiting(wanted))
                        .await?;
                }
                Err(error) => {
                    tracing::warn!(tool.name = %wanted.name, %error, "a tool call failed");
                    let words = format!("That did not work: {error}.");
                    return Ok(Err(failure("tool_failed", &words)));
                }
            }
        }
    }

    /// Tells the page how a call ended; the entry that tells the model.
    fn report(&self, wanted: &ToolCall, outcome: Outcome) -> Entry {
        let (state, reason, content) = match outcome {
            Ok(content) => (ToolState::Done, None, content),
            Err(failure) => (ToolState::Failed, Some(failure.code), failure.content),
        };
        self.tell(wanted, state, reason);
        Entry::Tool {
            call_id: wanted.id.clone(),
            name: wanted.name.clone(),
            content,
        }
    }

    fn tell(&self, wanted: &ToolCall, state: ToolState, reason: Option<&'static str>) {
        self.log.push(Event::Tool {
            id: wanted.id.clone(),
            name: wanted.name.clone(),
            state,
            reason,
        });
    }
}

fn denied(denial: Denial, title: &str) -> Failure {
    match denial {
        Denial::Declined => failure(
            "consent_declined",
            &format!(
                "Access to {title} was declined or could not be completed, so I stopped here. Ask again if you \
                 want to be asked for consent once more."
            ),
        ),
        Denial::Expired => failure(
            "consent_expired",
            &format!(
                "The request for access to {title} expired before it was answered. Ask again to get a new one."
            ),
        ),
        Denial::Unusable => failure(
            "access_refused",
            &format!(
                "{title} does not accept the access it granted, even after new consent, so I stopped here."
            ),
        ),
    }
}

fn failure(code: &'static str, message: &str) -> Failure {
    Failure {
        code,
        content: json!({ "error": code, "message": message }),
    }
}

fn waiting(call: &ToolCall) -> Waiting<'_> {
    Waiting {
        id: &call.id,
        name: &call.name,
    }
}
