//! What the operations on tags share: whose they are, and their limit.

use std::collections::BTreeMap;

use countersign_api::{ApiError, Arn};

use crate::operation::{Call, OperationError};
use crate::store::tag::{self, Taggable};
use crate::tags::taggable;

/// AWS's limit, and the model's.
const MAX_TAGS: usize = 50;
/// Attempts when others change the same tags.
const ATTEMPTS: usize = 5;

/// The resource of a request, authorized.
pub(super) async fn authorized(call: &mut Call, resource: &str) -> Result<Taggable, OperationError> {
    // The wire's pattern lets more through than an ARN may have.
    let arn: Arn = resource.parse().map_err(|_| absent())?;
    call.entry
        .detail
        .insert("resourceArn".to_owned(), resource.into());
    call.authorize(std::slice::from_ref(&arn)).await?;
    taggable(&arn, call.region(), call.account()).ok_or_else(absent)
}

/// The tags of a resource that exists.
pub(super) async fn find(
    call: &Call,
    subject: &Taggable,
) -> Result<BTreeMap<String, String>, OperationError> {
    let found = tag::find(&call.state.pool, call.account(), subject).await?;
    found.map(|found| found.tags).ok_or_else(absent)
}

/// Changes the tags, whatever else changes them meanwhile.
pub(super) async fn change(
    call: &Call,
    subject: &Taggable,
    change: impl Fn(&mut BTreeMap<String, String>) + Send,
) -> Result<(), OperationError> {
    for _ in 0..ATTEMPTS {
        let found = tag::find(&call.state.pool, call.account(), subject).await?;
        let found = found.ok_or_else(absent)?;
        let mut tags = found.tags.clone();
        change(&mut tags);
        if tags == found.tags {
            return Ok(());
        }
        if tags.len() > MAX_TAGS {
            let message = format!("A resource has at most {MAX_TAGS} tags");
            return Err(OperationError::refused(
                "quota_exceeded",
                ApiError::new(countersign_api::ErrorCode::ServiceQuotaExceeded, message),
            ));
        }
        let mut tx = call.state.pool.begin().await?;
        if tag::replace(&mut tx, call.account(), subject, &found, &tags).await? {
            let (kind, key) = &found.change;
            call.state.commit(tx, &[(kind, key)]).await?;
            return Ok(());
        }
    }
    Err(OperationError::refused(
        "concurrent_change",
        ApiError::conflict("The tags are being changed by others; try again."),
    ))
}

fn absent() -> OperationError {
    OperationError::refused("not_found", ApiError::not_found("The resource does not exist"))
}
