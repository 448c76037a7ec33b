//! `GetResourceApiKey`: an API key for a resource. No API-key credential provider can be registered yet, so after
//! every check that a key would need the answer is that the provider does not exist.

use countersign_api::Arn;
use countersign_api::data::GetResourceApiKey;
use countersign_api::data::get_resource_api_key::{Input, Output};

use super::{open_wat, user_subjects};
use crate::operation::{Call, Handle, OperationError};
use crate::stops::Subject;

impl Handle for GetResourceApiKey {
    #[tracing::instrument(name = "identity.get_resource_api_key", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let name = input.resource_credential_provider_name;
        call.entry.provider = Some(name.clone());
        let (wat, workload) = open_wat(call, &input.workload_identity_token).await?;
        let (region, account) = (call.region().to_owned(), call.account().to_owned());
        call.authorize(&[
            Arn::api_key_provider(&region, &account, &name),
            Arn::token_vault(&region, &account),
            Arn::workload_identity(&region, &account, &workload.name),
            Arn::directory(&region, &account),
        ])?;
        let mut subjects = vec![
            Subject::Workload(workload.name.clone()),
            Subject::Provider(name.clone()),
        ];
        subjects.extend(
            wat.user
                .iter()
                .flat_map(|user| user_subjects(user.key, user.person.as_deref())),
        );
        call.check_stops(subjects).await?;
        Err(OperationError::not_found("API key credential provider", &name))
    }
}
