//! `GetResourceOauth2Token`: an access token for a third-party service, by one of three flows, or the session in
//! which a person may consent to one. One file a flow; what they share is here: who asks, for which provider, with
//! whose permission, and that nobody concerned is stopped.

mod m2m;
mod on_behalf_of;
mod user_federation;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_api::data::get_resource_oauth2_token::{Input, Output};
use countersign_api::data::{GetResourceOauth2Token, Oauth2Flow};
use countersign_api::{ApiError, Arn, ValidationReason};
use countersign_crypto::Timestamp;
use countersign_oauth::TokenError;

use super::{open_wat, user_subjects};
use crate::operation::{Call, Handle, OperationError};
use crate::policy::asked_scopes;
use crate::stops::Subject;
use crate::store::oauth2_provider::ProviderRow;
use crate::store::workload_identity::WorkloadIdentityRow;
use crate::vault::VaultError;
use crate::vault::key::{VaultKeyParts, normalised_scopes};
use crate::vault::provider::{ExchangeError, check_offered};
use crate::wat::WatUser;

/// A request whose caller, workload and provider are known and allowed, and what every flow reads of it.
struct Request {
    workload: Arc<WorkloadIdentityRow>,
    provider: Arc<ProviderRow>,
    /// `None`: the agent alone.
    user: Option<WatUser>,
    scopes: Vec<String>,
    custom_parameters: BTreeMap<String, String>,
    resources: Vec<String>,
    audiences: Vec<String>,
    /// Asks past everything that is kept.
    force: bool,
}

/// What only `USER_FEDERATION` reads.
struct SessionMembers {
    session_uri: Option<String>,
    return_url: Option<String>,
    custom_state: Option<String>,
}

impl Handle for GetResourceOauth2Token {
    #[tracing::instrument(name = "identity.get_resource_oauth2_token", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let flow = input.oauth2_flow;
        call.entry.detail.insert("flow".to_owned(), flow.as_str().into());
        let (request, members) = admit(call, input).await?;
        // What talks to the store or to a provider is boxed, here and in the flows: a future is as large as the largest
        // of what it may wait for, and is copied on its way to the executor. A token from the vault waits for none.
        match flow {
            Oauth2Flow::UserFederation => user_federation::token(call, request, members).await,
            Oauth2Flow::M2m => {
                members.refuse(flow)?;
                Box::pin(m2m::token(call, &request)).await
            }
            Oauth2Flow::OnBehalfOfTokenExchange => {
                members.refuse(flow)?;
                Box::pin(on_behalf_of::token(call, &request)).await
            }
        }
    }
}

/// Everything that must hold before a flow begins.
async fn admit(call: &mut Call, input: Input) -> Result<(Request, SessionMembers), OperationError> {
    let name = input.resource_credential_provider_name;
    call.entry.provider = Some(name.clone());
    let (wat, workload) = open_wat(call, &input.workload_identity_token).await?;
    let scopes = normalised_scopes(&input.scopes);
    let custom_parameters = input.custom_parameters.unwrap_or_default();
    let parameters = custom_parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.expose()));
    call.context.scopes = Some(asked_scopes(&scopes, parameters));
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    call.authorize(&[
        Arn::oauth2_provider(&region, &account, &name),
        Arn::token_vault(&region, &account),
        Arn::workload_identity(&region, &account, &workload.name),
        Arn::directory(&region, &account),
    ])
    .await?;
    call.state.rates.workload(&workload.id, call.now)?;
    let provider = call.state.cache.provider(&account, &name).await?;
    let provider = provider.ok_or_else(|| OperationError::not_found("OAuth2 credential provider", &name))?;
    let mut subjects = vec![Subject::Workload(workload.name.clone()), Subject::Provider(name)];
    subjects.extend(
        wat.user
            .iter()
            .flat_map(|user| user_subjects(user.key, user.person.as_deref())),
    );
    call.check_stops(subjects).await?;
    check_offered(&provider.config)?;
    let request = Request {
        workload,
        provider,
        user: wat.user,
        scopes,
        custom_parameters: custom_parameters
            .into_iter()
            .map(|(name, value)| (name, value.expose().to_owned()))
            .collect(),
        resources: input.resources.unwrap_or_default(),
        audiences: input.audiences.unwrap_or_default(),
        force: input.force_authentication.unwrap_or(false),
    };
    let members = SessionMembers {
        session_uri: input.session_uri,
        return_url: input.resource_oauth2_return_url,
        custom_state: input.custom_state.map(|state| state.expose().to_owned()),
    };
    Ok((request, members))
}

