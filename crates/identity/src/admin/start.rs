//! `Start`: lifts a stop.

use countersign_api::admin::Start;
use countersign_api::admin::start::Input;
use countersign_api::operation::Empty;

use super::stop_subject;
use crate::operation::{Call, Handle, OperationError};
use crate::stops::Subject;
use crate::store::stop;

impl Handle for Start {
    #[tracing::instrument(name = "identity.start", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        let (subject, resource) = stop_subject::read(call, input.subject_kind, &input.subject)?;
        let (kind, stored) = subject.stored(call.account());
        call.entry.detail.insert("subjectKind".to_owned(), kind.into());
        match &subject {
            Subject::User(key) => call.entry.person = Some(*key),
            Subject::Person(_) => {}
            _ => drop(
                call.entry
                    .detail
                    .insert("subject".to_owned(), stored.clone().into()),
            ),
        }
        call.authorize(&[resource]).await?;
        let mut tx = call.state.pool.begin().await?;
        if !stop::delete(&mut tx, call.account(), kind, &stored).await? {
            return Err(OperationError::not_found("Stop of", &input.subject));
        }
        call.state.commit(tx, &[(stop::CHANGE, &stored)]).await?;
        Ok(Empty {})
    }
}
