//! The data plane, one file an operation: workload access tokens and what they are good for.

mod complete_resource_token_auth;
mod get_resource_api_key;
mod get_resource_oauth2_token;
mod get_workload_access_token;
mod get_workload_access_token_for_jwt;
mod get_workload_access_token_for_user_id;
pub(crate) mod presented_session;

use std::sync::Arc;

use axum::Router;
use countersign_api::{ApiError, Arn, ErrorCode, Sensitive, ValidationReason};
use countersign_crypto::UserKey;
use countersign_web::PersonError;

use crate::external_secret::ExternalSecretError;
use crate::operation::{Call, OperationError};
use crate::server::route;
use crate::state::NoKeys;
use crate::state::State;
use crate::stops::Subject;
use crate::store::workload_identity::WorkloadIdentityRow;
use crate::user_artifact::Identified;
use crate::vault::VaultError;
use crate::vault::provider::{ExchangeError, ProviderError};
use crate::wat::{self, WatUser, WorkloadAccessToken};

/// Adds the data plane's routes.
pub(crate) fn routes(router: Router<State>) -> Router<State> {
    let router = route::<countersign_api::data::GetWorkloadAccessToken>(router);
    let router = route::<countersign_api::data::GetWorkloadAccessTokenForJWT>(router);
    let router = route::<countersign_api::data::GetWorkloadAccessTokenForUserId>(router);
    let router = route::<countersign_api::data::GetResourceOauth2Token>(router);
    let router = route::<countersign_api::data::CompleteResourceTokenAuth>(router);
    route::<countersign_api::data::GetResourceApiKey>(router)
}

/// The stops that hold for a person: by user key, and by the published id where the person has one, so that a stop
/// reaches them however the caller named them.
pub(crate) fn user_subjects(key: UserKey, person: Option<&str>) -> impl Iterator<Item = Subject> {
    let published = person.map(|person| Subject::Person(person.to_owned()));
    std::iter::once(Subject::User(key)).chain(published)
}

/// `AccessDeniedException` for everything about a session that its presenter may not know.
pub(crate) fn invalid_session(reason: &'static str) -> OperationError {
    OperationError::refused(reason, ApiError::access_denied("Invalid or expired session"))
}

/// [`invalid_session`] in place of a policy's refusal, which would tell that there is such a session. A policy that
/// could not be asked has refused nothing.
pub(crate) fn unauthorized_session(error: OperationError) -> OperationError {
    match error {
        OperationError::Refused { .. } => invalid_session("not_authorized"),
        failed @ OperationError::Failed { .. } => failed,
    }
}

/// The refusal of a user token.
pub(crate) fn refused_user_token(error: &PersonError, answer: ApiError) -> OperationError {
    match error {
        PersonError::KeysUnavailable => OperationError::unavailable(error.reason(), error),
        _ => OperationError::refused(error.reason(), answer),
    }
}

/// Authorizes a mint for the workload `name` and finds it.
async fn authorize_mint(call: &mut Call, name: &str) -> Result<Arc<WorkloadIdentityRow>, OperationError> {
    call.entry.workload = Some(name.to_owned());
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    call.authorize(&[
        Arn::workload_identity(&region, &account, name),
        Arn::directory(&region, &account),
    ])
    .await?;
    let workload = call.state.cache.workload_identity(&account, name).await?;
    let workload = workload.ok_or_else(|| OperationError::not_found("Workload identity", name))?;
    call.state.rates.workload(&workload.id, call.now)?;
    Ok(workload)
}

/// Mints a workload access token, unless a stop is in force.
async fn mint(
    call: &mut Call,
    workload: &WorkloadIdentityRow,
    user: Option<(Identified, Option<&Sensitive>)>,
) -> Result<Sensitive, OperationError> {
    let mut subjects = vec![Subject::Workload(workload.name.clone())];
    let user = user.map(|(identified, jwt)| {
        subjects.extend(user_subjects(identified.key, identified.person.as_deref()));
        call.entry.person = Some(identified.key);
        call.entry.sid.clone_from(&identified.sid);
        call.entry
            .personal
            .insert("user".to_owned(), identified.name.into());
        let user = WatUser {
            key: identified.key,
            person: identified.person,
            sid: identified.sid,
            audience: identified.audience,
            inbound_jwt: None,
        };
        (user, jwt)
    });
    call.check_stops(subjects).await?;
    let user = match user {
        Some((mut user, Some(jwt))) => {
            user.inbound_jwt = Some(wat::carry(&call.state, call.account(), jwt, call.now).await?);
            Some(user)
        }
        Some((user, None)) => Some(user),
        None => None,
    };
    let keyring = &call.state.keys(call.account())?.workload_access_token;
    let token = wat::mint(
        keyring,
        &*call.state.random,
        call.account(),
        &workload.id,
        user,
        call.now,
    );
    Ok(token.into())
}

