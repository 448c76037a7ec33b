//! Circuits: a token endpoint that does not answer is left alone for a while, by this replica and for all grants.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use countersign_crypto::Timestamp;

/// So many failures in a row open it.
const FAILURES: u32 = 5;
const LONGEST: Duration = Duration::from_mins(1);

/// One circuit for each provider that has failed lately.
#[derive(Debug, Default)]
pub(crate) struct Circuits(Mutex<HashMap<String, Circuit>>);

#[derive(Debug, Default, Clone, Copy)]
struct Circuit {
    failures: u32,
    /// Closed where there is none. When it passes, one request may try.
    open_until: Option<Timestamp>,
    /// When it was opened, or one was let through to try.
    opened: Option<Timestamp>,
    /// For how long it was opened last.
    pause: Duration,
}

impl Circuits {
    /// Whether a request may go to this provider now; else when to ask again. The first that may after a pause is
    /// alone for `patience`, in which it is to succeed or fail.
    pub(crate) fn admit(&self, provider: &str, now: Timestamp, patience: Duration) -> Result<(), Duration> {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(circuit) = circuits.get_mut(provider) else {
            return Ok(());
        };
        match circuit.open_until {
            Some(until) if until > now && until <= now.plus(LONGEST) => Err(until.since(now)),
            Some(_) => {
                (circuit.open_until, circuit.opened) = (Some(now.plus(patience)), Some(now));
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The provider answered something that makes sense.
    pub(crate) fn succeeded(&self, provider: &str) {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        circuits.remove(provider);
    }

    /// It could not be reached, or gave no answer that makes sense. Requests that were under way together count as one
    /// when it opens: the pause grows from one attempt to the next, and begins with `patience`.
    pub(crate) fn failed(&self, provider: &str, now: Timestamp, patience: Duration, began: Timestamp) {
        let mut circuits = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let circuit = circuits.entry(provider.to_owned()).or_default();
        circuit.failures = circuit.failures.saturating_add(1);
        if circuit.failures < FAILURES {
            return;
        }
        if circuit.opened.is_none_or(|opened| began >= opened) {
            circuit.pause = (circuit.pause * 2).clamp(patience, LONGEST);
            (circuit.open_until, circuit.opened) = (Some(now.plus(circuit.pause)), Some(now));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_and_lets_one_try() {
        let circuits = Circuits::default();
        for _ in 0..4 {
            circuits.failed("p", at(0), PATIENCE, at(0));
            assert_eq!(circuits.admit("p", at(0), PATIENCE), Ok(()));
        }
        circuits.succeeded("p");
        for _ in 0..5 {
            assert_eq!(circuits.admit("p", at(0), PATIENCE), Ok(()));
            circuits.failed("p", at(0), PATIENCE, at(0));
        }
        assert_eq!(circuits.admit("p", at(4), PATIENCE), Err(Duration::from_secs(6)));
        assert_eq!(
            circuits.admit("other", at(4), PATIENCE),
            Ok(()),
            "each provider its own"
        );
        assert_eq!(circuits.admit("p", at(10), PATIENCE), Ok(()), "one tries");
        assert!(circuits.admit("p", at(10), PATIENCE).is_err(), "and only one");
        circuits.failed("p", at(11), PATIENCE, at(10));
        assert_eq!(
            circuits.admit("p", at(11), PATIENCE),
            Err(Duration::from_secs(20)),
            "twice as long"
        );
        assert_eq!(circuits.admit("p", at(31), PATIENCE), Ok(()));
        circuits.succeeded("p");
        assert_eq!(circuits.admit("p", at(31), PATIENCE), Ok(()), "closed");
        assert_eq!(circuits.admit("p", at(31), PATIENCE), Ok(()));
    }

    #[test]
    fn what_failed_together_counts_once() {
        let circuits = Circuits::default();
        for _ in 0..32 {
            circuits.failed("p", at(1), PATIENCE, at(0));
        }
        assert_eq!(circuits.admit("p", at(1), PATIENCE), Err(PATIENCE));
        assert_eq!(
            circuits.admit("p", at(-3600), PATIENCE),
            Ok(()),
            "a clock that jumped back"
        );
    }
}
