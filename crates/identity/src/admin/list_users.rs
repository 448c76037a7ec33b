//! `ListUsers`: people by user key, which is all that is kept of them.

use countersign_api::admin::ListUsers;
use countersign_api::admin::list_users::{Input, Output, User};
use countersign_api::{ApiError, Arn, Operation as _};
use countersign_crypto::UserKey;

use super::shown::time;
use super::stop_subject;
use crate::next_token;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;
use crate::store::grant_overview::{self, UserRow};

impl Handle for ListUsers {
    #[tracing::instrument(name = "identity.list_users", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        if let Some(user) = &input.user {
            let users = of_person(call, user).await?;
            return Ok(Output {
                users,
                next_token: None,
            });
        }
        let (limit, fetch) = next_token::limits(input.max_results, 100);
        let after = next_token::open(call, Self::NAME, input.next_token.as_deref())?;
        let after = hex::decode(after).map_err(|_| {
            let error = ApiError::field("nextToken", "must be one that this operation gave");
            OperationError::refused("invalid_next_token", error)
        })?;
        let rows = grant_overview::list_users(&call.state.pool, call.account(), &after, fetch).await?;
        let position = |row: &UserRow| row.user_key.to_hex();
        let (rows, next_token) = next_token::page(call, Self::NAME, rows, limit, position);
        Ok(Output {
            users: rows.into_iter().map(shown).collect(),
            next_token,
        })
    }
}

/// A person may be known under several keys, one for each way in which they were proved.
async fn of_person(call: &mut Call, user: &str) -> Result<Vec<User>, OperationError> {
    let (key, published) = stop_subject::filter(Some(user));
    let mut keys = match &published {
        Some(published) => grant::user_keys(&call.state.pool, published).await?,
        None => Vec::new(),
    };
    keys.extend(key);
    keys.sort_unstable_by_key(UserKey::to_hex);
    keys.dedup();
    call.entry.person = key;
    let mut users = Vec::new();
    for key in keys {
        users.extend(grant_overview::find_user(&call.state.pool, call.account(), &key).await?);
    }
    Ok(users.into_iter().map(shown).collect())
}

fn shown(row: UserRow) -> User {
    User {
        user_key: row.user_key.to_hex(),
        published_user_id: row.person,
        live_grants: row.live,
        more_grants: row.more,
        workload_names: row.workload_names,
        last_consent_time: time(row.consented_at),
    }
}
