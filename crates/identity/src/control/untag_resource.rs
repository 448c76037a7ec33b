//! `UntagResource`. A key that is not there is no error.

use countersign_api::control::UntagResource;
use countersign_api::control::untag_resource::Input;
use countersign_api::operation::Empty;

use super::tagging;
use crate::operation::{Call, Handle, OperationError};

impl Handle for UntagResource {
    #[tracing::instrument(name = "identity.untag_resource", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.context.tag_keys = Some(input.tag_keys.clone());
        let subject = tagging::authorized(call, &input.resource_arn).await?;
        call.entry
            .detail
            .insert("tagKeys".to_owned(), input.tag_keys.clone().into());
        tagging::change(call, &subject, |tags| {
            tags.retain(|key, _| !input.tag_keys.contains(key));
        })
        .await?;
        Ok(Empty {})
    }
}