/// Opens the workload access token of a request for a resource's credential, and finds the workload it names.
async fn open_wat(
    call: &mut Call,
    token: &Sensitive,
) -> Result<(WorkloadAccessToken, Arc<WorkloadIdentityRow>), OperationError> {
    let refused = |reason| {
        let message = "The workload access token is invalid or has expired.";
        OperationError::refused(reason, ApiError::new(ErrorCode::Unauthorized, message))
    };
    let account = call.account().to_owned();
    let keyring = &call.state.keys(&account)?.workload_access_token;
    let wat =
        wat::open(keyring, &account, token.expose(), call.now).map_err(|error| refused(error.reason()))?;
    let workload = call
        .state
        .cache
        .workload_identity_by_id(&account, &wat.workload_id)
        .await?;
    let workload = workload.ok_or_else(|| refused("workload_deleted"))?;
    call.entry.workload = Some(workload.name.clone());
    if let Some(user) = &wat.user {
        call.entry.person = Some(user.key);
        call.entry.sid.clone_from(&user.sid);
        if let (true, Some(carried)) = (call.reads_claims(), &user.inbound_jwt) {
            let jwt = Box::pin(wat::inbound_jwt(&call.state, &account, carried, call.now)).await?;
            call.context.inbound_jwt = jwt.map(Sensitive::from);
        }
    }
    Ok((wat, workload))
}

impl From<ProviderError> for OperationError {
    fn from(error: ProviderError) -> Self {
        Self::from(&error)
    }
}

impl From<&ProviderError> for OperationError {
    fn from(error: &ProviderError) -> Self {
        match error {
            ProviderError::Metadata(_) => Self::unavailable("provider_unreachable", error),
            // The registration's own fault, in words of ours.
            ProviderError::Configuration(_) | ProviderError::Assertion(_) => Self::refused(
                "provider_unusable",
                ApiError::validation(ValidationReason::FieldValidationFailed, error.to_string()),
            ),
            ProviderError::ExternalSecret(
                ExternalSecretError::Unreachable(_) | ExternalSecretError::Protocol(_),
            ) => Self::unavailable("external_secret_unreachable", error),
            ProviderError::ExternalSecret(_) => Self::refused(
                "external_secret_refused",
                ApiError::access_denied("Access denied when retrieving the provider's external secret."),
            ),
            ProviderError::Account(_) | ProviderError::Secret(_) => {
                Self::internal("provider_unusable", error)
            }
        }
    }
}

impl From<VaultError> for OperationError {
    fn from(error: VaultError) -> Self {
        Self::from(&error)
    }
}

impl From<&VaultError> for OperationError {
    fn from(error: &VaultError) -> Self {
        match error {
            VaultError::Shared(error) => Self::from(&**error),
            VaultError::Db(error) => error.into(),
            VaultError::Busy(pause) => Self::Failed {
                error: ApiError::throttled("The token is being refreshed; try again.", seconds(*pause)),
                reason: "refresh_under_way",
                cause: error.to_string(),
            },
            VaultError::ProviderAway(_) => Self::unavailable("provider_away", error),
            VaultError::Stopped(reason) => {
                Self::refused(reason, ApiError::access_denied("Access has been stopped."))
            }
            VaultError::Refresh(ExchangeError::Provider(error))
            | VaultError::Exchange(ExchangeError::Provider(error)) => error.into(),
            VaultError::Refresh(error) => Self::unavailable("refresh_failed", error),
            VaultError::Exchange(error) => Self::unavailable("provider_unreachable", error),
            VaultError::Account(NoKeys::Outdated) => Self::unavailable("keys_unavailable", error),
            VaultError::Account(NoKeys::VaultAway) => Self::unavailable("vault_key_unavailable", error),
            VaultError::Sealed(_) | VaultError::Account(NoKeys::NotConfigured(_)) => {
                Self::internal("vault_unreadable", error)
            }
        }
    }
}

/// Whole seconds of a pause, at least one.
fn seconds(pause: std::time::Duration) -> u64 {
    pause.as_secs() + u64::from(pause.subsec_nanos() > 0).max(u64::from(pause.is_zero()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_away_denies_nobody() {
        let denied =
            OperationError::refused("not_authorized", ApiError::access_denied("which policy it was"));
        assert!(matches!(
            unauthorized_session(denied),
            OperationError::Refused { reason: "not_authorized", error } if error.message == "Invalid or expired session"
        ));
        let away = OperationError::unavailable("store_unavailable", "no connection");
        assert!(matches!(
            unauthorized_session(away),
            OperationError::Failed {
                reason: "store_unavailable",
                ..
            }
        ));
    }
}
