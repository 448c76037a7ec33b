//! The key of what an account has by name: owned in a map, borrowed at a look-up.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// Account, and name or internal id.
pub(super) type OwnedPlace = (String, String);

/// As [`OwnedPlace`], whoever holds the texts.
pub(super) trait Place: Sync {
    fn parts(&self) -> (&str, &str);
}

impl Place for OwnedPlace {
    fn parts(&self) -> (&str, &str) {
        (&self.0, &self.1)
    }
}

impl Place for (&str, &str) {
    fn parts(&self) -> (&str, &str) {
        *self
    }
}

// Both forms hash and compare by the same two texts, as `Borrow` demands.
impl Hash for dyn Place + '_ {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.parts().hash(state);
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.parts() == other.parts()
    }
}

impl Eq for dyn Place + '_ {}

impl<'a> Borrow<dyn Place + 'a> for OwnedPlace {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl ToOwned for dyn Place + '_ {
    type Owned = OwnedPlace;

    fn to_owned(&self) -> OwnedPlace {
        let (account, name) = self.parts();
        (account.to_owned(), name.to_owned())
    }
}
