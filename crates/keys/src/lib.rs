//! Key providers that need a module or an SDK: the root of the key hierarchy (design D27) outside this
//! process and its files. Each is a cargo feature, so that a lean build links none of them.
//!
//! * `kms`: AWS KMS, or what speaks its API.
//! * `pkcs11`: a hardware security module, or anything else with a PKCS#11 module.

#[cfg(feature = "kms")]
mod customer;
#[cfg(feature = "kms")]
mod kms;
#[cfg(feature = "pkcs11")]
mod pkcs11;

#[cfg(feature = "kms")]
pub use customer::WithCustomerKeys;
#[cfg(feature = "kms")]
pub use kms::KmsKeyProvider;
#[cfg(feature = "pkcs11")]
pub use pkcs11::{Pkcs11Config, Pkcs11KeyProvider};
