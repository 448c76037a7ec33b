//! `GetWorkloadAccessTokenForJWT`: for the agent and a person whom a token proves. Of our gateways' tokens only
//! those made for this workload are accepted (design D8).

use countersign_api::ApiError;
use countersign_api::data::GetWorkloadAccessTokenForJWT;
use countersign_api::data::get_workload_access_token_for_jwt::{Input, Output};

use super::{authorize_mint, mint, refused_user_token};
use crate::operation::{Call, Handle, OperationError};
use crate::user_artifact::{Audience, from_user_token};

impl Handle for GetWorkloadAccessTokenForJWT {
    #[tracing::instrument(name = "identity.get_workload_access_token_for_jwt", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.context.inbound_jwt = Some(input.user_token.clone());
        let workload = authorize_mint(call, &input.workload_name).await?;
        let identified = from_user_token(
            &call.state,
            call.account(),
            Audience::Workload(&workload.name),
            input.user_token.expose(),
        )
        .await
        .map_err(|error| {
            let answer =
                ApiError::unauthorized("The user token is invalid, has expired, or is for another audience.");
            refused_user_token(&error, answer)
        })?;
        let user = Some((identified, Some(&input.user_token)));
        Ok(Output {
            workload_access_token: mint(call, &workload, user).await?,
        })
    }
}
