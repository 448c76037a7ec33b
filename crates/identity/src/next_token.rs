//! Pagination tokens: opaque, and good only for the account and operation that gave them.

use countersign_api::{ApiError, ValidationReason};
use countersign_crypto::{Aad, ExposeSecret as _};

use crate::operation::{Call, OperationError};

/// A page of `rows`, of which one more than `limit` was asked for, and the token for the next.
pub(crate) fn page<T>(
    call: &Call,
    operation: &'static str,
    mut rows: Vec<T>,
    limit: usize,
    position: impl Fn(&T) -> String,
) -> (Vec<T>, Option<String>) {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| seal(call, operation, &position(last)));
    (rows, next)
}

/// How many rows to ask for: the page and one more.
pub(crate) fn limits(max_results: Option<i64>, most: u32) -> (usize, i64) {
    let limit = max_results
        .and_then(|count| u32::try_from(count).ok())
        .unwrap_or(most)
        .clamp(1, most);
    (limit as usize, i64::from(limit) + 1)
}

/// A token for `position`.
pub(crate) fn seal(call: &Call, operation: &'static str, position: &str) -> String {
    call.state.installation.session.seal_token(
        &*call.state.random,
        &place(call, operation),
        position.as_bytes(),
    )
}

/// The position of a token; the empty one without a token.
pub(crate) fn open(
    call: &Call,
    operation: &'static str,
    token: Option<&str>,
) -> Result<String, OperationError> {
    let Some(token) = token else {
        return Ok(String::new());
    };
    let opened = call
        .state
        .installation
        .session
        .open_token(&place(call, operation), token)
        .ok();
    opened
        .and_then(|position| String::from_utf8(position.expose_secret().to_vec()).ok())
        .ok_or_else(|| {
            let error = ApiError::validation(
                ValidationReason::FieldValidationFailed,
                "nextToken: must be one that this operation gave",
            );
            OperationError::refused("invalid_next_token", error)
        })
}

fn place(call: &Call, operation: &str) -> Aad {
    Aad::new(call.account(), "next_token", operation, "")
}
