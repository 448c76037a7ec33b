//! Who or what is stopped, as a caller names it.

use std::collections::BTreeSet;

use countersign_api::admin::SubjectKind;
use countersign_api::{ApiError, Arn};
use countersign_crypto::{UserKey, b64url_decode};
use countersign_db::Pool;

use crate::operation::{Call, OperationError};
use crate::stops::Subject;
use crate::store::grant;

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

/// As [`read`], and puts on record who or what it is: a person by key, in no detail that anybody can read.
pub(super) fn recorded(
    call: &mut Call,
    kind: SubjectKind,
    name: &str,
) -> Result<(Subject, Arn), OperationError> {
    let (subject, resource) = read(call, kind, name)?;
    let (kind, stored) = subject.stored(call.account());
    let entry = &mut call.entry;
    entry.detail.insert("subjectKind".to_owned(), kind.into());
    match &subject {
        Subject::User(key) => entry.person = Some(*key),
        Subject::Person(published) => entry.person = Some(UserKey::id(published)),
        _ => drop(entry.detail.insert("subject".to_owned(), stored.into())),
    }
    Ok((subject, resource))
}

/// A published user id, a user key, or else the caller's own name for the person.
pub(crate) fn user(text: &str) -> Subject {
    let published = text
        .strip_prefix("idp:")
        .and_then(b64url_decode)
        .is_some_and(|hash| hash.len() == 32);
    if published {
        return Subject::Person(text.to_owned());
    }
    Subject::User(UserKey::from_hex(text).unwrap_or_else(|_| UserKey::id(text)))
}

/// Every user key of a person: a published id stands for the keys of all tokens that it came from.
pub async fn user_keys(pool: &Pool, text: &str) -> countersign_db::Result<Vec<UserKey>> {
    let keys = match user(text) {
        Subject::Person(published) => {
            let mut keys = grant::user_keys(pool, &published).await?;
            keys.push(UserKey::id(&published));
            keys
        }
        Subject::User(key) => vec![key],
        _ => Vec::new(),
    };
    let distinct: BTreeSet<[u8; 32]> = keys.iter().map(|key| *key.as_bytes()).collect();
    Ok(distinct.into_iter().map(UserKey::from_bytes).collect())
}

/// A person as a list is filtered by: the key, and the published user id where that is how they are named.
pub(super) fn filter(name: Option<&str>) -> (Option<UserKey>, Option<String>) {
    match name.map(user) {
        Some(Subject::User(key)) => (Some(key), None),
        Some(Subject::Person(published)) => (Some(UserKey::id(&published)), Some(published)),
        _ => (None, None),
    }
}
