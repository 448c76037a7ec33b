//! A restore with the newer audit log at hand: what was ended, stopped, forgotten or deleted after the backup is so here,
//! too (attack row V3).
//!
//! Records name people by pseudonyms, which the keys in the backup compute again. Where a record says that something
//! became less, and not what it became, nothing is left of it: a policy that was replaced is removed.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use countersign_audit::verify::{Export, newer_records, verify_export};
use countersign_audit::{AuditError, PersonKeys, Record};
use countersign_crypto::{Timestamp, UserKey};
use countersign_db::DbError;

use crate::keys::{KeysError, audit_keys};
use crate::operation::EFFECTIVE;
use crate::restored::Restored;
use crate::stops::Subject;
use crate::store::grant::GrantState;
use crate::store::stop::StopRow;
use crate::store::{
    access_key, api_key_provider, grant, oauth2_provider, principal, restored, stop, token_vault,
    workload_identity,
};

/// What was brought up to date.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Records that the backup did not have.
    pub records: usize,
    /// How many of them had something to say to it.
    pub applied: usize,
    /// Ids of records about people whom the backup cannot name: what they say has to be done again by hand.
    pub unresolved: Vec<String>,
}

/// Why an audit log does not help.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// It is not authentic, or not whole.
    #[error("the audit log does not verify: {0}")]
    Unverified(String),
    /// It cannot be read, or is not of this database.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The database.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The keys that it is verified and read with.
    #[error(transparent)]
    Keys(#[from] KeysError),
}

/// People by pseudonym.
type People = HashMap<String, (UserKey, Option<String>)>;

