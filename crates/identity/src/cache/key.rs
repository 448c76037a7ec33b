//! The key of what an account has by name: owned in a map, borrowed at a look-up.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// Account, and name or internal id.
pub(super) type OwnedKey = (String, String);

/// As [`OwnedKey`], whoever holds the texts.
pub(super) trait Key: Sync {
    fn parts(&self) -> (&str, &str);
}

impl Key for OwnedKey {
    fn parts(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl Key for (&str, &str) {
    fn parts(&self) -> (&str, &str) {
        *self
    }
}

// Both forms hash and compare by the same two texts, as `Borrow` demands.
impl Hash for dyn Key + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Key + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Key + '_ {}

impl<'a> Borrow<dyn Key + 'a> for OwnedKey {
    fn borrow(&self) -> &(dyn Key + 'a) {
        self
    }
}

impl ToOwned for dyn Key + '_ {
    type Owned = OwnedKey;

    fn to_owned(&self) -> OwnedKey {
        let (account, name) = self.parts();
        (account.to_owned(), name.to_owned())
    }
}
