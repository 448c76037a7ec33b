//! One turn: the person's message, the model's steps and the tool calls between them, until there is an
//! answer.
//!
//! A turn that was interrupted (its last reader went, the process stopped) is taken up where it stood: the calls
//! that the model wanted are kept with the conversation, and one that may have changed something is never made twice.

mod error;
mod tool_calls;

use std::sync::Arc;
use std::time::Duration;

use countersign_api::Sensitive;
use countersign_api::data::GetWorkloadAccessTokenForJWT;
use countersign_api::data::get_workload_access_token_for_jwt::Input;
use countersign_web::Person;
use futures_util::StreamExt as _;

use crate::Agent;
use crate::conversation::{Conversation, Entry, Step, StoreError, ToolCall};
use crate::event::Event;
use crate::model::Delta;
use crate::session_id::SessionId;
use crate::turn_log::TurnLog;
use crate::turns::Place;

pub(crate) use error::TurnError;
use tool_calls::Accesses;

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
        self.place.predecessor().await;
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
                message: words.to_owned(),
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
        for _ in 0..MOST_STEPS {
            let step = match conversation.pending.take() {
                Some(step) => step,
                None => self.step(&conversation).await?,
            };
            let Step { text, calls, .. } = &step;
            if calls.is_empty() {
                conversation.entries.push(Entry::Assistant {
                    text: text.clone(),
                    tool_calls: Vec::new(),
                });
                conversation.updated_at = now();
                return self.put(&mut conversation).await;
            }
            conversation.pending = Some(step.clone());
            self.put(&mut conversation).await?;
            let results = self.call_tools(&step, &mut conversation, &mut accesses).await?;
            // Calls and results are written together: a model must never be shown one without the other.
            conversation.pending = None;
            conversation.entries.push(Entry::Assistant {
                text: step.text,
                tool_calls: step.calls,
            });
            conversation.entries.extend(results);
            conversation.updated_at = now();
            self.put(&mut conversation).await?;
        }
        Err(TurnError::Steps)
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
    async fn step(&self, conversation: &Conversation) -> Result<Step, TurnError> {
        let mut step = Step::default();
        let mut deltas = self
            .agent
            .model
            .answer(conversation.for_model(), self.agent.tools.specs());
        loop {
            let delta = tokio::select! {
                delta = deltas.next() => delta,
                ended = self.place.ended() => return Err(ended.into()),
            };
            match delta.transpose()? {
                Some(Delta::Text(text)) => {
                    step.text.push_str(&text);
                    self.log.push(Event::Message { text });
                }
                Some(Delta::ToolCall(call)) if step.calls.len() < MOST_CALLS => {
                    let number = conversation.entries.len() + step.calls.len();
                    step.calls.push(with_usable_id(call, number));
                }
                Some(Delta::ToolCall(_)) => tracing::warn!("a tool call too many is dropped"),
                None => break,
            }
        }
        if !step.text.is_empty() {
            let html = self.agent.html(&step.text);
            self.log.push(Event::Answer { html });
        }
        Ok(step)
    }
}

/// Some vendors give no id, and none is bound to keep it short.
fn with_usable_id(mut call: ToolCall, number: usize) -> ToolCall {
    if call.id.is_empty() || call.id.len() > 200 {
        call.id = format!("call-{number}");
    }
    call
}
