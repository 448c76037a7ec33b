//! `USER_FEDERATION`: a person's token, or the session in which the person may consent to one.
//!
//! Pending consent is a success without a token; both pollers of the SDKs stop at any error. A poll answers for its
//! own session and for nothing else: what an older grant would give is withheld from it (design chapter 5).

use countersign_api::data::get_resource_oauth2_token::Output;
use countersign_api::data::{Oauth2Flow, SessionStatus};
use countersign_api::{ApiError, EpochSeconds, ValidationReason};
use countersign_crypto::{token as random_token, uuid_v7};
use countersign_oauth::authorize::is_reserved;

use super::{Request, SessionMembers};
use crate::data::invalid_session;
use crate::operation::{Call, OperationError};
use crate::session::{self, LIFETIME, Secrets, SessionUri, Status};
use crate::store::authorization_session::{self, Ending, Opened, SessionRow};
use crate::store::grant::{self, GrantRow};
use crate::store::workload_identity::WorkloadIdentityRow;
use crate::vault::provider::template;
use crate::vault::refresh::timing::{due, usable};
use crate::vault::refresh::{Renewed, renew, renew_ahead};
use crate::vault::{open_token, scope};
use crate::wat::WatUser;

/// Sessions that a person may have under way for one workload.
const MAX_LIVE_SESSIONS: i64 = 20;

/// What the reference knows as the message of this refusal; tools match it.
const NO_RETURN_URL: &str = "You must register and use at least one ResourceOauth2ReturnUrl on your workload identity to use this flow";

/// A person's request.
struct Consent {
    request: Request,
    user: WatUser,
    return_url: Option<String>,
    custom_state: Option<String>,
    vault_key: [u8; 32],
}

