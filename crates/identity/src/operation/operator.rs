//! The same path for somebody whom a page has recognised by their login, in place of a signature.

use countersign_api::operation::{Operation, parse};
use countersign_api::{ApiError, Arn};
use countersign_audit::{Entry, Outcome};
use countersign_outbound::trace;

use super::{Call, Caller, Handle, Meters, OperationError, carry_out};
use crate::finished::Finished;
use crate::policy::Context;
use crate::state::State;
use crate::stops::Subject;

/// An operator of the console.
pub(crate) struct Operator {
    /// The policy of their role, and how they are recorded.
    pub(crate) caller: Caller,
    /// Their login.
    pub(crate) sid: Option<String>,
    /// Whose stops hold for them.
    pub(crate) subjects: Vec<Subject>,
}

/// Does `O` for an operator: the stops, the rules of its input, the policy, and the record before the answer.
pub(crate) async fn perform<O: Handle>(
    state: &State,
    operator: Operator,
    input: &O::Input,
) -> Result<O::Output, ApiError> {
    let mut call = call::<O>(state, operator);
    // By way of its form on the wire, where the rules of its members are.
    let body = serde_json::to_vec(input);
    // Whoever leaves the page ends neither the operation nor its record.
    let work = Finished::new(async move {
        let result = match body {
            Ok(body) => performed::<O>(&mut call, &body).await,
            Err(error) => Err(OperationError::internal("input_not_json", error)),
        };
        finish::<O, _>(call, result).await
    });
    work.await
}

/// Whether an operator may see what `O`, an operation on the account, has found for another a moment ago: by the same
/// stops, the same policy and a record, as if they had done it themselves.
pub(crate) async fn share<O: Operation>(state: &State, operator: Operator) -> Result<(), ApiError> {
    let mut call = call::<O>(state, operator);
    call.entry.detail.insert("shared".to_owned(), true.into());
    let account = Arn::account(call.region(), call.account());
    let result = match call.stopped().await {
        Ok(()) => call.authorize(&[account]).await,
        stopped => stopped,
    };
    finish::<O, _>(call, result).await
}

fn call<O: Operation>(state: &State, operator: Operator) -> Call {
    let Operator {
        caller,
        sid,
        subjects,
    } = operator;
    let entry = Entry {
        principal: Some(caller.arn.to_string()),
        request_id: Some(caller.request_id.clone()),
        source: caller.source.clone(),
        sid,
        trace_id: trace::current_id(),
        ..Entry::new(O::NAME, Outcome::Done).with_account(&*caller.account, &*state.config.region)
    };
    Call {
        state: state.clone(),
        now: state.clock.now(),
        caller,
        entry,
        context: Context::default(),
        action: O::ACTION,
        authorized: false,
        effective: false,
        subjects,
    }
}

/// Records how it ended, then answers.
async fn finish<O: Operation, T>(mut call: Call, result: Result<T, OperationError>) -> Result<T, ApiError> {
    Meters::of::<O>().record(&call, &result);
    let output = result.map_err(|error| call.fails(error));
    match call.state.recorder.record(call.entry).await {
        Ok(_) => output,
        Err(error) => {
            tracing::error!(%error, "an operation could not be recorded; its answer is withheld");
            Err(ApiError::unavailable())
        }
    }
}

async fn performed<O: Handle>(call: &mut Call, body: &[u8]) -> Result<O::Output, OperationError> {
    call.stopped().await?;
    let input = parse::<O>(body).map_err(|error| OperationError::refused("invalid_input", error))?;
    carry_out::<O>(call, input).await
}
