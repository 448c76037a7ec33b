//! `POST /connections/{id}/reconnect`: an authorization session for what a grant was for, as its agent would have opened
//! it. The person comes to the start page like after a link of the agent's, and everything that holds there holds.

use std::collections::BTreeMap;

use axum::extract::{Path, Request, State as Extract};
use axum::response::Response;
use countersign_api::data::Oauth2Flow;
use countersign_crypto::{SecretString, token, uuid_v7};
use countersign_web::Person;
use countersign_web::page::see_other;

use super::{connection, person, read_form, reconnect_purpose};
use crate::front_channel::page::Refusal;
use crate::front_channel::visit::{Refused, Visit};
use crate::session::{self, LIFETIME, Secrets, SessionUri, Status};
use crate::state::State;
use crate::store::authorization_session::{self, Opened, SessionRow};
use crate::store::grant::{GrantRow, GrantState};
use crate::store::oauth2_provider::ProviderRow;
use crate::vault::key::{VaultKeyParts, normalised_scopes};

/// As many as an agent may have under way for one person.
const MAX_LIVE_SESSIONS: i64 = 20;

/// Leads to the start page.
#[tracing::instrument(name = "identity.reconnect", skip_all)]
pub(super) async fn reconnect(
    Extract(state): Extract<State>,
    Path(id): Path<String>,
    request: Request,
) -> Response {
    let (mut visit, body) = Visit::begin(&state, "Reconnect", request);
    match opened(&mut visit, body, &id).await {
        Ok(url) => {
            use countersign_crypto::ExposeSecret as _;
            visit.done(see_other(url.expose_secret())).await
        }
        Err(refused) => visit.refuse(refused).await,
    }
}

async fn opened(visit: &mut Visit, body: axum::body::Body, id: &str) -> Result<SecretString, Refused> {
    let person = person(visit).await?;
    let form = read_form(visit, body, &reconnect_purpose(id)).await?;
    let absent = || Refused::new(Refusal::NoPage, "unknown_connection");
    let found = connection::find(visit, &person, id).await?.ok_or_else(absent)?;
    let dead = found.ended.into_iter().map(|(row, _)| row);
    let mut rows = found
        .grants
        .into_iter()
        .map(|held| held.row)
        // What the person has ended, or the operator, is not begun again from here.
        .chain(dead.filter(|row| row.state == GrantState::NeedsConsent));
    let row = rows.find(|row| Some(&row.id) == form.grant.as_ref());
    let row = row.ok_or_else(absent)?;
    let withdrawn = |reason| Refused::new(Refusal::Withdrawn, reason);
    let return_url = return_url(&visit.state, &row)
        .await?
        .ok_or(withdrawn("not_reconnectable"))?;
    let cache = &visit.state.cache;
    let provider = cache.provider_by_id(&row.account, &row.provider_id).await?;
    let provider = provider.ok_or(withdrawn("provider_deleted"))?;
    let (new, uri) = new_session(visit, &person, &row, &provider, return_url)?;
    visit.concerns(&new);
    visit.acts(person.user_key, person.sid.as_deref());
    visit.refuse_stopped(&new).await?;
    match authorization_session::open(&visit.state.pool, &new, MAX_LIVE_SESSIONS, visit.now).await? {
        Opened::Inserted => {
            let mut url = visit.state.front_channel(crate::front_channel::AUTHORIZE);
            url.query_pairs_mut().append_pair("request_uri", uri.expose());
            Ok(String::from(url).into())
        }
        Opened::Existing(_) | Opened::TooMany => Err(Refused::new(Refusal::Unavailable, "too_many_sessions")),
    }
}

/// Where the consent of a session that is opened here comes back to: the agent's return URL on our own account origin,
/// where a binding page of ours is. `None` when this grant can only be connected again from the agent: it has no such
/// URL, or asked with parameters that nobody kept.
pub(super) async fn return_url(state: &State, row: &GrantRow) -> Result<Option<String>, Refused> {
    let plain = VaultKeyParts {
        account: &row.account,
        workload_id: &row.workload_id,
        provider_id: &row.provider_id,
        user_key: Some(&row.user_key),
        flow: Oauth2Flow::UserFederation.as_str(),
        custom_parameters: &BTreeMap::new(),
        resources: &row.resources,
        audiences: &[],
    };
    if plain.hash() != row.vault_key || row.person.is_none() {
        return Ok(None);
    }
    let cache = &state.cache;
    let workload = cache
        .workload_identity_by_id(&row.account, &row.workload_id)
        .await?;
    let own = state.config.front_channel_url.origin();
    let ours = |url: &&String| url::Url::parse(url).is_ok_and(|url| url.origin() == own);
    Ok(workload.and_then(|workload| workload.allowed_return_urls.iter().find(ours).cloned()))
}

fn new_session(
    visit: &Visit,
    person: &Person,
    row: &GrantRow,
    provider: &ProviderRow,
    return_url: String,
) -> Result<(SessionRow, SessionUri), Refused> {
    let state = &visit.state;
    let random = &*state.random;
    // What was declined is asked for again: the person wants it this time.
    let scopes = normalised_scopes(&[row.scopes.as_slice(), &row.declined].concat());
    let id = uuid_v7(&*state.clock, random).to_string();
    let uri = SessionUri::generate(random);
    let (oauth_state, state_hash) = session::generate_state(random);
    let openid = scopes.iter().any(|scope| scope == "openid");
    let secrets = Secrets {
        uri: uri.expose().to_owned(),
        state: oauth_state,
        code_verifier: token(random),
        nonce: openid.then(|| token(random)),
        custom_state: None,
        custom_parameters: BTreeMap::new(),
        resources: row.resources.clone(),
        audiences: Vec::new(),
    };
    let slot = session::slot(&row.vault_key, &scopes);
    let new = SessionRow {
        account: row.account.clone(),
        workload_id: row.workload_id.clone(),
        workload_name: row.workload_name.clone(),
        provider_id: row.provider_id.clone(),
        provider_name: row.provider_name.clone(),
        provider_version: provider.config_version,
        user_key: row.user_key,
        person: row.person.clone(),
        sid: person.sid.clone(),
        vault_key: row.vault_key,
        slot,
        request: session::request_hash(&session::RequestIdentity {
            slot: &slot,
            return_url: &return_url,
            custom_state: None,
            sid: person.sid.as_deref(),
            provider_version: provider.config_version,
        }),
        scopes,
        return_url,
        // The old grant stays until the new one is there, and an unfinished request gives way.
        forced: true,
        uri_hash: uri.hash(),
        state_hash,
        browser_hash: None,
        secrets: secrets.seal(&*state.vault_keyring(&row.account)?, random, &row.account, &id),
        code: None,
        status: Status::Created,
        reason: None,
        error: None,
        grant_id: None,
        created_at: visit.now,
        deadline: visit.now.plus(LIFETIME),
        ended_at: None,
        id,
    };
    Ok((new, uri))
}
