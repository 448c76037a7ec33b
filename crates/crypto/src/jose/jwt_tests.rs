//! Every way in which a JWT is refused, and the few in which it is accepted.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;
use crate::SigningKey;
use crate::digest::{b64url, hmac_sha256};

const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);
const POLICY: JwtPolicy<'static> = JwtPolicy {
    issuer: "https://issuer.example",
    audiences: &["dev-agent"],
    algorithms: &[Algorithm::Es256],
    leeway_secs: 0,
    typ: None,
};

fn key(kid: &str) -> SigningKey {
    SigningKey::from_pkcs8(kid, SigningKey::generate_pkcs8().expose_secret()).expect("a P-256 key")
}

fn set(keys: &[&SigningKey]) -> JwkSet {
    JwkSet {
        keys: keys.iter().map(|key| key.public_jwk()).collect(),
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example", "aud": "dev-agent", "sub": "alice", "exp": 1_700_000_300, "iat": 1_700_000_000})
}

fn signed(key: &SigningKey, header: &str, payload: &str) -> String {
    let signed = format!("{}.{}", b64url(header.as_bytes()), b64url(payload.as_bytes()));
    format!("{signed}.{}", b64url(&key.sign_raw(signed.as_bytes())))
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    claims.to_string()
}

const HEADER: &str = r#"{"alg":"ES256","kid":"a"}"#;

#[test]
fn a_good_token_is_accepted() {
    let key = key("a");
    let token = key.sign_jwt(Map::new(), &claims()).expect("signs");
    let verified = verify_jwt(&token, &set(&[&key]), &POLICY, NOW).expect("verifies");
    assert_eq!(verified.claims["sub"], "alice");
    assert_eq!(verified.header["typ"], "JWT");
    assert_eq!(verified.header["kid"], "a");
    assert_eq!(peek_issuer(&token).as_deref(), Some("https://issuer.example"));
}

#[test]
fn claims_are_required_and_exact() {
    let key = key("a");
    let keys = set(&[&key]);
    let verify = |payload: String| verify_jwt(&signed(&key, HEADER, &payload), &keys, &POLICY, NOW).err();
    assert_eq!(verify(claims().to_string()), None);
    assert_eq!(verify(with("aud", json!(["x", "dev-agent"]))), None);
    assert_eq!(verify(with("exp", json!(1_700_000_000.5))), None);
    for (name, value, error) in [
        ("iss", json!("https://issuer.example/"), JwtError::Issuer),
        ("iss", json!(null), JwtError::Claim("iss")),
        ("aud", json!("dev-agent2"), JwtError::Audience),
        ("aud", json!([]), JwtError::Audience),
        ("aud", json!(["dev-agent", 1]), JwtError::Claim("aud")),
        ("aud", json!({"dev-agent": 1}), JwtError::Claim("aud")),
        ("exp", json!(1_700_000_000), JwtError::Expired),
        ("exp", json!("1700000300"), JwtError::Claim("exp")),
        ("exp", json!(null), JwtError::Claim("exp")),
        ("nbf", json!(1_700_000_001), JwtError::NotYetValid),
        ("iat", json!(1_700_000_001), JwtError::NotYetValid),
        ("iat", json!("now"), JwtError::Claim("iat")),
    ] {
        assert_eq!(verify(with(name, value.clone())), Some(error), "{name} {value}");
    }
    for name in ["iss", "aud", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().expect("object").remove(name);
        assert_eq!(verify(claims.to_string()), Some(JwtError::Claim(name)));
    }
}

#[test]
fn leeway_forgives_exactly_so_much() {
    let key = key("a");
    let token = signed(&key, HEADER, &with("exp", json!(1_699_999_990)));
    let verify = |leeway_secs| {
        verify_jwt(
            &token,
            &set(&[&key]),
            &JwtPolicy {
                leeway_secs,
                ..POLICY
            },
            NOW,
        )
        .err()
    };
    assert_eq!(verify(10), Some(JwtError::Expired));
    assert_eq!(verify(11), None);
}

#[test]
fn the_header_chooses_nothing() {
    let key = key("a");
    let keys = set(&[&key]);
    let verify =
        |header: &str| verify_jwt(&signed(&key, header, &claims().to_string()), &keys, &POLICY, NOW).err();
    assert_eq!(verify(HEADER), None);
    for alg in ["none", "None", "HS256", "RS256", "ES384", "es256", ""] {
        assert_eq!(
            verify(&format!(r#"{{"alg":"{alg}","kid":"a"}}"#)),
            Some(JwtError::Algorithm),
            "{alg}"
        );
    }
    for header in [
        r#"{"kid":"a"}"#,
        r#"{"alg":["ES256"],"kid":"a"}"#,
        r#"{"alg":"ES256","kid":7}"#,
        r#"{"alg":"ES256","kid":"a","crit":["exp"],"exp":1}"#,
        r#"{"alg":"none","alg":"ES256","kid":"a"}"#,
        r#"["ES256"]"#,
        "",
    ] {
        assert_eq!(verify(header), Some(JwtError::Malformed), "{header}");
    }
}

#[test]
fn a_key_in_the_header_is_not_trusted() {
    let ours = key("a");
    let theirs = key("a");
    let jwk = serde_json::to_value(theirs.public_jwk()).expect("JSON");
    let header = json!({"alg": "ES256", "kid": "a", "jwk": jwk, "jku": "https://evil.example/jwks"});
    let token = signed(&theirs, &header.to_string(), &claims().to_string());
    assert_eq!(
        verify_jwt(&token, &set(&[&ours]), &POLICY, NOW).err(),
        Some(JwtError::Signature)
    );
}

#[test]
fn hmac_under_the_public_key_is_refused() {
    let key = key("a");
    let signed = format!(
        "{}.{}",
        b64url(br#"{"alg":"HS256","kid":"a"}"#),
        b64url(claims().to_string().as_bytes())
    );
    let mac = hmac_sha256(key.public_pem().as_bytes(), signed.as_bytes());
    let token = format!("{signed}.{}", b64url(&mac));
    assert_eq!(
        verify_jwt(&token, &set(&[&key]), &POLICY, NOW).err(),
        Some(JwtError::Algorithm)
    );
}

#[test]
fn kid_names_the_key_or_there_is_only_one() {
    let (a, b) = (key("a"), key("b"));
    let payload = claims().to_string();
    let without = signed(&a, r#"{"alg":"ES256"}"#, &payload);
    assert!(verify_jwt(&without, &set(&[&a]), &POLICY, NOW).is_ok());
    assert_eq!(
        verify_jwt(&without, &set(&[&a, &b]), &POLICY, NOW).err(),
        Some(JwtError::UnknownKey)
    );
    assert_eq!(
        verify_jwt(&without, &JwkSet::default(), &POLICY, NOW).err(),
        Some(JwtError::UnknownKey)
    );
    let named_b = signed(&a, r#"{"alg":"ES256","kid":"b"}"#, &payload);
    assert_eq!(
        verify_jwt(&named_b, &set(&[&a, &b]), &POLICY, NOW).err(),
        Some(JwtError::Signature)
    );
    assert_eq!(
        verify_jwt(&named_b, &set(&[&a]), &POLICY, NOW).err(),
        Some(JwtError::UnknownKey)
    );
}

#[test]
fn the_form_is_exact() {
    let key = key("a");
    let keys = set(&[&key]);
    let token = key.sign_jwt(Map::new(), &claims()).expect("signs");
    let verify = |token: &str| verify_jwt(token, &keys, &POLICY, NOW).err();
    let (signed, signature) = token.rsplit_once('.').expect("parts");
    for changed in [
        String::new(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{token}."),
        format!("{token}="),
        format!(" {token}"),
        format!("{token}\n"),
        format!("{signed}.{signature}.{signature}"),
    ] {
        assert_eq!(verify(&changed), Some(JwtError::Malformed), "{changed}");
    }
    assert_eq!(verify(&format!("{signed}.")), Some(JwtError::Signature));
    let padding = "x".repeat(MAX_JWT_BYTES);
    let large = self::signed(&key, HEADER, &with("pad", json!(padding)));
    assert_eq!(verify(&large), Some(JwtError::Malformed));
    let duplicate = r#"{"iss":"https://issuer.example","aud":"dev-agent","exp":1700000300,"exp":1}"#;
    assert_eq!(
        verify(&self::signed(&key, HEADER, duplicate)),
        Some(JwtError::Malformed)
    );
}

#[test]
fn typ_is_checked_when_asked_for() {
    let key = key("a");
    let keys = set(&[&key]);
    let policy = JwtPolicy {
        typ: Some(&["at+jwt"]),
        ..POLICY
    };
    let verify =
        |header: &str| verify_jwt(&signed(&key, header, &claims().to_string()), &keys, &policy, NOW).err();
    assert_eq!(verify(r#"{"alg":"ES256","kid":"a","typ":"AT+JWT"}"#), None);
    assert_eq!(
        verify(r#"{"alg":"ES256","kid":"a","typ":"application/at+jwt"}"#),
        None
    );
    assert_eq!(
        verify(r#"{"alg":"ES256","kid":"a","typ":"JWT"}"#),
        Some(JwtError::Algorithm)
    );
    assert_eq!(verify(HEADER), Some(JwtError::Algorithm));
}

#[test]
fn rfc_7515_a2_rs256() {
    let keys = JwkSet::from_json(
        br#"{"keys":[{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}]}"#,
    )
    .expect("a set");
    let signed = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let signature = "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
    let signature = b64url_decode(signature).expect("base64url");
    assert!(keys.keys[0].verifies(Algorithm::Rs256, signed.as_bytes(), &signature));
    assert!(!keys.keys[0].verifies(Algorithm::Ps256, signed.as_bytes(), &signature));
    // The example has no `aud`: as a JWT it is refused for that, after its signature held.
    let policy = JwtPolicy {
        issuer: "joe",
        algorithms: &[Algorithm::Rs256],
        ..POLICY
    };
    let token = format!("{signed}.{}", b64url(&signature));
    let before = Timestamp::from_secs(1_300_000_000);
    assert_eq!(
        verify_jwt(&token, &keys, &policy, before).err(),
        Some(JwtError::Claim("aud"))
    );
}