impl Request {
    /// The vault key of `flow` (design D13); of the person too where the flow is for one.
    fn vault_key(&self, flow: Oauth2Flow) -> [u8; 32] {
        let for_person = flow != Oauth2Flow::M2m;
        VaultKeyParts {
            account: &self.provider.account,
            workload_id: &self.workload.id,
            provider_id: &self.provider.id,
            user_key: self.user.as_ref().map(|user| &user.key).filter(|_| for_person),
            flow: flow.as_str(),
            custom_parameters: &self.custom_parameters,
            resources: &self.resources,
            audiences: &self.audiences,
        }
        .hash()
    }

    /// The custom parameters as pairs.
    fn custom_pairs(&self) -> Vec<(String, String)> {
        self.custom_parameters
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Custom parameters add; a name that `reserved` claims would override (AWS: "must not override the standard
    /// OAuth parameters").
    fn refuse_overrides(&self, reserved: impl Fn(&str) -> bool) -> Result<(), OperationError> {
        let Some(name) = self.custom_parameters.keys().find(|name| reserved(name)) else {
            return Ok(());
        };
        let error = ApiError::field(
            format!("customParameters.{name}"),
            "is a parameter of OAuth's own",
        );
        Err(OperationError::refused("reserved_parameter", error))
    }
}

/// What a provider that gave no token means for the caller: its own words where it refused (the callers' tools match
/// `message`), an invitation to try again where nothing is known.
fn refused_by_provider(message: &str, error: VaultError) -> OperationError {
    let VaultError::Exchange(ExchangeError::Token(error)) = error else {
        return error.into();
    };
    let told = |reason, detail: String| {
        let error = ApiError::validation(
            ValidationReason::FieldValidationFailed,
            format!("{message}: {detail}"),
        );
        OperationError::refused(reason, error)
    };
    match &error {
        TokenError::Denied { error, description } => {
            let described = description.as_deref().map(|text| format!(" ({text})"));
            let described = described.unwrap_or_default();
            told(
                "provider_refused",
                format!("the provider answered {error}{described}"),
            )
        }
        // Too many requests, or too slow a one: the next may be answered.
        TokenError::Status(408 | 429) => OperationError::unavailable("provider_unreachable", error),
        TokenError::Malformed(_) | TokenError::Status(200..=499) => {
            told("provider_answer", error.to_string())
        }
        _ => OperationError::unavailable("provider_unreachable", error),
    }
}

impl SessionMembers {
    /// Members that a flow without a browser cannot honour are refused by name rather than ignored. The return URL
    /// is let through: the Python SDK sends one whatever the flow, when it knows one.
    fn refuse(&self, flow: Oauth2Flow) -> Result<(), OperationError> {
        let member = match self {
            Self {
                session_uri: Some(_), ..
            } => "sessionUri",
            Self {
                custom_state: Some(_),
                ..
            } => "customState",
            _ => return Ok(()),
        };
        let rule = format!("has no meaning for {}, which opens no session", flow.as_str());
        Err(OperationError::refused(
            "member_of_another_flow",
            ApiError::field(member, rule),
        ))
    }
}

/// How long the released token is good by itself, as far as the service has said: reports tell it, long after the token
/// is gone.
fn record_expiry(call: &mut Call, expires: Option<Timestamp>) {
    if let Some(expires) = expires {
        let detail = &mut call.entry.detail;
        detail.insert("expires".to_owned(), expires.as_secs().into());
    }
}
