//! `GetResourceOauth2Token`: a person's token for a third-party service, or the session in which the person may
//! consent to one.
//!
//! Pending consent is a success without a token; both pollers of the SDKs stop at any error. A poll answers for its
//! own session and for nothing else: what an older grant would give is withheld from it (design chapter 5).

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_api::data::get_resource_oauth2_token::{Input, Output};
use countersign_api::data::{GetResourceOauth2Token, Oauth2Flow, SessionStatus};
use countersign_api::{ApiError, Arn, EpochSeconds, ValidationReason};
use countersign_crypto::{Timestamp, token, uuid_v7};
use countersign_oauth::authorize::is_reserved;

use super::{invalid_session, open_wat, user_subjects};
use crate::operation::{Call, Handle, OperationError};
use crate::session::{self, LIFETIME, Secrets, SessionUri, Status};
use crate::stops::Subject;
use crate::store::authorization_session::{self, Opened, SessionRow};
use crate::store::grant::{self, GrantRow};
use crate::store::oauth2_provider::ProviderRow;
use crate::store::workload_identity::WorkloadIdentityRow;
use crate::vault::key::{VaultKeyParts, normalised_scopes};
use crate::vault::refresh::{Renewed, renew};
use crate::vault::{Provider, open_token, scope};
use crate::wat::WatUser;

/// Sessions that a person may have under way for one workload.
const MAX_LIVE_SESSIONS: i64 = 20;

/// What the reference knows as the message of this refusal; tools match it.
const NO_RETURN_URL: &str = "You must register and use at least one ResourceOauth2ReturnUrl on your workload identity to use this flow";

/// A request whose caller, workload, person and provider are known and allowed.
struct Request {
    workload: Arc<WorkloadIdentityRow>,
    provider: Arc<ProviderRow>,
    user: WatUser,
    scopes: Vec<String>,
    custom_parameters: BTreeMap<String, String>,
    resources: Vec<String>,
    audiences: Vec<String>,
    return_url: Option<String>,
    custom_state: Option<String>,
    force: bool,
    vault_key: [u8; 32],
}

impl Handle for GetResourceOauth2Token {
    #[tracing::instrument(name = "identity.get_resource_oauth2_token", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let session_uri = session_uri(input.session_uri.as_deref())?;
        let request = admit(call, input).await?;
        if let Some(uri) = session_uri
            && let Some(output) = poll(call, &request, &uri).await?
        {
            return Ok(output);
        }
        if !request.force
            && let Some(output) = vaulted(call, &request).await?
        {
            return Ok(output);
        }
        ask(call, &request).await
    }
}

fn session_uri(text: Option<&str>) -> Result<Option<SessionUri>, OperationError> {
    text.map(|text| {
        SessionUri::parse(text).ok_or_else(|| {
            let error = ApiError::field("sessionUri", "must be one that this operation gave");
            OperationError::refused("malformed_session_uri", error)
        })
    })
    .transpose()
}

/// Everything that must hold before the vault is asked.
async fn admit(call: &mut Call, input: Input) -> Result<Request, OperationError> {
    let name = input.resource_credential_provider_name;
    call.entry.provider = Some(name.clone());
    let (wat, workload) = open_wat(call, &input.workload_identity_token).await?;
    let (region, account) = (call.region().to_owned(), call.account().to_owned());
    call.authorize(&[
        Arn::oauth2_provider(&region, &account, &name),
        Arn::token_vault(&region, &account),
        Arn::workload_identity(&region, &account, &workload.name),
        Arn::directory(&region, &account),
    ])?;
    let provider = call.state.cache.provider(&account, &name).await?;
    let provider = provider.ok_or_else(|| OperationError::not_found("OAuth2 credential provider", &name))?;
    let mut subjects = vec![Subject::Workload(workload.name.clone()), Subject::Provider(name)];
    subjects.extend(
        wat.user
            .iter()
            .flat_map(|user| user_subjects(user.key, user.person.as_deref())),
    );
    call.check_stops(subjects).await?;

    if input.oauth2_flow != Oauth2Flow::UserFederation {
        let rule = "must be USER_FEDERATION; this server does not offer the other flows yet";
        return Err(OperationError::refused(
            "flow_not_offered",
            ApiError::field("oauth2Flow", rule),
        ));
    }
    let user = wat.user.ok_or_else(|| {
        let rule = "must be of a workload and a person for USER_FEDERATION (GetWorkloadAccessTokenForJWT or \
                    GetWorkloadAccessTokenForUserId)";
        OperationError::refused(
            "wat_without_person",
            ApiError::field("workloadIdentityToken", rule),
        )
    })?;
    // A poll may leave it out: its session has one.
    check_return_url(
        &workload,
        input.resource_oauth2_return_url.as_deref(),
        input.session_uri.is_none(),
    )?;
    let custom_parameters = custom_parameters(input.custom_parameters.unwrap_or_default())?;
    let resources = input.resources.unwrap_or_default();
    let audiences = input.audiences.unwrap_or_default();
    let vault_key = VaultKeyParts {
        account: &account,
        workload_id: &workload.id,
        provider_id: &provider.id,
        user_key: &user.key,
        custom_parameters: &custom_parameters,
        resources: &resources,
        audiences: &audiences,
    }
    .hash();
    Ok(Request {
        scopes: normalised_scopes(&input.scopes),
        return_url: input.resource_oauth2_return_url,
        custom_state: input.custom_state.map(|state| state.expose().to_owned()),
        force: input.force_authentication.unwrap_or(false),
        workload,
        provider,
        user,
        custom_parameters,
        resources,
        audiences,
        vault_key,
    })
}

