//! `GetWorkloadAccessTokenForUserId`: for the agent and a person at the caller's word. Nothing proves the id, which
//! is why the policies we ship do not allow it.

use countersign_api::data::GetWorkloadAccessTokenForUserId;
use countersign_api::data::get_workload_access_token_for_user_id::{Input, Output};

use super::{authorize_mint, mint};
use crate::operation::{Call, Handle, OperationError};
use crate::user_artifact::from_user_id;

impl Handle for GetWorkloadAccessTokenForUserId {
    #[tracing::instrument(name = "identity.get_workload_access_token_for_user_id", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.context.user_id = Some(input.user_id.clone());
        let workload = authorize_mint(call, &input.workload_name).await?;
        let user = Some((from_user_id(&input.user_id), None));
        Ok(Output {
            workload_access_token: mint(call, &workload, user).await?,
        })
    }
}
