//! `GetWorkloadAccessToken`: for the agent alone. What it opens are resources that need no person.

use countersign_api::data::GetWorkloadAccessToken;
use countersign_api::data::get_workload_access_token::{Input, Output};

use super::{authorize_mint, mint};
use crate::operation::{Call, Handle, OperationError};

impl Handle for GetWorkloadAccessToken {
    #[tracing::instrument(name = "identity.get_workload_access_token", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let workload = authorize_mint(call, &input.workload_name).await?;
        Ok(Output {
            workload_access_token: mint(call, &workload, None).await?,
        })
    }
}
