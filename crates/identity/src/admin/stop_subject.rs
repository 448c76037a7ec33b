//! Who or what is stopped, as a caller names it.

use countersign_api::Arn;
use countersign_api::admin::SubjectKind;
use countersign_crypto::{UserKey, b64url_decode};

use crate::operation::{Call, OperationError};
use crate::stops::Subject;
use countersign_api::ApiError;

/// The subject, and the resource that a policy has to allow for it.
pub(super) fn read(call: &Call, kind: SubjectKind, name: &str) -> Result<(Subject, Arn), OperationError> {
    let (region, account) = (call.region(), call.account());
    Ok(match kind {
        SubjectKind::User => (user(name), Arn::account(region, account)),
        SubjectKind::Workload => (
            Subject::Workload(name.to_owned()),
            Arn::workload_identity(region, account, name),
        ),
        SubjectKind::Provider => (
            Subject::Provider(name.to_owned()),
            Arn::oauth2_provider(region, account, name),
        ),
        SubjectKind::Principal => (Subject::Principal(name.to_owned()), Arn::principal(account, name)),
        SubjectKind::Account if name == account => (Subject::Account, Arn::account(region, account)),
        SubjectKind::Account => {
            let error = ApiError::field("subject", "must be the caller's own account");
            return Err(OperationError::refused("other_account", error));
        }
    })
}

/// A published user id, a user key, or else the caller's own name for the person.
pub(super) fn user(text: &str) -> Subject {
    let published = text
        .strip_prefix("idp:")
        .and_then(b64url_decode)
        .is_some_and(|hash| hash.len() == 32);
    if published {
        return Subject::Person(text.to_owned());
    }
    Subject::User(UserKey::from_hex(text).unwrap_or_else(|_| UserKey::id(text)))
}
