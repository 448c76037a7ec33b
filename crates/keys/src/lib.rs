//! Key providers that need a module or an SDK: the root of the key hierarchy (design D27) outside this
//! process and its files. Each is a cargo feature, so that a lean build links none of them.
//!
//! * `pkcs11`: a hardware security module, or anything else with a PKCS#11 module.

#[cfg(feature = "pkcs11")]
mod pkcs11;

#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Config, Pkcs11KeyProvider};
