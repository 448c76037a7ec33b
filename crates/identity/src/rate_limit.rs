//! Rate limits of accounts and workloads: the generic cell rate algorithm, one number in memory for each.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};

use countersign_api::ApiError;
use countersign_crypto::Timestamp;

use crate::config::RateLimits;
use crate::operation::OperationError;

const SECOND: i64 = 1_000_000;
/// Callers remembered; those who have been quiet are forgotten first, and mean nothing.
const REMEMBERED: usize = 10_000;

/// Both limits of one replica.
#[derive(Debug)]
pub(crate) struct RateLimiter {
    accounts: Option<Limit>,
    workloads: Option<Limit>,
}

impl RateLimiter {
    pub(crate) fn new(limits: RateLimits) -> Self {
        Self {
            accounts: limits.account_requests_per_second.map(Limit::new),
            workloads: limits.workload_requests_per_second.map(Limit::new),
        }
    }

    /// Counts a request of an account that has been authenticated: strangers must not use up what is another's.
    pub(crate) fn account(&self, account: &str, now: Timestamp) -> Result<(), OperationError> {
        check(self.accounts.as_ref(), account, "account_rate_exceeded", now)
    }

    /// Counts a request for a workload identity that exists and that the caller may use.
    pub(crate) fn workload(&self, id: &str, now: Timestamp) -> Result<(), OperationError> {
        check(self.workloads.as_ref(), id, "workload_rate_exceeded", now)
    }
}

fn check(
    limit: Option<&Limit>,
    key: &str,
    reason: &'static str,
    now: Timestamp,
) -> Result<(), OperationError> {
    let Some(limit) = limit else { return Ok(()) };
    limit.admit(key, now).map_err(|wait| {
        // Whole seconds is all that Retry-After can say (RFC 9110 section 10.2.3).
        let seconds = u64::try_from(wait.div_euclid(SECOND)).unwrap_or(0) + 1;
        OperationError::refused(reason, ApiError::throttled("Rate exceeded", seconds))
    })
}

/// For each caller the time at which its allowance would be whole again.
#[derive(Debug)]
struct Limit {
    /// Microseconds that one request costs.
    interval: i64,
    whole_at: Mutex<HashMap<String, i64>>,
}

impl Limit {
    fn new(per_second: NonZeroU32) -> Self {
        Self {
            interval: (SECOND / i64::from(per_second.get())).max(1),
            whole_at: Mutex::default(),
        }
    }

    /// Takes one request, or says in how many microseconds one would be taken.
    fn admit(&self, key: &str, now: Timestamp) -> Result<(), i64> {
        let now = now.as_micros();
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        if whole_at.len() >= REMEMBERED && !whole_at.contains_key(key) {
            whole_at.retain(|_, at| *at > now);
        }
        // At most a second ahead: a clock that is set back must not keep callers waiting until it has caught up.
        let before = whole_at.get(key).copied().unwrap_or(now).clamp(now, now + SECOND);
        let wait = before + self.interval - (now + SECOND);
        let after = if wait > 0 { before } else { before + self.interval };
        match whole_at.get_mut(key) {
            Some(at) => *at = after,
            None => {
                whole_at.insert(key.to_owned(), after);
            }
        }
        if wait > 0 { Err(wait) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_second: u32) -> Limit {
        Limit::new(NonZeroU32::new(per_second).expect("not zero"))
    }

    fn admitted(limit: &Limit, key: &str, at: i64, times: usize) -> usize {
        let now = Timestamp::from_micros(at);
        (0..times).filter(|_| limit.admit(key, now).is_ok()).count()
    }

    #[test]
    fn a_burst_is_a_seconds_worth_and_then_the_rate_holds() {
        let limit = limit(10);
        assert_eq!(admitted(&limit, "a", 0, 50), 10);
        assert_eq!(limit.admit("a", Timestamp::from_micros(0)), Err(SECOND / 10));
        assert_eq!(admitted(&limit, "a", SECOND / 10, 50), 1);
        assert_eq!(admitted(&limit, "b", SECOND / 10, 50), 10, "another's is its own");
        let in_ten_seconds: usize = (0..100)
            .map(|tenth| admitted(&limit, "c", tenth * SECOND / 10, 5))
            .sum();
        assert_eq!(in_ten_seconds, 109);
    }

    #[test]
    fn a_clock_that_goes_back_neither_gives_nor_takes() {
        let limit = limit(10);
        assert_eq!(admitted(&limit, "a", 3600 * SECOND, 50), 10);
        assert_eq!(admitted(&limit, "a", 0, 50), 0);
        assert_eq!(admitted(&limit, "a", SECOND / 10, 50), 1);
    }

    #[test]
    fn who_has_been_quiet_is_forgotten() {
        let limit = limit(10);
        for n in 0..REMEMBERED {
            assert_eq!(admitted(&limit, &n.to_string(), 0, 1), 1);
        }
        assert_eq!(admitted(&limit, "late", 2 * SECOND, 1), 1);
        assert_eq!(limit.whole_at.lock().expect("not poisoned").len(), 1);
    }
}
