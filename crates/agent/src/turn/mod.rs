//! One turn: the person's message, the model's steps and the tool calls between them, until there is an
//! answer.
//!
//! A turn that was interrupted (its last reader went, the process stopped) is taken up where it stood: the calls
//! that the model wanted are kept with the conversation, and one that may have changed something is never made twice.

mod budget;
mod error;
mod tool_calls;

use std::sync::Arc;
use std::time::Duration;

use countersign_api::Sensitive;
use countersign_api::data::{
    GetWorkloadAccessTokenForJWT, GetWorkloadAccessTokenForUserId,
    get_workload_access_token_for_jwt as for_jwt, get_workload_access_token_for_user_id as for_user_id,
};
use countersign_web::Person;
use countersign_web::person::Voucher;
use futures_util::StreamExt as _;

use crate::Agent;
use crate::conversation::{Conversation, Entry, Step, StoreError, ToolCall};
use crate::event::Event;
use crate::model::{Ask, Delta, ModelError, Usage};
use crate::session_id::SessionId;
use crate::turn_log::TurnLog;
use crate::turns::RunningTurn;

use budget::Budget;
pub(crate) use error::TurnError;
use tool_calls::Accesses;

/// Tool calls in one step; more are dropped.
const MOST_CALLS: usize = 16;
/// Before a request is sent again that the vendor did not take; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest of these pauses, whatever the vendor asks for.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The whole of a turn: below the life of the workload access token (60 min) that it works with.
const TURN_LIMIT: Duration = Duration::from_mins(50);

/// A turn about to run.
pub(crate) struct Turn {
    pub(crate) agent: Arc<Agent>,
    pub(crate) person: Person,
    pub(crate) id: SessionId,
    pub(crate) running: RunningTurn,
    pub(crate) log: Arc<TurnLog>,
}

/// What a turn begins with.
pub(crate) enum Beginning {
    /// A message of the person.
    Message(String),
    /// The conversation's interrupted turn.
    Resume,
}

impl Turn {
    /// Runs the turn to its `done` event, or until nobody reads its log any more.
    #[tracing::instrument(name = "agent.turn", skip_all, fields(workload.name = %self.agent.workload))]
    pub(crate) async fn run(mut self, beginning: Beginning) {
        let log = Arc::clone(&self.log);
        tokio::select! {
            () = self.go(beginning) => {}
            () = log.abandoned() => tracing::info!(reason = "abandoned", "turn ended"),
        }
        log.end();
    }

    async fn go(&mut self, beginning: Beginning) {
        self.running.predecessor().await;
        let outcome = tokio::time::timeout(TURN_LIMIT, self.answer(beginning))
            .await
            .unwrap_or(Err(TurnError::TooLong));
        if let Err(error) = outcome {
            let (code, words) = error.for_person();
            if error.is_expected() {
                tracing::info!(reason = code, "turn ended");
            } else {
                tracing::warn!(%error, reason = code, "turn failed");
            }
            self.log.push(Event::Error {
                code,
                message: words.into_owned(),
            });
        }
        let session_id = self.id.to_string();
        self.log.push(Event::Done { session_id });
    }

    async fn answer(&self, beginning: Beginning) -> Result<(), TurnError> {
        let now = || self.agent.parts.clock.now();
        let conversations = &self.agent.conversations;
        let stored = conversations.find(&self.person.user_key, &self.id).await?;
        let mut conversation = stored.unwrap_or_else(|| Conversation::new(&self.id, now()));
        match beginning {
            Beginning::Message(text) => conversation.ask(&text, now())?,
            Beginning::Resume if conversation.is_interrupted() => conversation.resume(now()),
            Beginning::Resume => return Ok(()),
        }
        // Written first, so that a page loaded again while the turn waits shows the question.
        self.put(&mut conversation).await?;

        // The person's token lives five minutes, a wait for consent ten: the turn works with a workload
        // access token from its start on.
        let mut accesses = Accesses::new(self.workload_access_token().await?);
        let mut budget = Budget::new(&self.agent.limits);
        let outcome = self.steps(&mut conversation, &mut accesses, &mut budget).await;
        let spent = budget.spent();
        tracing::info!(
            gen_ai.usage.input_tokens = spent.input,
            gen_ai.usage.output_tokens = spent.output,
            cost_usd = budget.cost(),
            "model usage"
        );
        outcome
    }

