//! Leases: who may do a thing now, decided by a row.
//!
//! A lease alone cannot stop a holder that was asleep past its end; its fence can. Whoever acts under a lease
//! writes the fence with the result, and a store refuses a lower one. Times are the callers' clocks, so a
//! time-to-live must be far above the clock skew between replicas.

use crate::{Pool, Result, params};

/// No lease is longer, but those that nobody gives back. What ends later was claimed by a clock that was wrong.
const LONGEST_MICROS: i64 = 12 * 3600 * 1_000_000;

/// The number of a lease's holding; it grows by one at each claim.
#[derive(Copy, Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fence(pub i64);

/// Takes the lease if nobody holds it (or its holder let it expire) until `now + ttl`, twelve hours at most. `None`: it is held.
pub async fn claim_lease(
    pool: &Pool,
    name: &str,
    holder: &str,
    now_micros: i64,
    ttl_micros: i64,
) -> Result<Option<Fence>> {
    let row = pool
        .fetch_optional(
            "INSERT INTO lease (name, holder, fence, lease_until) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET holder = $2, fence = lease.fence + 1, lease_until = $3 \
             WHERE lease.lease_until <= $4 OR (lease.lease_until > $5 AND lease.lease_until < $6) RETURNING fence",
            params![
                name,
                holder,
                now_micros.saturating_add(ttl_micros.min(LONGEST_MICROS)),
                now_micros,
                now_micros.saturating_add(LONGEST_MICROS),
                i64::MAX
            ],
        )
        .await?;
    row.map(|row| row.int("fence").map(Fence)).transpose()
}

/// Moves the end of a lease that is still held. `false`: it is lost, stop acting under it.
pub async fn renew_lease(
    pool: &Pool,
    name: &str,
    fence: Fence,
    now_micros: i64,
    ttl_micros: i64,
) -> Result<bool> {
    let renewed = pool
        .execute(
            "UPDATE lease SET lease_until = $1 WHERE name = $2 AND fence = $3 AND lease_until > $4",
            params![now_micros.saturating_add(ttl_micros), name, fence.0, now_micros],
        )
        .await?;
    Ok(renewed == 1)
}

/// Gives the lease back before its end. Nothing happens when it was lost already.
pub async fn release_lease(pool: &Pool, name: &str, fence: Fence) -> Result<()> {
    pool.execute(
        "UPDATE lease SET lease_until = 0 WHERE name = $1 AND fence = $2",
        params![name, fence.0],
    )
    .await?;
    Ok(())
}
