//! `Start`: lifts a stop.

use countersign_api::admin::Start;
use countersign_api::admin::start::Input;
use countersign_api::operation::Empty;

use super::stop_subject;
use crate::operation::{Call, Handle, OperationError};
use crate::store::stop;

impl Handle for Start {
    #[tracing::instrument(name = "identity.start", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        let (subject, resource) = stop_subject::recorded(call, input.subject_kind, &input.subject)?;
        let (kind, stored) = subject.stored(call.account());
        call.authorize(&[resource]).await?;
        let mut tx = call.state.pool.begin().await?;
        if !stop::delete(&mut tx, call.account(), kind, &stored).await? {
            return Err(OperationError::not_found("Stop of", &input.subject));
        }
        call.state.commit(tx, &[(stop::CHANGE, &stored)]).await?;
        call.takes_effect();
        Ok(Empty {})
    }
}
