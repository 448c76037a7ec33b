//! How long personal details can be read: the keys of persons of whom nothing has been recorded for so long are
//! destroyed, as `user forget` destroys one. Records stay, and verify.

use std::time::Duration;

use countersign_crypto::{SharedClock, Timestamp};
use countersign_db::{Pool, claim_lease, record_change};

use crate::{AuditError, Entry, Outcome, Recorder, person, store};

/// Between two looks, and the lease under which one replica does it.
const EVERY: Duration = Duration::from_hours(6);
const LEASE: &str = "audit person retention";

/// Destroys the keys of persons of whom nothing has been recorded since `before`; gives how many.
pub async fn forget_inactive(pool: &Pool, before: Timestamp, now: Timestamp) -> Result<u64, AuditError> {
    let inactive = store::inactive_persons(pool, before).await?;
    let mut destroyed = 0;
    for ids in inactive.chunks(100) {
        let mut tx = pool.begin().await?;
        for id in ids {
            destroyed += u64::from(store::delete_person_key(&mut tx, id).await?);
            record_change(&mut tx, person::CHANGE, id, now.as_micros()).await?;
        }
        tx.commit().await?;
    }
    if destroyed > 0 {
        store::empty_write_ahead_log(pool).await?;
    }
    Ok(destroyed)
}

/// Keeps at it, one replica at a time, until dropped.
pub async fn keep(pool: Pool, recorder: Recorder, clock: SharedClock, holder: String, days: u32) {
    let ttl = i64::try_from(EVERY.as_micros()).unwrap_or(i64::MAX);
    loop {
        let now = clock.now();
        let done = async {
            // Held until it is due again: that is what spares the other replicas the work.
            if claim_lease(&pool, LEASE, &holder, now.as_micros(), ttl)
                .await?
                .is_none()
            {
                return Ok(());
            }
            let before = now.minus(Duration::from_secs(u64::from(days) * 86_400));
            let destroyed = forget_inactive(&pool, before, now).await?;
            if destroyed > 0 {
                let entry = Entry::new("ForgetInactivePersons", Outcome::Done)
                    .with_detail("persons", destroyed)
                    .with_detail("before", before.to_rfc3339());
                recorder.record(entry).await?;
            }
            Ok::<_, AuditError>(())
        };
        if let Err(error) = done.await {
            tracing::error!(%error, "personal details past their time could not be made unreadable");
        }
        tokio::time::sleep(EVERY / 6).await;
    }
}
