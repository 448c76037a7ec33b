//! When an access token is good, and when it is time to get another.

use std::time::Duration;

use countersign_crypto::{Random, Timestamp, random_bytes, sha256_parts};
use countersign_oauth::Vendor;

use crate::store::grant::{GrantRow, GrantState};

/// A token with less time left than this is renewed before it goes out: it is to arrive alive.
pub(crate) const MARGIN: Duration = Duration::from_secs(20);
/// How much earlier it is renewed where nobody has to wait for it, unless the vendor wants it earlier still.
const AHEAD: Duration = Duration::from_mins(1);
/// How much further another replica's clock may be.
const SKEW: Duration = Duration::from_mins(1);
/// The first pause after a failure, and the longest.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Whether the access token may go out as it is. One that lives for less than four margins has a smaller one.
pub(crate) fn usable(grant: &GrantRow, now: Timestamp) -> bool {
    let margin = lifetime(grant).map_or(MARGIN, |lifetime| MARGIN.min(lifetime / 4));
    alive(grant, now.plus(margin))
}

/// Whether the access token has not expired. One of an account that the person has yet to confirm is not alive at all.
pub(crate) fn alive(grant: &GrantRow, now: Timestamp) -> bool {
    grant.state != GrantState::Unconfirmed
        && grant.access_token.is_some()
        && grant.access_expires_at.is_none_or(|expiry| now < expiry)
        && !from_the_future(grant, now)
}

/// Whether the token came before the clock jumped back, so that nobody knows how old it is, and another can be had.
fn from_the_future(grant: &GrantRow, now: Timestamp) -> bool {
    let issued_at = grant.refresh.access_issued_at;
    grant.refresh_token.is_some() && issued_at.is_some_and(|issued_at| issued_at > now.plus(SKEW))
}

/// Whether a usable access token is old enough to be renewed in the background. Grants that were made at the same time
/// are due at different times, each at the same time for all replicas.
pub(crate) fn due(grant: &GrantRow, vendor: &Vendor, now: Timestamp) -> bool {
    let (Some(expiry), Some(lifetime)) = (grant.access_expires_at, lifetime(grant)) else {
        return false;
    };
    let ahead = vendor
        .renewal
        .early
        .map_or(AHEAD.min(lifetime / 4), |early| early.min(lifetime / 2));
    let spread = sha256_parts(&[grant.id.as_bytes(), &grant.refresh.generation.to_be_bytes()]);
    // Up to half as early again.
    let jitter = ahead / 2 * u32::from(spread[0]) / 255;
    let paused = grant.refresh.retry_at.is_some_and(|retry_at| retry_at > now);
    grant.refresh_token.is_some() && !paused && now.plus(ahead + jitter) >= expiry
}

fn lifetime(grant: &GrantRow) -> Option<Duration> {
    Some(grant.access_expires_at?.since(grant.refresh.access_issued_at?))
}

/// The pause after this many failures in a row: twice as long each time, up to a quarter more or less by chance.
pub(crate) fn pause(failures: i64, random: &dyn Random) -> Duration {
    let doublings = u32::try_from(failures.clamp(0, 6)).unwrap_or_default();
    let pause = (PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE);
    let [chance] = random_bytes(random);
    pause * 3 / 4 + pause / 2 * u32::from(chance) / 255
}

#[cfg(test)]
mod tests {
    use countersign_crypto::testing::SeededRandom;
    use countersign_oauth::vendor::vendor;

    use super::*;
    use crate::store::grant_tests::{at, grant};

    fn living(id: &str, secs: u64) -> GrantRow {
        let mut grant = grant(id, 1);
        grant.access_expires_at = Some(at(secs));
        grant.refresh.access_issued_at = Some(at(0));
        grant
    }

    #[test]
    fn a_token_goes_out_while_it_has_time_to_arrive() {
        let hour = living("1", 3600);
        assert!(usable(&hour, at(3579)) && !usable(&hour, at(3580)));
        let short = living("1", 8);
        assert!(
            usable(&short, at(5)) && !usable(&short, at(6)),
            "a quarter of a short life"
        );
        let mut endless = living("1", 8);
        endless.access_expires_at = None;
        assert!(usable(&endless, at(1 << 30)));
        endless.state = GrantState::Unconfirmed;
        assert!(!usable(&endless, at(0)), "its account is not confirmed yet");
        endless.state = GrantState::Active;
        endless.access_token = None;
        assert!(!usable(&endless, at(0)));
    }

    #[test]
    fn a_token_from_before_the_clock_jumped_back_is_of_unknown_age() {
        let mut grant = living("1", 3600);
        grant.refresh.access_issued_at = Some(at(1800));
        assert!(
            alive(&grant, at(1800)) && alive(&grant, at(1745)),
            "another replica's clock"
        );
        assert!(!alive(&grant, at(1700)));
        grant.refresh_token = None;
        assert!(alive(&grant, at(1700)), "nothing better can be had");
    }

    #[test]
    fn grants_of_one_moment_are_due_at_different_moments() {
        let custom = vendor("CustomOauth2").expect("known");
        let begins = |id: &str| {
            let grant = living(id, 3600);
            (0..3600)
                .find(|&secs| due(&grant, custom, at(secs)))
                .expect("due before it expires")
        };
        let mut moments: Vec<u64> = (0..40).map(|id| begins(&id.to_string())).collect();
        assert!(
            moments.iter().all(|moment| (3510..=3540).contains(moment)),
            "{moments:?}"
        );
        moments.sort_unstable();
        moments.dedup();
        assert!(moments.len() > 10, "{moments:?}");
    }

    #[test]
    fn nothing_is_due_during_a_pause_or_without_a_refresh_token() {
        let custom = vendor("CustomOauth2").expect("known");
        let mut paused = living("1", 3600);
        assert!(due(&paused, custom, at(3590)));
        paused.refresh.retry_at = Some(at(3591));
        assert!(!due(&paused, custom, at(3590)) && due(&paused, custom, at(3591)));
        paused.refresh_token = None;
        assert!(!due(&paused, custom, at(3591)));
    }

    #[test]
    fn pauses_grow_and_end() {
        let random = SeededRandom::new(3);
        for (failures, millis) in [(0, 1000), (1, 2000), (5, 32_000), (6, 60_000), (i64::MAX, 60_000)] {
            let pause = pause(failures, &random);
            let middle = Duration::from_millis(millis);
            assert!(
                pause >= middle * 3 / 4 && pause <= middle * 5 / 4,
                "{failures}: {pause:?}"
            );
        }
    }
}
