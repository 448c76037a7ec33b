//! `TagResource`.

use countersign_api::control::TagResource;
use countersign_api::control::tag_resource::Input;
use countersign_api::operation::Empty;

use super::tagging;
use crate::operation::{Call, Handle, OperationError};

impl Handle for TagResource {
    #[tracing::instrument(name = "identity.tag_resource", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Empty, OperationError> {
        call.context.request_tags = Some(input.tags.clone());
        let subject = tagging::authorized(call, &input.resource_arn).await?;
        let keys: Vec<String> = input.tags.keys().cloned().collect();
        call.entry.detail.insert("tagKeys".to_owned(), keys.into());
        tagging::change(call, &subject, |tags| tags.extend(input.tags.clone())).await?;
        Ok(Empty {})
    }
}