    /// The model's steps and the calls between them, until there is an answer.
    async fn steps(
        &self,
        conversation: &mut Conversation,
        accesses: &mut Accesses,
        budget: &mut Budget<'_>,
    ) -> Result<(), TurnError> {
        let now = || self.agent.parts.clock.now();
        let most = self.agent.limits.steps;
        for _ in 0..most {
            let (step, cut) = match conversation.pending.take() {
                Some(step) => (step, None),
                None => self.step(conversation, budget).await?,
            };
            let Step { text, calls, .. } = &step;
            if calls.is_empty() {
                conversation.entries.push(Entry::Assistant {
                    text: text.clone(),
                    tool_calls: Vec::new(),
                });
                conversation.updated_at = now();
                self.put(conversation).await?;
                return cut.map_or(Ok(()), Err);
            }
            conversation.pending = Some(step.clone());
            self.put(conversation).await?;
            let results = self.call_tools(&step, conversation, accesses).await?;
            // Calls and results are written together: a model must never be shown one without the other.
            conversation.pending = None;
            conversation.entries.push(Entry::Assistant {
                text: step.text,
                tool_calls: step.calls,
            });
            conversation.entries.extend(results);
            conversation.updated_at = now();
            self.put(conversation).await?;
            if let Some(ended) = self.running.has_ended() {
                return Err(ended.into());
            }
        }
        Err(TurnError::Steps(most))
    }

    async fn put(&self, conversation: &mut Conversation) -> Result<(), TurnError> {
        let conversations = &self.agent.conversations;
        match conversations
            .put(&self.person.user_key, &self.id, conversation)
            .await
        {
            Err(StoreError::Superseded) => Err(TurnError::Replaced),
            outcome => Ok(outcome?),
        }
    }

    /// By the token that the gateway made for this agent; where a load balancer vouches there is none that the identity
    /// service would believe, and the person is named.
    async fn workload_access_token(&self) -> Result<Sensitive, TurnError> {
        let identity = &self.agent.identity;
        let workload_name = self.agent.workload.clone();
        match self.person.voucher {
            Voucher::Gateway => {
                let user_token = self.person.token.clone().into();
                let input = for_jwt::Input {
                    workload_name,
                    user_token,
                };
                let output = identity.call::<GetWorkloadAccessTokenForJWT>(&input).await?;
                Ok(output.workload_access_token)
            }
            Voucher::LoadBalancer => {
                let user_id = self.person.published_user_id();
                let input = for_user_id::Input {
                    workload_name,
                    user_id,
                };
                let output = identity.call::<GetWorkloadAccessTokenForUserId>(&input).await?;
                Ok(output.workload_access_token)
            }
        }
    }

    /// One answer of the model, and what has cut it short. A request that the vendor did not take is sent again; an answer
    /// that has begun is not asked for twice, since the person has read its beginning.
    async fn step(
        &self,
        conversation: &Conversation,
        budget: &mut Budget<'_>,
    ) -> Result<(Step, Option<TurnError>), TurnError> {
        let mut pause = FIRST_PAUSE;
        for retries_left in (0..=self.agent.limits.model_retries).rev() {
            let mut attempt = Attempt::default();
            let outcome = self.attempt(conversation, budget, &mut attempt).await;
            match outcome {
                Err(TurnError::Model(error))
                    if retries_left > 0 && error.is_passing() && attempt.is_untouched() =>
                {
                    tracing::warn!(%error, retries_left, "the model is asked again");
                    let asked_for = match &error {
                        ModelError::Busy { after, .. } => *after,
                        _ => None,
                    };
                    self.rest(asked_for.unwrap_or(pause).min(LONGEST_PAUSE)).await?;
                    pause *= 2;
                }
                Err(error) => return Err(error),
                Ok(()) => {
                    budget.spend(
                        attempt.usage,
                        conversation.for_model(),
                        self.agent.tools.size(),
                        &attempt.step,
                    );
                    return self.finished(attempt);
                }
            }
        }
        Err(ModelError::Unavailable("no attempt was made".to_owned()).into())
    }

