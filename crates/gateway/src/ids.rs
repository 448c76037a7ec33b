//! Randomness for ids that are no secrets: of requests and traces.

use std::sync::{Mutex, PoisonError};

use countersign_crypto::{Random, SharedRandom};

/// Bytes drawn at a time. A generator costs about the same for twelve bytes as for a thousand.
const BATCH: usize = 1_024;

/// Draws ahead. Not for secrets: those are not to lie in memory before they exist.
pub(crate) struct IdRandom {
    random: SharedRandom,
    drawn: Mutex<Drawn>,
}

struct Drawn {
    bytes: [u8; BATCH],
    used: usize,
}

impl IdRandom {
    pub(crate) fn new(random: SharedRandom) -> Self {
        let drawn = Drawn {
            bytes: [0; BATCH],
            used: BATCH,
        };
        Self {
            random,
            drawn: Mutex::new(drawn),
        }
    }
}

impl Random for IdRandom {
    fn fill(&self, out: &mut [u8]) {
        if out.len() > BATCH {
            return self.random.fill(out);
        }
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        if drawn.used + out.len() > BATCH {
            self.random.fill(&mut drawn.bytes);
            drawn.used = 0;
        }
        let used = drawn.used;
        out.copy_from_slice(&drawn.bytes[used..used + out.len()]);
        drawn.used += out.len();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use countersign_crypto::random_bytes;
    use countersign_crypto::testing::SeededRandom;

    use super::*;

    #[test]
    fn no_bytes_are_given_out_twice() {
        let random = IdRandom::new(Arc::new(SeededRandom::new(1)));
        let ids: HashSet<[u8; 12]> = (0..1_000).map(|_| random_bytes(&random)).collect();
        assert_eq!(ids.len(), 1_000);
        let mut long = vec![0; 3 * BATCH];
        random.fill(&mut long);
        assert!(long.chunks(64).all(|chunk| chunk.iter().any(|&byte| byte != 0)));
    }
}