/// A return URL is one of the registered texts, character by character (attack row D1).
fn check_return_url(
    workload: &WorkloadIdentityRow,
    return_url: Option<&str>,
    required: bool,
) -> Result<(), OperationError> {
    let registered = |url: &str| workload.allowed_return_urls.iter().any(|allowed| allowed == url);
    if return_url.map_or(!required, registered) {
        return Ok(());
    }
    let error = ApiError::validation(ValidationReason::FieldValidationFailed, NO_RETURN_URL);
    Err(OperationError::refused("return_url_not_registered", error))
}

fn custom_parameters(
    given: BTreeMap<String, countersign_api::Sensitive>,
) -> Result<BTreeMap<String, String>, OperationError> {
    if let Some(name) = given.keys().find(|name| is_reserved(name)) {
        let error = ApiError::field(
            format!("customParameters.{name}"),
            "is a parameter of OAuth's own",
        );
        return Err(OperationError::refused("reserved_parameter", error));
    }
    Ok(given
        .into_iter()
        .map(|(name, value)| (name, value.expose().to_owned()))
        .collect())
}

/// What became of a session. `None` when it completed and its grant has ended since: then the request counts as a
/// new one, if it has what a new one needs.
async fn poll(
    call: &mut Call,
    request: &Request,
    uri: &SessionUri,
) -> Result<Option<Output>, OperationError> {
    let session = authorization_session::find_by_uri(&call.state.pool, &uri.hash()).await?;
    let session = session.ok_or_else(|| invalid_session("unknown_session"))?;
    let own = session.account == call.account()
        && session.workload_id == request.workload.id
        && session.provider_id == request.provider.id
        && session.user_key == request.user.key;
    if !own {
        return Err(invalid_session("foreign_session"));
    }
    call.entry.session = Some(session.id.clone());
    let pending = |status| Output {
        session_uri: Some(uri.expose().to_owned()),
        session_status: Some(status),
        ..Output::default()
    };
    if session.status == Status::Completed {
        let id = session.grant_id.as_deref().unwrap_or_default();
        let granted = grant::find(&call.state.pool, &session.account, id).await?;
        if let Some(granted) = granted.filter(|granted| granted.ended_at.is_none())
            && let Some(output) = release(call, request, granted).await?
        {
            return Ok(Some(output));
        }
        let gone = request.return_url.is_none();
        return Ok(gone.then(|| pending(SessionStatus::Failed)));
    }
    let live = session.status.is_live() && session.deadline > call.now;
    let output = pending(if live {
        SessionStatus::InProgress
    } else {
        SessionStatus::Failed
    });
    call.entry
        .detail
        .insert("status".to_owned(), session.status.as_str().into());
    Ok(Some(output))
}

/// The token of a grant that covers the request, if there is one.
async fn vaulted(call: &mut Call, request: &Request) -> Result<Option<Output>, OperationError> {
    let mut grants = grant::list_by_vault_key(&call.state.pool, &request.vault_key).await?;
    while let Some(chosen) = scope::choose(&grants, &request.scopes).cloned() {
        grants.retain(|grant| grant.id != chosen.id);
        if let Some(output) = release(call, request, chosen).await? {
            return Ok(Some(output));
        }
    }
    Ok(None)
}

