//! What a client's certificate says, in the headers of an Application Load Balancer.
//!
//! `=`, `+` and `/` stay as they are in the percent-encoded PEM: a target percent-decodes it, and must not
//! read `+` as a space.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_crypto::Timestamp;
use http::{HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls_pki_types::CertificateDer;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::x509::X509Name;

use super::config::MutualAuthenticationMode;

const CLIENTCERT: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert");
const SERIAL_NUMBER: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-serial-number");
const ISSUER: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-issuer");
const SUBJECT: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-subject");
const VALIDITY: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-validity");
const LEAF: HeaderName = HeaderName::from_static("x-amzn-mtls-clientcert-leaf");

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'=')
    .remove(b'+')
    .remove(b'/');

/// The headers of one connection's client certificate; `chain` begins with the client's own.
pub(super) fn headers(
    mode: MutualAuthenticationMode,
    chain: &[CertificateDer<'_>],
) -> Vec<(HeaderName, HeaderValue)> {
    let Some(leaf) = chain.first() else {
        return Vec::new();
    };
    let texts = match mode {
        MutualAuthenticationMode::Passthrough => {
            vec![(
                CLIENTCERT,
                chain.iter().map(|certificate| encoded(certificate)).collect(),
            )]
        }
        MutualAuthenticationMode::Verify => verified(leaf),
    };
    texts
        .into_iter()
        .filter_map(|(name, text): (HeaderName, String)| Some((name, HeaderValue::try_from(text).ok()?)))
        .collect()
}

fn verified(leaf: &CertificateDer<'_>) -> Vec<(HeaderName, String)> {
    let Ok((_, certificate)) = x509_parser::parse_x509_certificate(leaf) else {
        return Vec::new();
    };
    let serial = certificate.raw_serial();
    let serial = serial
        .strip_prefix(&[0])
        .filter(|rest| !rest.is_empty())
        .unwrap_or(serial);
    let time = |seconds| Timestamp::from_secs(seconds).to_rfc3339();
    let validity = certificate.validity();
    vec![
        (SERIAL_NUMBER, upper_hex(serial)),
        (ISSUER, distinguished_name(certificate.issuer())),
        (SUBJECT, distinguished_name(certificate.subject())),
        (
            VALIDITY,
            format!(
                "NotBefore={};NotAfter={}",
                time(validity.not_before.timestamp()),
                time(validity.not_after.timestamp())
            ),
        ),
        (LEAF, encoded(leaf)),
    ]
}

fn encoded(certificate: &CertificateDer<'_>) -> String {
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in STANDARD.encode(certificate).as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    utf8_percent_encode(&pem, ENCODED).to_string()
}

fn upper_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// RFC 2253: the last relative name first, `,` between them. What is not ASCII is escaped byte by byte
/// (section 2.4), since header values are.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut relative_names: Vec<String> = name
        .iter_rdn()
        .map(|relative| {
            let parts: Vec<String> = relative
                .iter()
                .map(|attribute| {
                    let kind = oid2abbrev(attribute.attr_type(), oid_registry())
                        .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
                    match attribute.as_str() {
                        Ok(value) => format!("{kind}={}", escaped(value)),
                        Err(_) => format!("{kind}=#{}", upper_hex(attribute.as_slice())),
                    }
                })
                .collect();
            parts.join("+")
        })
        .collect();
    relative_names.reverse();
    relative_names.join(",")
}

fn escaped(value: &str) -> String {
    let last = value.len().saturating_sub(1);
    let mut text = String::with_capacity(value.len());
    for (at, byte) in value.bytes().enumerate() {
        let edge_space = byte == b' ' && (at == 0 || at == last);
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => {
                text.push('\\');
                text.push(char::from(byte));
            }
            b'#' if at == 0 => text.push_str("\\#"),
            b' ' if edge_space => text.push_str("\\ "),
            b' '..=b'~' => text.push(char::from(byte)),
            _ => {
                let _ = write!(text, "\\{byte:02X}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_rfc_2253() {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
        let mut name = rcgen::DistinguishedName::new();
        name.push(rcgen::DnType::CountryName, "US");
        name.push(rcgen::DnType::OrganizationName, "Sue, Grabbit and \"Runn\"");
        name.push(rcgen::DnType::CommonName, " L\u{10d}i#+=");
        params.distinguished_name = name;
        params.serial_number = Some(rcgen::SerialNumber::from_slice(&[0x83, 0xa5, 0xb1]));
        params.not_before = rcgen::date_time_ymd(2023, 9, 21);
        params.not_after = rcgen::date_time_ymd(2024, 9, 20);
        let certificate = params.self_signed(&key).expect("a certificate");
        let headers = headers(MutualAuthenticationMode::Verify, &[certificate.der().clone()]);
        let value = |name: &HeaderName| {
            let (_, value) = headers.iter().find(|(n, _)| n == name).expect("a header");
            value.to_str().expect("a text")
        };
        assert_eq!(
            value(&SUBJECT),
            r#"CN=\ L\C4\8Di#\+=,O=Sue\, Grabbit and \"Runn\",C=US"#
        );
        assert_eq!(value(&ISSUER), value(&SUBJECT));
        assert_eq!(value(&SERIAL_NUMBER), "83A5B1");
        assert_eq!(
            value(&VALIDITY),
            "NotBefore=2023-09-21T00:00:00Z;NotAfter=2024-09-20T00:00:00Z"
        );
        let leaf = value(&LEAF);
        assert!(leaf.starts_with("-----BEGIN%20CERTIFICATE-----%0A"), "{leaf}");
        let decoded = percent_encoding::percent_decode_str(leaf)
            .decode_utf8()
            .expect("UTF-8");
        assert_eq!(
            decoded.replace('\n', ""),
            certificate.pem().replace(['\r', '\n'], "")
        );
    }
}
