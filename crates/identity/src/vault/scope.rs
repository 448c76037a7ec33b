//! Scopes as design D13 wants them: which grant answers a request, and what the person declined.

use crate::store::grant::GrantRow;

/// What was asked for and is not among `effective`.
pub(crate) fn declined(requested: &[String], effective: &[String]) -> Vec<String> {
    requested
        .iter()
        .filter(|scope| !effective.contains(scope))
        .cloned()
        .collect()
}

/// The grant that answers a request for `requested`: the smallest that covers it. Failing that, the smallest that
/// covers it together with what the person declined at that consent: asking again unforced would be a loop.
pub(crate) fn choose<'g>(grants: &'g [GrantRow], requested: &[String]) -> Option<&'g GrantRow> {
    let smallest = |covers: &dyn Fn(&GrantRow) -> bool| {
        grants
            .iter()
            .filter(|grant| covers(grant))
            .min_by_key(|grant| (grant.scopes.len(), &grant.id))
    };
    let granted = |grant: &GrantRow| requested.iter().all(|scope| grant.scopes.contains(scope));
    let decided = |grant: &GrantRow| {
        requested
            .iter()
            .all(|scope| grant.scopes.contains(scope) || grant.declined.contains(scope))
    };
    smallest(&granted).or_else(|| smallest(&decided))
}

#[cfg(test)]
mod tests {
    use countersign_crypto::{Timestamp, UserKey};

    use super::*;
    use crate::store::grant::GrantState;
    use crate::store::refresh_ledger::RefreshLedger;

    fn scopes(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    fn grant(id: &str, granted: &str, declined: &str) -> GrantRow {
        let now = Timestamp::from_secs(1);
        GrantRow {
            id: id.into(),
            account: String::new(),
            workload_id: String::new(),
            workload_name: String::new(),
            provider_id: String::new(),
            provider_name: String::new(),
            user_key: UserKey::id("a"),
            person: None,
            sid: None,
            session_id: String::new(),
            vault_key: [0; 32],
            scopes: scopes(granted),
            declined: scopes(declined),
            scope_set: [0; 32],
            issuer: String::new(),
            token_origin: String::new(),
            client_id: String::new(),
            resources: Vec::new(),
            account_identity: None,
            access_token: None,
            refresh_token: None,
            access_expires_at: None,
            state: GrantState::Active,
            fence: 0,
            lease_until: None,
            reason: None,
            refresh: RefreshLedger::default(),
            created_at: now,
            updated_at: now,
            ended_at: None,
        }
    }

    #[test]
    fn declined_is_what_was_asked_for_and_not_given() {
        assert_eq!(
            declined(&scopes("read write"), &scopes("openid read")),
            scopes("write")
        );
    }

    #[test]
    fn the_smallest_covering_grant_answers() {
        let grants = [
            grant("1", "read write admin", ""),
            grant("2", "read write", ""),
            grant("3", "mail", ""),
        ];
        let chosen = |asked: &str| choose(&grants, &scopes(asked)).map(|grant| grant.id.as_str());
        assert_eq!(chosen("read"), Some("2"));
        assert_eq!(chosen("admin"), Some("1"));
        assert_eq!(chosen("mail read"), None);
        assert_eq!(chosen(""), Some("3"));
    }

    #[test]
    fn a_declined_scope_is_not_asked_for_again() {
        let grants = [grant("1", "read", "write")];
        assert_eq!(
            choose(&grants, &scopes("read write")).map(|grant| grant.id.as_str()),
            Some("1")
        );
        assert!(choose(&grants, &scopes("read admin")).is_none());
    }
}
