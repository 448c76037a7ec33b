//! `ListTagsForResource`.

use countersign_api::control::ListTagsForResource;
use countersign_api::control::list_tags_for_resource::{Input, Output};

use super::tagging;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ListTagsForResource {
    #[tracing::instrument(name = "identity.list_tags_for_resource", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let subject = tagging::authorized(call, &input.resource_arn).await?;
        let tags = tagging::find(call, &subject).await?;
        Ok(Output { tags: Some(tags) })
    }
}