impl Restored<'_> {
    /// Does again what the identity role's trail in the export at `path` says of the time after the backup.
    ///
    /// Fails when the export does not verify with this database's keys, or does not go on from its trail; then nothing
    /// was changed.
    pub async fn replay(&self, path: &Path) -> Result<Replayed, ReplayError> {
        let keys = audit_keys(self.pool, self.provider).await?;
        let export = Export {
            path,
            keys: &keys.signing,
            checkpoints: "",
            restored: 0,
        };
        let reports = verify_export(&export, &mut |_| ()).await?;
        if let Some(report) = reports.iter().find(|report| !report.ok) {
            return Err(ReplayError::Unverified(report.to_string()));
        }
        let records = newer_records(self.pool, path, crate::store::OWNER).await?;
        let people = self.people(Arc::clone(&keys.persons)).await?;
        let mut replayed = Replayed {
            records: records.len(),
            ..Replayed::default()
        };
        for record in &records {
            match self.again(record, &people).await? {
                Some(true) => replayed.applied += 1,
                Some(false) => {}
                None => replayed.unresolved.push(record.id.to_string()),
            }
        }
        Ok(replayed)
    }

    async fn people(&self, persons: Arc<countersign_crypto::Keyring>) -> Result<People, ReplayError> {
        let keys = PersonKeys::new(self.pool, persons);
        let mut people = People::new();
        for (key, published) in restored::people(self.pool).await? {
            if let Some(pseudonym) = keys.pseudonym(&key).await? {
                people.insert(pseudonym, (key, published.clone()));
            }
            // As stops name those whom every login provider publishes alike.
            if let Some(published) = published {
                let key = UserKey::id(&published);
                if let Some(pseudonym) = keys.pseudonym(&key).await? {
                    people.insert(pseudonym, (key, Some(published)));
                }
            }
        }
        Ok(people)
    }

    /// Whether a record changed something; `None` where it is about somebody whom nobody here can name.
    async fn again(&self, record: &Record, people: &People) -> Result<Option<bool>, ReplayError> {
        let now = self.clock.now();
        let person = record.person.as_ref().map(|pseudonym| people.get(pseudonym));
        let text = |name: &str| record.detail[name].as_str().unwrap_or_default();
        if record.action == "RefreshGrant" && record.outcome == "refused" {
            return self.lose(record, record.reason.as_deref(), None, now).await;
        }
        // What took effect counts, whatever came after it.
        if record.outcome != "done" && record.detail[EFFECTIVE] != true {
            return Ok(Some(false));
        }
        match record.action.as_str() {
            "RefreshGrant" if record.detail["rotated"] == true => {
                let generation = record.detail["generation"].as_i64();
                self.lose(record, Some("refresh_answer_lost"), generation, now)
                    .await
            }
            "RevokeGrant" | "EndGrant" => self.end(record.grant.iter(), now).await,
            "Disconnect" => {
                let ids = record.detail["grants"].as_array().into_iter().flatten();
                let ids: Vec<String> = ids.filter_map(|id| id.as_str()).map(str::to_owned).collect();
                self.end(ids.iter(), now).await
            }
            // Until it was confirmed it took nobody's place.
            "CompleteResourceTokenAuth" if record.detail["awaits_confirmation"] == true => Ok(Some(false)),
            "ConfirmAuthorizationSession" if record.detail["decision"] == "KEEP" => {
                self.end(record.grant.iter(), now).await
            }
            // What was connected then took the place of what is here.
            "CompleteResourceTokenAuth" | "ConfirmAuthorizationSession" => match person {
                Some(Some((user, _))) => self.replaced(record, user, now).await,
                // Of somebody who is not in the backup, nothing is.
                _ => Ok(Some(false)),
            },
            "Stop" | "Start" | "StopOnLogout" => self.stop(record, person.flatten(), now).await,
            "ForgetUser" => self.forget(record, people, now).await,
            "ResetTokenVaultKeyMaterial" => {
                let mut tx = self.pool.begin().await?;
                let grants = token_vault::empty(&mut tx, &record.account, now).await?;
                tx.commit().await?;
                Ok(Some(grants > 0))
            }
            "DeleteWorkloadIdentity"
            | "DeleteOauth2CredentialProvider"
            | "DeleteApiKeyCredentialProvider" => self.delete(record, now).await,
            "DeletePrincipal" | "DeletePrincipalPolicy" | "PutPrincipalPolicy" | "UpdatePrincipal" => {
                self.restrain(record, text("principal"), now).await
            }
            "DeleteAccessKey" | "UpdateAccessKey" => self.access_key(record, text("accessKeyId")).await,
            _ => Ok(Some(false)),
        }
    }

    async fn lose(
        &self,
        record: &Record,
        reason: Option<&str>,
        generation: Option<i64>,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let Some(id) = &record.grant else {
            return Ok(Some(false));
        };
        let mut tx = self.pool.begin().await?;
        let lost = restored::lose(&mut tx, id, reason.unwrap_or("invalid_grant"), generation, now).await?;
        tx.commit().await?;
        Ok(Some(lost))
    }

    /// With their revocation at the vendor, which may have been under way.
    async fn end(
        &self,
        ids: impl Iterator<Item = &String>,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let mut ended = false;
        let mut tx = self.pool.begin().await?;
        for id in ids {
            ended |= grant::end(&mut tx, id, GrantState::Revoked, "restored", now).await?;
        }
        tx.commit().await?;
        Ok(Some(ended))
    }

    async fn replaced(
        &self,
        record: &Record,
        user: &UserKey,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let (Some(workload), Some(provider)) = (&record.workload, &record.provider) else {
            return Ok(Some(false));
        };
        let live = restored::live_grants(self.pool, &record.account, (workload, provider), user).await?;
        let mut tx = self.pool.begin().await?;
        for id in &live {
            restored::lose(&mut tx, id, "newer_consent", None, now).await?;
        }
        tx.commit().await?;
        Ok(Some(!live.is_empty()))
    }

    async fn stop(
        &self,
        record: &Record,
        person: Option<&(UserKey, Option<String>)>,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let kind = record.detail["subjectKind"].as_str().unwrap_or("user");
        let subjects: Vec<(&'static str, String)> = match (kind, person) {
            ("user", None) => return Ok(None),
            ("user", Some((key, published))) => {
                // A published id is stopped under itself, and recorded under the user key that follows from it.
                let published = published
                    .iter()
                    .filter(|published| UserKey::id(published) == *key);
                let published = published.map(|published| Subject::Person(published.clone()));
                let subjects = std::iter::once(Subject::User(*key)).chain(published);
                subjects.map(|subject| subject.stored(&record.account)).collect()
            }
            (kind, _) => {
                let name = record.detail["subject"].as_str().unwrap_or_default().to_owned();
                let known = ["workload", "provider", "principal", "account"];
                let known = known.into_iter().find(|known| *known == kind);
                known.map(|kind| (kind, name)).into_iter().collect()
            }
        };
        let (mut changed, mut tx) = (false, self.pool.begin().await?);
        for (kind, subject) in subjects {
            if record.action == "Start" {
                changed |= stop::delete(&mut tx, &record.account, kind, &subject).await?;
                continue;
            }
            let row = StopRow {
                account: record.account.clone(),
                kind: kind.to_owned(),
                subject,
                reason: Some("stopped after the backup".to_owned()),
                stopped_by: record.principal.clone().unwrap_or_default(),
                stopped_at: now,
            };
            stop::insert(&mut tx, &row).await?;
            changed = true;
        }
        tx.commit().await?;
        Ok(Some(changed))
    }

    async fn forget(
        &self,
        record: &Record,
        people: &People,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let Some(pseudonyms) = record.detail["pseudonyms"].as_array() else {
            // Of a version that did not write them.
            return Ok(None);
        };
        let keys = audit_keys(self.pool, self.provider).await?;
        let mut forgotten = false;
        for (user, _) in pseudonyms
            .iter()
            .filter_map(|pseudonym| people.get(pseudonym.as_str()?))
        {
            let mut live = grant::list_live_by_user(self.pool, user, i64::MAX).await?;
            let mut tx = self.pool.begin().await?;
            for id in live.drain(..) {
                grant::end(&mut tx, &id, GrantState::Revoked, "forgotten", now).await?;
            }
            grant::forget(&mut tx, user).await?;
            tx.commit().await?;
            countersign_audit::forget(self.pool, &keys.persons, user, now).await?;
            forgotten = true;
        }
        Ok(Some(forgotten))
    }

    async fn delete(&self, record: &Record, now: Timestamp) -> Result<Option<bool>, ReplayError> {
        let account = record.account.as_str();
        let mut tx = self.pool.begin().await?;
        let deleted = match (record.action.as_str(), &record.workload, &record.provider) {
            ("DeleteWorkloadIdentity", Some(name), _) => {
                match workload_identity::delete(&mut tx, account, name).await? {
                    Some(row) => {
                        grant::end_of_workload(&mut tx, &row.id, now).await?;
                        true
                    }
                    None => false,
                }
            }
            ("DeleteOauth2CredentialProvider", _, Some(name)) => {
                match oauth2_provider::delete(&mut tx, account, name).await? {
                    Some(row) => {
                        grant::end_of_provider(&mut tx, &row.id, now).await?;
                        true
                    }
                    None => false,
                }
            }
            (_, _, Some(name)) => api_key_provider::delete(&mut tx, account, name).await?.is_some(),
            _ => false,
        };
        tx.commit().await?;
        Ok(Some(deleted))
    }

    /// A principal may do nothing that it may not have been allowed any more.
    async fn restrain(
        &self,
        record: &Record,
        name: &str,
        now: Timestamp,
    ) -> Result<Option<bool>, ReplayError> {
        let Some(row) = principal::find(self.pool, &record.account, name).await? else {
            return Ok(Some(false));
        };
        let mut tx = self.pool.begin().await?;
        match record.action.as_str() {
            "DeletePrincipal" => principal::delete(&mut tx, &row.id).await?,
            "UpdatePrincipal" => principal::withdraw_trust(&mut tx, &row.id).await?,
            _ => drop(principal::put_policy(&mut tx, &row.id, None, false, now).await?),
        }
        tx.commit().await?;
        Ok(Some(true))
    }

    async fn access_key(&self, record: &Record, id: &str) -> Result<Option<bool>, ReplayError> {
        let mut tx = self.pool.begin().await?;
        let changed = if record.action == "DeleteAccessKey" {
            access_key::delete(&mut tx, &record.account, id).await?
        } else {
            let active = record.detail["active"] == true;
            access_key::set_active(&mut tx, &record.account, id, active).await?
        };
        tx.commit().await?;
        Ok(Some(changed))
    }
}
