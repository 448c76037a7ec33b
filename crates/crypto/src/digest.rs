//! Digests, MACs and the one text encoding, in the few forms this product uses.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;

/// SHA-256.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    finish(digest::digest(&digest::SHA256, message).as_ref())
}

/// SHA-384.
#[must_use]
pub fn sha384(message: &[u8]) -> [u8; 48] {
    finish(digest::digest(&digest::SHA384, message).as_ref())
}

/// SHA-512.
#[must_use]
pub fn sha512(message: &[u8]) -> [u8; 64] {
    finish(digest::digest(&digest::SHA512, message).as_ref())
}

/// SHA-256 over `parts`, each preceded by its length as 8 big-endian bytes, so that no two different
/// lists of parts share their input.
#[must_use]
pub fn sha256_parts(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&length_prefix(part));
        context.update(part);
    }
    finish(context.finish().as_ref())
}

/// HMAC-SHA-256 (RFC 2104).
#[must_use]
pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    finish(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

/// Compares in time that depends on the lengths only.
#[must_use]
pub fn constant_time_eq(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

/// base64url without padding (RFC 7515 section 2).
#[must_use]
pub fn b64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding. `None` for padding, whitespace, other alphabets and non-zero trailing
/// bits: every accepted text is the only spelling of its bytes.
#[must_use]
pub fn b64url_decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

pub(crate) fn length_prefix(part: &[u8]) -> [u8; 8] {
    u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes()
}

fn finish<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    out.copy_from_slice(bytes);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // FIPS 180-2 appendix B.1.
        assert_eq!(
            hex::encode(sha256(b"abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        // RFC 4231 section 4.3.
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // RFC 7636 appendix B: the S256 code challenge.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(
            b64url(&sha256(verifier.as_bytes())),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(sha256_parts(&[b"ab", b"c"]), sha256_parts(&[b"a", b"bc"]));
        assert_ne!(sha256_parts(&[b"a"]), sha256_parts(&[b"a", b""]));
    }

    #[test]
    fn one_spelling_only() {
        assert_eq!(b64url_decode("AQ"), Some(vec![1]));
        for wrong in ["AQ==", "AR", "A Q", "A+/A", "A"] {
            assert_eq!(b64url_decode(wrong), None, "{wrong}");
        }
    }
}