/// The token of `grant`, refreshed if need be; `None` when it needs consent again.
async fn release(
    call: &mut Call,
    request: &Request,
    grant: GrantRow,
) -> Result<Option<Output>, OperationError> {
    let grant = if needs_renewal(&grant, call.now) {
        let provider = Provider::resolve(&call.state, Arc::clone(&request.provider)).await?;
        match renew(&call.state, grant, &provider).await? {
            Renewed::Usable(grant) => *grant,
            Renewed::NeedsConsent => return Ok(None),
        }
    } else {
        grant
    };
    let keyring = &call.state.keys(&grant.account)?.vault;
    let sealed = grant.access_token.as_deref().unwrap_or_default();
    let access_token = open_token(keyring, &grant, "access_token", sealed)
        .map_err(|error| OperationError::internal("vault_unreadable", error))?;
    call.entry.grant = Some(grant.id.clone());
    call.entry.detail.insert("released".to_owned(), true.into());
    call.entry
        .detail
        .insert("scopes".to_owned(), grant.scopes.clone().into());
    Ok(Some(Output {
        access_token: Some(access_token.into()),
        expires_at: grant
            .access_expires_at
            .map(|time| EpochSeconds::from_micros(time.as_micros())),
        granted_scopes: Some(grant.scopes),
        grant_id: Some(grant.id),
        ..Output::default()
    }))
}

/// Metadata is fetched only when it is needed: an authorization server that is away does not keep anybody from a
/// token that is still good.
fn needs_renewal(grant: &GrantRow, now: Timestamp) -> bool {
    !crate::vault::refresh::usable(grant, now, crate::vault::refresh::SKEW)
}

/// Opens a session, or finds the one of an equal request.
async fn ask(call: &mut Call, request: &Request) -> Result<Output, OperationError> {
    let (new, uri) = new_session(call, request)?;
    let opened = authorization_session::open(&call.state.pool, &new, MAX_LIVE_SESSIONS, call.now).await?;
    let (session, uri) = match opened {
        Opened::Inserted => {
            call.entry.detail.insert("opened".to_owned(), true.into());
            (new, uri.expose().to_owned())
        }
        Opened::Existing(session) => {
            let keyring = &call.state.keys(&session.account)?.vault;
            let secrets = Secrets::open(keyring, &session)
                .map_err(|error| OperationError::internal("session_unreadable", error))?;
            (*session, secrets.uri.clone())
        }
        Opened::TooMany => {
            let error = ApiError::throttled(
                "Too many authorization sessions of this person are under way.",
                60,
            );
            return Err(OperationError::refused("too_many_sessions", error));
        }
    };
    call.entry.session = Some(session.id.clone());
    call.entry
        .detail
        .insert("scopes".to_owned(), request.scopes.clone().into());
    let mut url = call.state.front_channel(crate::front_channel::AUTHORIZE);
    url.query_pairs_mut().append_pair("request_uri", &uri);
    Ok(Output {
        authorization_url: Some(String::from(url).into()),
        session_uri: Some(uri),
        session_status: Some(SessionStatus::InProgress),
        expires_at: Some(EpochSeconds::from_micros(session.deadline.as_micros())),
        ..Output::default()
    })
}

fn new_session(call: &Call, request: &Request) -> Result<(SessionRow, SessionUri), OperationError> {
    let random = &*call.state.random;
    let keyring = &call.state.keys(call.account())?.vault;
    let id = uuid_v7(&*call.state.clock, random).to_string();
    let uri = SessionUri::generate(random);
    let (state, state_hash) = session::generate_state(random);
    let openid = request.scopes.iter().any(|scope| scope == "openid");
    let secrets = Secrets {
        uri: uri.expose().to_owned(),
        state,
        code_verifier: token(random),
        nonce: openid.then(|| token(random)),
        custom_state: request.custom_state.clone(),
        custom_parameters: request.custom_parameters.clone(),
        resources: request.resources.clone(),
        audiences: request.audiences.clone(),
    };
    let return_url = request.return_url.clone().unwrap_or_default();
    let slot = session::slot(&request.vault_key, &request.scopes);
    let user = &request.user;
    let row = SessionRow {
        account: call.account().to_owned(),
        workload_id: request.workload.id.clone(),
        workload_name: request.workload.name.clone(),
        provider_id: request.provider.id.clone(),
        provider_name: request.provider.name.clone(),
        provider_version: request.provider.config_version,
        user_key: user.key,
        person: user.person.clone(),
        sid: user.sid.clone(),
        vault_key: request.vault_key,
        slot,
        request: session::request_hash(&session::RequestIdentity {
            slot: &slot,
            return_url: &return_url,
            custom_state: request.custom_state.as_deref(),
            sid: user.sid.as_deref(),
            provider_version: request.provider.config_version,
        }),
        scopes: request.scopes.clone(),
        return_url,
        forced: request.force,
        uri_hash: uri.hash(),
        state_hash,
        browser_hash: None,
        secrets: secrets.seal(keyring, random, call.account(), &id),
        code: None,
        status: Status::Created,
        reason: None,
        error: None,
        grant_id: None,
        created_at: call.now,
        deadline: call.now.plus(LIFETIME),
        id,
    };
    Ok((row, uri))
}
