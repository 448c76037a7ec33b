//! The ticket: which session record, and the key that opens it.

use std::fmt;

use countersign_crypto::{Aad, ExposeSecret, Keyring, Random};
use uuid::Uuid;
use zeroize::Zeroizing;

const SID_BYTES: usize = 16;
const KEY_BYTES: usize = 32;
/// Longer than any sealed ticket; what is longer is not worth opening.
const MAX_SEALED: usize = 512;

/// A ticket. Whoever holds it sealed for an origin is logged in there.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) sid: Uuid,
    pub(crate) key: Zeroizing<[u8; KEY_BYTES]>,
}

impl Ticket {
    /// Seals the ticket for one use: it does not open for another one, so that the app origin's cookie
    /// is nothing on the account origin, and a hand-over code is no cookie.
    pub(super) fn seal(
        &self,
        keyring: &Keyring,
        random: &dyn Random,
        account: &str,
        used: &[String; 2],
    ) -> String {
        let mut plaintext = Zeroizing::new([0; SID_BYTES + KEY_BYTES]);
        plaintext[..SID_BYTES].copy_from_slice(self.sid.as_bytes());
        plaintext[SID_BYTES..].copy_from_slice(&*self.key);
        keyring.seal_token(random, &aad(account, used), &*plaintext)
    }

    pub(super) fn open(keyring: &Keyring, account: &str, used: &[String; 2], sealed: &str) -> Option<Self> {
        if sealed.len() > MAX_SEALED {
            return None;
        }
        let plaintext = keyring.open_token(&aad(account, used), sealed).ok()?;
        let (sid, key) = plaintext.expose_secret().split_at_checked(SID_BYTES)?;
        Some(Self {
            sid: Uuid::from_slice(sid).ok()?,
            key: Zeroizing::new(key.try_into().ok()?),
        })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("sid", &self.sid)
            .finish_non_exhaustive()
    }
}

fn aad(account: &str, [kind, bound_to]: &[String; 2]) -> Aad {
    Aad::new(account, "ticket", kind, bound_to)
}
