//! Strangers who are refused too often: the generic cell rate algorithm over the refusals of each network source.
//!
//! Only refusals before authentication count, so that nobody who signs as they should is ever slowed down by their own
//! number. Behind a load balancer all callers have one source, and a stranger must not lock the others out: a source
//! that is over its limit is answered 429 before anything is read or looked up for it, but for requests that name an
//! access key that this replica has already seen.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use countersign_crypto::Timestamp;

const SECOND: i64 = 1_000_000;
/// Sources told apart; beyond them all new ones share one allowance.
const TOLD_APART: usize = 10_000;

/// The refusals of one replica.
#[derive(Debug)]
pub(crate) struct Strangers {
    /// Microseconds that one refusal costs; 0: no limit.
    interval: i64,
    refused: Mutex<Refused>,
    /// How many sources there are in `refused`: mostly none, and then nobody waits for the lock.
    sources: AtomicUsize,
}

#[derive(Debug, Default)]
struct Refused {
    /// For each source the time at which its allowance will be whole again.
    whole_at: HashMap<Source, i64>,
    /// When those that are whole were last dropped.
    swept: i64,
}

/// One subscriber. An IPv6 one has a whole /64.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
    Others,
}

impl Source {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address.octets()),
            IpAddr::V6(address) => {
                let mut network = [0; 8];
                network.copy_from_slice(&address.octets()[..8]);
                Self::V6(network)
            }
        }
    }
}

impl Strangers {
    /// `per_second` refusals of a source, as many at once after a quiet second; 0: any number.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            interval: if per_second == 0 {
                0
            } else {
                (SECOND / i64::from(per_second)).max(1)
            },
            refused: Mutex::default(),
            sources: AtomicUsize::new(0),
        }
    }

    /// Whole seconds until the source may be refused again; `None`: now.
    pub(crate) fn wait(&self, source: IpAddr, now: Timestamp) -> Option<u64> {
        if self.sources.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let now = now.as_micros();
        let refused = self.refused();
        let whole_at = refused
            .whole_at
            .get(&Source::of(source))
            // Nothing is known of it alone because there is no room: then it is one of the others.
            .or_else(|| refused.whole_at.get(&Source::Others))?;
        // At most a second ahead: a clock that is set back must not keep anybody waiting until it has caught up.
        let wait = (*whole_at).clamp(now, now + SECOND) + self.interval - (now + SECOND);
        // Whole seconds is all that Retry-After can say (RFC 9110 section 10.2.3).
        (wait > 0).then(|| u64::try_from(wait.div_euclid(SECOND)).unwrap_or(0) + 1)
    }

    /// Counts a refusal.
    pub(crate) fn refused_one(&self, source: IpAddr, now: Timestamp) {
        if self.interval == 0 {
            return;
        }
        let now = now.as_micros();
        let mut refused = self.refused();
        let mut source = Source::of(source);
        if refused.whole_at.len() >= TOLD_APART && !refused.whole_at.contains_key(&source) {
            // Once a second: it takes as long as there are sources.
            if (now - refused.swept).abs() >= SECOND {
                refused.swept = now;
                refused.whole_at.retain(|_, whole_at| *whole_at > now);
            }
            if refused.whole_at.len() >= TOLD_APART {
                source = Source::Others;
            }
        }
        let whole_at = refused.whole_at.entry(source).or_insert(now);
        *whole_at = (*whole_at).clamp(now, now + SECOND) + self.interval;
        self.sources.store(refused.whole_at.len(), Ordering::Relaxed);
    }

    fn refused(&self) -> MutexGuard<'_, Refused> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn let_in(strangers: &Strangers, source: IpAddr, at: i64, times: usize) -> usize {
        let now = Timestamp::from_micros(at);
        let mut let_in = 0;
        for _ in 0..times {
            if strangers.wait(source, now).is_none() {
                let_in += 1;
                strangers.refused_one(source, now);
            }
        }
        let_in
    }

    #[test]
    fn each_source_has_an_allowance_of_its_own() {
        let strangers = Strangers::new(10);
        assert_eq!(let_in(&strangers, source(1), 0, 50), 10);
        assert_eq!(strangers.wait(source(1), Timestamp::from_micros(0)), Some(1));
        assert_eq!(let_in(&strangers, source(2), 0, 50), 10);
        assert_eq!(let_in(&strangers, source(1), SECOND / 10, 50), 1);
        assert_eq!(let_in(&strangers, source(1), 3600 * SECOND, 50), 10);
        assert_eq!(let_in(&strangers, source(1), 0, 50), 0, "a clock that goes back");
    }

    #[test]
    fn an_ipv6_subscriber_is_one_source_and_a_mapped_address_is_ipv4() {
        let strangers = Strangers::new(10);
        let address = |text: &str| text.parse().expect("an address");
        assert_eq!(let_in(&strangers, address("2001:db8::1"), 0, 50), 10);
        assert_eq!(let_in(&strangers, address("2001:db8::ffff:1"), 0, 50), 0);
        assert_eq!(let_in(&strangers, address("2001:db8:0:1::1"), 0, 50), 10);
        assert_eq!(let_in(&strangers, address("192.0.2.1"), 0, 50), 10);
        assert_eq!(let_in(&strangers, address("::ffff:192.0.2.1"), 0, 50), 0);
    }

    #[test]
    fn memory_is_bounded_and_those_beyond_share() {
        let strangers = Strangers::new(2);
        let told_apart = u32::try_from(TOLD_APART).expect("small");
        for n in 0..told_apart {
            strangers.refused_one(source(n), Timestamp::from_micros(0));
        }
        for n in told_apart..told_apart + 1000 {
            strangers.refused_one(source(n), Timestamp::from_micros(0));
        }
        assert_eq!(strangers.refused().whole_at.len(), TOLD_APART + 1);
        let now = Timestamp::from_micros(0);
        assert!(
            strangers.wait(source(u32::MAX), now).is_some(),
            "one of the others"
        );
        assert!(strangers.wait(source(0), now).is_none(), "known by itself");
        strangers.refused_one(source(u32::MAX), Timestamp::from_micros(2 * SECOND));
        assert_eq!(strangers.refused().whole_at.len(), 1, "the quiet are forgotten");
    }

    #[test]
    fn zero_is_no_limit() {
        let strangers = Strangers::new(0);
        assert_eq!(let_in(&strangers, source(1), 0, 50), 50);
    }
}
