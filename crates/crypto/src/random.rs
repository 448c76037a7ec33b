//! Randomness, injected: tests replace it by a seeded stream and become repeatable.

use std::sync::Arc;

use uuid::Uuid;

use crate::clock::Clock;
use crate::digest::b64url;

/// A cryptographically secure source of random bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `out` entirely.
    fn fill(&self, out: &mut [u8]);
}

/// A source shared by the parts of one process.
pub type SharedRandom = Arc<dyn Random>;

/// The generator of AWS-LC, seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where randomness is drawn"
    )]
    fn fill(&self, out: &mut [u8]) {
        // Going on without randomness would be worse than ending the request, so this panics.
        aws_lc_rs::rand::fill(out).expect("the random generator of AWS-LC works");
    }
}

/// `N` fresh random bytes.
pub fn random_bytes<const N: usize>(random: &dyn Random) -> [u8; N] {
    let mut out = [0; N];
    random.fill(&mut out);
    out
}

/// 32 random bytes as 43 base64url characters: state, nonce, PKCE verifier, one-time code.
#[must_use]
pub fn token(random: &dyn Random) -> String {
    b64url(&random_bytes::<32>(random))
}

/// A random UUID (RFC 9562 section 5.4).
pub fn uuid_v4(random: &dyn Random) -> Uuid {
    uuid::Builder::from_random_bytes(random_bytes(random)).into_uuid()
}

/// A UUID that sorts by time (RFC 9562 section 5.7). The time in it is readable: no secret identifier.
pub fn uuid_v7(clock: &dyn Clock, random: &dyn Random) -> Uuid {
    let millis = u64::try_from(clock.now().as_micros() / 1_000).unwrap_or(0);
    uuid::Builder::from_unix_timestamp_millis(millis, &random_bytes(random)).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Timestamp;
    use crate::testing::{ManualClock, SeededRandom};

    #[test]
    fn tokens_have_256_bits() {
        let text = token(&SystemRandom);
        assert_eq!(text.len(), 43);
        assert_ne!(text, token(&SystemRandom));
    }

    #[test]
    fn seeded_streams_repeat_and_differ() {
        assert_eq!(token(&SeededRandom::new(7)), token(&SeededRandom::new(7)));
        assert_ne!(token(&SeededRandom::new(7)), token(&SeededRandom::new(8)));
    }

    #[test]
    fn uuids_carry_their_version_and_v7_sorts() {
        let random = SeededRandom::new(1);
        let clock = ManualClock::new(Timestamp::from_secs(1_700_000_000));
        assert_eq!(uuid_v4(&random).get_version_num(), 4);
        let first = uuid_v7(&clock, &random);
        clock.advance(std::time::Duration::from_millis(1));
        let second = uuid_v7(&clock, &random);
        assert_eq!(first.get_version_num(), 7);
        assert!(first < second);
    }
}
