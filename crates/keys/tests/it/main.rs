//! Key providers against real parts.

#[cfg(feature = "pkcs11")]
mod pkcs11;
