//! Whether the evidence is kept where the database's operators cannot rewrite it, and gets there.

use countersign_audit::Counted;
use countersign_audit::delivery::{EvidenceConfig, LockCheck, lock_of, statuses};
use countersign_db::{DatabaseConfig, Pool};

use super::{Finding, Severity, add};
use crate::config::Config;

/// Checkpoints that may be on their way: each is at most ten seconds old.
const ON_THE_WAY: i64 = 6;

/// A trail without an anchor elsewhere can be rewritten by whoever can write to its database and its machine.
pub(super) fn anchored(config: &Config, findings: &mut Vec<Finding>) {
    let identity = config
        .identity
        .as_ref()
        .map(|identity| ("identity.evidence.anchors", &identity.evidence));
    let gateway = config
        .gateway
        .as_ref()
        .map(|gateway| ("gateway.evidence.anchors", &gateway.evidence));
    for (place, evidence) in identity.into_iter().chain(gateway) {
        if evidence.anchors.is_empty() {
            let what =
                "checkpoints stay on this machine: whoever governs it could rewrite the audit trail unseen";
            let mend =
                "name a place that others govern: S3 with Object Lock, syslog, or a file on another machine";
            add(findings, Severity::Warning, place, what, mend);
        }
    }
}

/// How each delivery stands, and whether buckets keep what they get.
pub(super) async fn delivered(
    owner: &str,
    database: &DatabaseConfig,
    config: &EvidenceConfig,
    findings: &mut Vec<Finding>,
) {
    handed_over(owner, database, config, findings).await;
    locked(owner, config, findings).await;
}

async fn handed_over(
    owner: &str,
    database: &DatabaseConfig,
    config: &EvidenceConfig,
    findings: &mut Vec<Finding>,
) {
    let names: Vec<String> = config
        .anchors
        .iter()
        .map(|anchor| format!("anchor {}", anchor.name))
        .chain(
            config
                .exports
                .iter()
                .map(|export| format!("export {}", export.name)),
        )
        .collect();
    let read = async {
        let pool = Pool::connect(&database.database(owner)?.read_only()).await?;
        let found = statuses(&pool).await;
        pool.close().await;
        anyhow::Ok(found?)
    };
    let found = match read.await {
        Ok(found) => found,
        // That the database is away is a finding already.
        Err(error) => {
            tracing::debug!(%error, "deliveries could not be read");
            Vec::new()
        }
    };
    for status in found {
        let place = format!("{owner}.evidence: {}", status.name);
        if !names.contains(&status.name) {
            let what = "is no longer configured; it would go on where it stopped";
            add(
                findings,
                Severity::Warning,
                &place,
                what,
                "nothing, if that was intended",
            );
        } else if let Some(since) = status.failing_since {
            let error = status.last_error.unwrap_or_default();
            let what = format!("nothing can be handed over since {since}: {error}");
            add(
                findings,
                Severity::Error,
                &place,
                what,
                "mend the receiver; nothing is lost meanwhile",
            );
        } else if status.behind > ON_THE_WAY {
            let behind = u64::try_from(status.behind).unwrap_or_default();
            let what = format!("{} behind", Counted(behind, "checkpoint"));
            add(
                findings,
                Severity::Warning,
                &place,
                what,
                "see that a server is running, and look again",
            );
        }
    }
}

async fn locked(owner: &str, config: &EvidenceConfig, findings: &mut Vec<Finding>) {
    for (name, check) in lock_of(config).await {
        let place = format!("{owner}.evidence.anchors: {name}");
        match check {
            LockCheck::Locked => {}
            LockCheck::Unlocked => {
                let what = "its bucket has no Object Lock: whoever may delete objects may delete the anchor";
                let mend = "use a bucket that was made with Object Lock";
                add(findings, Severity::Warning, &place, what, mend);
            }
            LockCheck::Unknown(error) => {
                let what = format!("its bucket cannot be looked at: {error}");
                let mend =
                    "allow s3:GetBucketObjectLockConfiguration, and check name, region and credentials";
                add(findings, Severity::Warning, &place, what, mend);
            }
        }
    }
}