/// The token of a grant that covers the request, what became of the session it polls, or a session to consent in.
pub(super) async fn token(
    call: &mut Call,
    request: Request,
    members: SessionMembers,
) -> Result<Output, OperationError> {
    let session_uri = session_uri(members.session_uri.as_deref())?;
    let user = request.user.clone().ok_or_else(|| {
        let rule = "must be of a workload and a person for USER_FEDERATION (GetWorkloadAccessTokenForJWT or \
                    GetWorkloadAccessTokenForUserId)";
        OperationError::refused(
            "wat_without_person",
            ApiError::field("workloadIdentityToken", rule),
        )
    })?;
    // A poll may leave it out: its session has one.
    check_return_url(
        &request.workload,
        members.return_url.as_deref(),
        session_uri.is_none(),
    )?;
    request.refuse_overrides(is_reserved)?;
    let consent = Consent {
        vault_key: request.vault_key(Oauth2Flow::UserFederation),
        user,
        return_url: members.return_url,
        custom_state: members.custom_state,
        request,
    };
    if let Some(uri) = session_uri
        && let Some(output) = Box::pin(poll(call, &consent, &uri)).await?
    {
        return Ok(output);
    }
    if !consent.request.force
        && let Some(output) = vaulted(call, &consent).await?
    {
        return Ok(output);
    }
    Box::pin(ask(call, &consent)).await
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

/// What became of a session. `None` when it completed and its grant has ended since: then the request counts as a
/// new one, if it has what a new one needs.
async fn poll(
    call: &mut Call,
    consent: &Consent,
    uri: &SessionUri,
) -> Result<Option<Output>, OperationError> {
    let session = authorization_session::find_by_uri(&call.state.pool, &uri.hash()).await?;
    let session = session.ok_or_else(|| invalid_session("unknown_session"))?;
    let own = session.account == call.account()
        && session.workload_id == consent.request.workload.id
        && session.provider_id == consent.request.provider.id
        && session.user_key == consent.user.key;
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
        if let Some(granted) = granted.filter(GrantRow::is_served)
            && let Some(output) = release(call, consent, granted).await?
        {
            return Ok(Some(output));
        }
        let gone = consent.return_url.is_none();
        return Ok(gone.then(|| pending(SessionStatus::Failed)));
    }
    let lapsed = session.lapsed(call.now);
    if lapsed && session.status.awaits_the_person() {
        // Written down where it is seen: a clock that jumps back does not bring it back to life.
        let ending = Ending {
            status: Status::Expired,
            reason: "expired",
            error: None,
        };
        authorization_session::end(
            &call.state.pool,
            &session.id,
            session.status,
            ending,
            None,
            call.now,
        )
        .await?;
    }
    let live = session.status.is_live() && !lapsed;
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
async fn vaulted(call: &mut Call, consent: &Consent) -> Result<Option<Output>, OperationError> {
    let known = call.state.cache.grants(&consent.vault_key).await?;
    if let Some(chosen) = scope::choose(&known, &consent.request.scopes)
        && usable(chosen, call.now)
    {
        if due(chosen, template(consent.request.provider.vendor), call.now) {
            renew_ahead(&call.state, chosen, &consent.request.provider);
        }
        return released(call, chosen).map(Some);
    }
    Box::pin(renewed(call, consent)).await
}

/// As [`vaulted`], for a token that has to be renewed first.
async fn renewed(call: &mut Call, consent: &Consent) -> Result<Option<Output>, OperationError> {
    // Renewal begins with what the store says now, not with what it said some time ago.
    let mut grants = grant::list_by_vault_key(&call.state.pool, &consent.vault_key).await?;
    while let Some(chosen) = scope::choose(&grants, &consent.request.scopes).cloned() {
        grants.retain(|grant| grant.id != chosen.id);
        if let Some(output) = release(call, consent, chosen).await? {
            return Ok(Some(output));
        }
    }
    Ok(None)
}

/// The token of `grant`, refreshed if need be; `None` when it needs consent again.
async fn release(
    call: &mut Call,
    consent: &Consent,
    grant: GrantRow,
) -> Result<Option<Output>, OperationError> {
    // Metadata is fetched only when it is needed: an authorization server that is away does not keep anybody from a
    // token that is still good.
    if usable(&grant, call.now) {
        return released(call, &grant).map(Some);
    }
    match renew(&call.state, &grant, &consent.request.provider).await? {
        Renewed::Usable(grant) => released(call, &grant).map(Some),
        Renewed::NeedsConsent(reason) => {
            call.entry.grant = Some(grant.id);
            call.entry
                .detail
                .insert("consent_reason".to_owned(), reason.into());
            Ok(None)
        }
    }
}

/// The token of a grant that is good as it is.
fn released(call: &mut Call, grant: &GrantRow) -> Result<Output, OperationError> {
    let keyring = &*call.state.vault_keyring(&grant.account)?;
    let sealed = grant.access_token.as_deref().unwrap_or_default();
    let access_token = open_token(keyring, grant, "access_token", sealed)
        .map_err(|error| OperationError::internal("vault_unreadable", error))?;
    call.entry.grant = Some(grant.id.clone());
    call.entry.detail.insert("released".to_owned(), true.into());
    call.entry
        .detail
        .insert("scopes".to_owned(), grant.scopes.clone().into());
    super::record_expiry(call, grant.access_expires_at);
    Ok(Output {
        access_token: Some(access_token.into()),
        expires_at: grant
            .access_expires_at
            .map(|time| EpochSeconds::from_micros(time.as_micros())),
        granted_scopes: Some(grant.scopes.clone()),
        grant_id: Some(grant.id.clone()),
        ..Output::default()
    })
}

/// Opens a session, or finds the one of an equal request.
async fn ask(call: &mut Call, consent: &Consent) -> Result<Output, OperationError> {
    let (new, uri) = new_session(call, consent)?;
    let opened = authorization_session::open(&call.state.pool, &new, MAX_LIVE_SESSIONS, call.now).await?;
    let (session, uri) = match opened {
        Opened::Inserted => {
            call.entry.detail.insert("opened".to_owned(), true.into());
            (new, uri.expose().to_owned())
        }
        Opened::Existing(session) => {
            let keyring = &*call.state.vault_keyring(&session.account)?;
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
        .insert("scopes".to_owned(), consent.request.scopes.clone().into());
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

fn new_session(call: &Call, consent: &Consent) -> Result<(SessionRow, SessionUri), OperationError> {
    let random = &*call.state.random;
    let keyring = &*call.state.vault_keyring(call.account())?;
    let id = uuid_v7(&*call.state.clock, random).to_string();
    let uri = SessionUri::generate(random);
    let (state, state_hash) = session::generate_state(random);
    let openid = consent.request.scopes.iter().any(|scope| scope == "openid");
    let secrets = Secrets {
        uri: uri.expose().to_owned(),
        state,
        code_verifier: random_token(random),
        nonce: openid.then(|| random_token(random)),
        custom_state: consent.custom_state.clone(),
        custom_parameters: consent.request.custom_parameters.clone(),
        resources: consent.request.resources.clone(),
        audiences: consent.request.audiences.clone(),
    };
    let return_url = consent.return_url.clone().unwrap_or_default();
    let slot = session::slot(&consent.vault_key, &consent.request.scopes);
    let user = &consent.user;
    let row = SessionRow {
        account: call.account().to_owned(),
        workload_id: consent.request.workload.id.clone(),
        workload_name: consent.request.workload.name.clone(),
        provider_id: consent.request.provider.id.clone(),
        provider_name: consent.request.provider.name.clone(),
        provider_version: consent.request.provider.config_version,
        user_key: user.key,
        person: user.person.clone(),
        sid: user.sid.clone(),
        vault_key: consent.vault_key,
        slot,
        request: session::request_hash(&session::RequestIdentity {
            slot: &slot,
            return_url: &return_url,
            custom_state: consent.custom_state.as_deref(),
            sid: user.sid.as_deref(),
            provider_version: consent.request.provider.config_version,
        }),
        scopes: consent.request.scopes.clone(),
        return_url,
        forced: consent.request.force,
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
        ended_at: None,
        id,
    };
    Ok((row, uri))
}
