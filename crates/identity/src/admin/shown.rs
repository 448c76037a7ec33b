//! Stored things as the extension shows them.

use countersign_api::admin::{
    AccessKey, AccessKeyStatus, Grant, GrantState, Key, KeyPurpose, KeyState, Principal, Revocation,
    RevocationState, Stopped,
};
use countersign_api::data::Oauth2Flow;
use countersign_api::{Arn, EpochSeconds};
use countersign_crypto::{KeyPurpose as StoredPurpose, KeyRow, KeyState as StoredKeyState, Timestamp};

use crate::operation::{Call, OperationError};
use crate::state::NoKeys;
use crate::stops::stored_kind;
use crate::store::access_key::AccessKeyRow;
use crate::store::grant::{self, GrantRow};
use crate::store::principal::PrincipalRow;
use crate::store::revocation::{self, RevocationRow, RevocationState as StoredState};
use crate::store::stop::StopRow;
use crate::uses;
use crate::vault::readable_identity;

/// A time on the wire.
pub(super) fn time(at: Timestamp) -> EpochSeconds {
    EpochSeconds::from_micros(at.as_micros())
}

pub(super) fn principal(row: &PrincipalRow) -> Principal {
    Principal {
        principal_name: row.name.clone(),
        principal_arn: row.arn().to_string(),
        created_time: time(row.created_at),
        tags: row.tags.clone(),
        trust_policy: row.trust.clone(),
        break_glass: row.policy.as_ref().is_some_and(|stored| stored.break_glass),
    }
}

pub(super) fn access_key(row: &AccessKeyRow, principal: &PrincipalRow) -> AccessKey {
    AccessKey {
        access_key_id: row.id.clone(),
        principal_name: principal.name.clone(),
        status: if row.active {
            AccessKeyStatus::Active
        } else {
            AccessKeyStatus::Inactive
        },
        last_used_time: row.last_used_at.map(time),
        created_time: time(row.created_at),
    }
}

/// `None` for a key that is not an account's own.
pub(super) fn key(row: &KeyRow, sealed_values: Option<i64>) -> Option<Key> {
    let purpose = match row.purpose {
        StoredPurpose::Vault => KeyPurpose::Vault,
        StoredPurpose::Credential => KeyPurpose::Credential,
        StoredPurpose::WorkloadAccessToken => KeyPurpose::WorkloadAccessToken,
        _ => return None,
    };
    Some(Key {
        key_id: row.id.clone(),
        purpose,
        version: row.version,
        state: match row.state {
            StoredKeyState::Primary => KeyState::Primary,
            StoredKeyState::Enabled => KeyState::Enabled,
            StoredKeyState::Retired => KeyState::Retired,
        },
        root_key: row.provider_key_id.clone(),
        sealed_values,
        created_time: time(row.created_at),
    })
}

/// `None` for a kind that this program does not know: a newer one wrote it.
pub(super) fn stop(row: StopRow) -> Option<Stopped> {
    Some(Stopped {
        subject_kind: stored_kind(&row.kind)?,
        subject: row.subject,
        reason: row.reason,
        stopped_time: time(row.stopped_at),
        stopped_by: Some(row.stopped_by),
    })
}

/// A grant with what is known about its uses and its revocation.
pub(super) async fn grant(call: &Call, row: &GrantRow) -> Result<Grant, OperationError> {
    let used = uses::last(&call.state, &row.id).await?;
    let revocation = if row.ended_at.is_some() {
        revocation::find(&call.state.pool, &row.id).await?
    } else {
        None
    };
    let mut shown = stored_grant(call, row)?;
    shown.last_used_time = used.map(time);
    shown.revocation = revocation.as_ref().map(revocation_of);
    Ok(shown)
}

fn revocation_of(row: &RevocationRow) -> Revocation {
    let pending = row.state == StoredState::Pending;
    Revocation {
        state: match row.state {
            StoredState::Pending => RevocationState::Pending,
            StoredState::Done => RevocationState::Done,
            StoredState::Failed => RevocationState::Failed,
        },
        reason: row.reason.clone(),
        attempts: row.attempts,
        next_attempt_time: pending.then(|| time(row.next_at)),
        last_updated_time: time(row.updated_at),
    }
}

fn stored_grant(call: &Call, row: &GrantRow) -> Result<Grant, OperationError> {
    // A vault that is closed hides whose account it is at the vendor, and nothing else: the rest must be seen, and ended.
    let identity = match call.state.vault_keyring(&row.account) {
        Ok(keyring) => readable_identity(&keyring, row),
        Err(NoKeys::VaultAway | NoKeys::Outdated) => None,
        Err(error @ NoKeys::NotConfigured(_)) => return Err(error.into()),
    };
    let (account_id, account_name) =
        identity.map_or((None, None), |identity| (Some(identity.id), identity.name));
    Ok(Grant {
        grant_arn: Arn::grant(call.region(), &row.account, &row.id).to_string(),
        grant_id: row.id.clone(),
        workload_name: row.workload_name.clone(),
        credential_provider_name: row.provider_name.clone(),
        oauth2_flow: Oauth2Flow::UserFederation,
        user_key: row.user_key.to_hex(),
        scopes: row.scopes.clone(),
        state: match row.state {
            grant::GrantState::Active => GrantState::Active,
            grant::GrantState::Refreshing => GrantState::Refreshing,
            grant::GrantState::OutcomeUnknown => GrantState::OutcomeUnknown,
            grant::GrantState::NeedsConsent => GrantState::NeedsConsent,
            grant::GrantState::Unconfirmed => GrantState::Unconfirmed,
            grant::GrantState::Revoked | grant::GrantState::Replaced => GrantState::Revoked,
        },
        reason: row.reason.clone(),
        account_id,
        account_name,
        refreshable: row.refresh_token.is_some(),
        created_time: time(row.created_at),
        last_updated_time: time(row.updated_at),
        last_used_time: None,
        access_token_expires_at: row.access_expires_at.map(time),
        revocation: None,
    })
}