    /// Asks the model once: its text, passed on as it comes, and the tool calls it wants.
    async fn attempt(
        &self,
        conversation: &Conversation,
        budget: &Budget<'_>,
        attempt: &mut Attempt,
    ) -> Result<(), TurnError> {
        let agent = &self.agent;
        let entries = conversation.for_model();
        let mut deltas = agent.model.answer(Ask {
            entries,
            tools: agent.tools.specs(),
            output_tokens: budget.room(entries, agent.tools.size())?,
        });
        let patience = agent.limits.model_timeout();
        loop {
            let delta = tokio::select! {
                delta = tokio::time::timeout(patience, deltas.next()) => {
                    delta.map_err(|_| ModelError::Timeout(patience))?
                }
                ended = self.running.ended() => {
                    // What the person has read of the answer stays; calls that may not be whole do not.
                    attempt.step.calls.clear();
                    if attempt.is_untouched() {
                        return Err(ended.into());
                    }
                    attempt.cut = Some(ended.into());
                    return Ok(());
                }
            };
            match delta.transpose()? {
                Some(Delta::Text(text)) => {
                    attempt.step.text.push_str(&text);
                    self.log.push(Event::Message { text });
                }
                Some(Delta::ToolCall(call)) if attempt.step.calls.len() < MOST_CALLS => {
                    let number = conversation.entries.len() + attempt.step.calls.len();
                    attempt.step.calls.push(with_usable_id(call, number));
                }
                Some(Delta::ToolCall(_)) => tracing::warn!("a tool call too many is dropped"),
                Some(Delta::Usage(usage)) => attempt.usage = Some(usage),
                Some(Delta::LimitReached) => attempt.cut = Some(TurnError::AnswerLimit),
                None => return Ok(()),
            }
        }
    }

    fn finished(&self, attempt: Attempt) -> Result<(Step, Option<TurnError>), TurnError> {
        let Attempt { step, cut, .. } = attempt;
        if !step.text.is_empty() {
            let html = self.agent.html(&step.text);
            self.log.push(Event::Answer { html });
        }
        match (cut, step.text.is_empty(), step.calls.is_empty()) {
            // All room went into calls that are not whole, or into thoughts.
            (Some(cut), true, _) => Err(cut),
            // Nothing at all is no answer.
            (None, true, true) => Err(ModelError::Malformed("empty".to_owned()).into()),
            (cut, ..) => Ok((step, cut)),
        }
    }

    /// Waits, unless the turn must not go on.
    async fn rest(&self, pause: Duration) -> Result<(), TurnError> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            ended = self.running.ended() => Err(ended.into()),
            () = self.agent.parts.drain.signaled() => Err(TurnError::Draining),
        }
    }
}

/// One request to a model and what has come of it so far.
#[derive(Debug, Default)]
struct Attempt {
    step: Step,
    usage: Option<Usage>,
    cut: Option<TurnError>,
}

impl Attempt {
    /// Nothing has come, so that nothing would come twice.
    fn is_untouched(&self) -> bool {
        self.step == Step::default()
    }
}

/// Some vendors give no id, and none is bound to keep it short.
fn with_usable_id(mut call: ToolCall, number: usize) -> ToolCall {
    if call.id.is_empty() || call.id.len() > 200 {
        call.id = format!("call-{number}");
    }
    call
}
