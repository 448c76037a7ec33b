//! `ForgetUser` (design D16): a person's grants end and are erased, their authorization sessions are erased, and the key
//! is destroyed by which audit records name them. The records stay and still verify; nobody can read whose they are.
//!
//! The gateway's trail, in which a login's name and address are, is another database that this role may not reach: the
//! answer has the user keys by which its operator forgets the person there.
//!
//! A stop stays in force, or forgetting would let a stopped person back in. The record of this operation names nobody:
//! it would be the first trace of the person again.

use std::sync::Arc;

use countersign_api::admin::ForgetUser;
use countersign_api::admin::forget_user::{Input, Output};
use countersign_audit::PersonKeys;
use countersign_crypto::UserKey;

use super::{authorize_audit, stop_subject};
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;
use crate::vault::revoke;

const BATCH: i64 = 100;

impl Handle for ForgetUser {
    #[tracing::instrument(name = "identity.forget_user", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        // The trail has one key a person, whatever the account.
        authorize_audit(call).await?;
        let mut output = Output {
            grants_revoked: 0,
            grants_erased: 0,
            audit_details_erased: false,
            user_keys: Vec::new(),
        };
        let mut pseudonyms = Vec::new();
        let keys = stop_subject::user_keys(&call.state.pool, &input.user).await?;
        for key in &keys {
            output.grants_revoked += end_grants(call, key).await?;
            let persons = &call.state.installation.person;
            // They name nobody from here on, and tell a restore of an older backup whom to forget.
            let known = PersonKeys::new(&call.state.pool, Arc::clone(persons))
                .pseudonym(key)
                .await?;
            pseudonyms.extend(known);
            let recorded = pseudonyms.clone().into();
            call.entry.detail.insert("pseudonyms".to_owned(), recorded);
            let now = call.state.clock.now();
            output.audit_details_erased |=
                countersign_audit::forget(&call.state.pool, persons, key, now).await?;
            call.takes_effect();
            output.user_keys.push(key.to_hex());
        }
        // At the end: by these rows a person's further keys are found, by whoever has to begin again too.
        for key in &keys {
            let mut tx = call.state.pool.begin().await?;
            let erased = grant::forget(&mut tx, key).await?;
            tx.commit().await?;
            output.grants_erased += i64::try_from(erased).unwrap_or(i64::MAX);
        }
        let detail = &mut call.entry.detail;
        detail.insert("grantsRevoked".to_owned(), output.grants_revoked.into());
        detail.insert("grantsErased".to_owned(), output.grants_erased.into());
        Ok(output)
    }
}

/// Ends the live grants, and leaves their revocation to the queue.
async fn end_grants(call: &Call, key: &UserKey) -> Result<i64, OperationError> {
    let mut ended = 0;
    loop {
        let live = grant::list_live_by_user(&call.state.pool, key, BATCH).await?;
        if live.is_empty() {
            return Ok(ended);
        }
        for id in live {
            ended += i64::from(revoke::end(&call.state, &id, "forgotten").await?);
        }
    }
}
