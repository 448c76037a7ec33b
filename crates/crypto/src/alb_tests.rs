//! A genuine token of a real load balancer, and rows F2–F8 and F12 of the attack matrix.

use secrecy::ExposeSecret as _;
use serde_json::json;

use super::*;
use crate::digest::{b64url, hmac_sha256};

/// Minted by a real load balancer and published in the unit tests of smallrye-jwt (`AwsAlbTokenTest`,
/// Apache-2.0); its key is gone and it expired in 2023.
const GENUINE: &str = "eyJ0eXAiOiJKV1QiLCJraWQiOiJjMmY4MGM4Yi1jMDVjLTQwNjgtYWYxNC0xNzI5OWY3ODk2YjEiLCJhbGciOiJFUzI1NiIsImlzcyI6Imh0dHBzOi8vY29nbml0by1pZHAuZXUtY2VudHJhbC0xLmFtYXpvbmF3cy5jb20vZXUtY2VudHJhbC0xX015UnJPQ0hRdyIsImNsaWVudCI6IjRmbXZodDIydGpyZ2Q3ZDNrM3RnaHR0Y3Q3Iiwic2lnbmVyIjoiYXJuOmF3czplbGFzdGljbG9hZGJhbGFuY2luZzpldS1jZW50cmFsLTE6MTk3MjgwOTU4MjI1OmxvYWRiYWxhbmNlci9hcHAvZWNzLXdpdGgtY29nbml0by1sYi82Mjg0YmU2NWI4MjdjNTk4IiwiZXhwIjoxNjg3NzQ4MDQ1fQ==.eyJzdWIiOiIyM2Q0OThiMi0zMDMxLTcwZDItOGExNS00OWRkODg2YTA4N2IiLCJlbWFpbF92ZXJpZmllZCI6InRydWUiLCJlbWFpbCI6ImR1a2VAc3VuLmNvbSIsInVzZXJuYW1lIjoiZHVrZSIsImV4cCI6MTY4Nzc0ODA0NSwiaXNzIjoiaHR0cHM6Ly9jb2duaXRvLWlkcC5ldS1jZW50cmFsLTEuYW1hem9uYXdzLmNvbS9ldS1jZW50cmFsLTFfTXlSck9DSFF3In0=.Jd7RXHsOj8vw2b4irZCxxWO-0UQBZ2X1bRNsKZ9D02JWJaNOvOnrV8T-qrcmWNpl7MjNhsGSm1C4e2rAjaF0jg==";
const GENUINE_PEM: &str = "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEjPHY1j9umvc8nZEswOzs+lPpLKLn\nqCBqvyZGJfBlXapmtGiqYEwpIqh/lZdkr4wDii7CP1DzIUSHONbc+jufiQ==\n-----END PUBLIC KEY-----\n";

const KID: &str = "9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab";
const ISSUER: &str = "https://idp.example";
const CLIENT: &str = "client";
const SIGNER: &str =
    "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/lb/0123456789abcdef";
const NOW: Timestamp = Timestamp::from_secs(1_700_000_000);

fn key() -> SigningKey {
    SigningKey::from_pkcs8(KID, SigningKey::generate_pkcs8().expose_secret()).expect("a P-256 key")
}

fn header() -> AlbHeader {
    AlbHeader {
        iss: ISSUER.into(),
        client: CLIENT.into(),
        signer: SIGNER.into(),
        exp: NOW.as_secs() + 60,
    }
}

fn claims() -> Map<String, Value> {
    json!({"sub": "alice", "email_verified": "true"})
        .as_object()
        .expect("object")
        .clone()
}

fn check(key: &SigningKey, token: &str) -> Result<Map<String, Value>, AlbError> {
    check_at(key, token, NOW)
}

fn check_at(key: &SigningKey, token: &str, now: Timestamp) -> Result<Map<String, Value>, AlbError> {
    let signers = [SIGNER.to_owned()];
    let expect = AlbExpectation {
        signers: &signers,
        issuer: ISSUER,
        client: CLIENT,
        leeway_secs: 0,
    };
    verify(token, &key.public_pem(), &expect, now).map(|verified| verified.claims)
}

/// Signs any header and claims in the ALB's encoding.
fn forge(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let signed = format!(
        "{}.{}",
        URL_SAFE.encode(header.to_string()),
        URL_SAFE.encode(claims.to_string())
    );
    let signature = URL_SAFE.encode(key.sign_raw(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn good_header() -> Value {
    json!({"typ": "JWT", "kid": KID, "alg": "ES256", "iss": ISSUER, "client": CLIENT, "signer": SIGNER,
        "exp": NOW.as_secs() + 60})
}

fn with(mut value: Value, name: &str, member: Value) -> Value {
    value[name] = member;
    value
}

#[test]
fn f02_genuine_token_is_accepted_at_its_time_and_only_as_received() {
    let signers =
        ["arn:aws:elasticloadbalancing:eu-central-1:197280958225:loadbalancer/app/ecs-with-cognito-lb/6284be65b827c598".to_owned()];
    let expect = AlbExpectation {
        signers: &signers,
        issuer: "https://cognito-idp.eu-central-1.amazonaws.com/eu-central-1_MyRrOCHQw",
        client: "4fmvht22tjrgd7d3k3tghttct7",
        leeway_secs: 0,
    };
    let then = Timestamp::from_secs(1_687_748_000);
    let claims = verify(GENUINE, GENUINE_PEM, &expect, then)
        .expect("genuine")
        .claims;
    assert_eq!(claims["username"], "duke");
    assert_eq!(
        kid(GENUINE).expect("a UUID"),
        "c2f80c8b-c05c-4068-af14-17299f7896b1"
    );

    let unpadded = GENUINE.replace('=', "");
    assert_eq!(
        verify(&unpadded, GENUINE_PEM, &expect, then).err(),
        Some(AlbError::Malformed)
    );
    assert_eq!(
        verify(GENUINE, GENUINE_PEM, &expect, Timestamp::from_secs(1_687_748_045)).err(),
        Some(AlbError::Expired)
    );
}

#[test]
fn minted_tokens_have_the_form_of_genuine_ones() {
    let key = key();
    for sub in ["a", "ab", "abc", "abcd"] {
        let mut claims = claims();
        claims.insert("sub".into(), sub.into());
        let token = mint(&key, &header(), &claims);
        let parts: Vec<&str> = token.split('.').collect();
        assert!(parts.iter().all(|part| part.len() % 4 == 0), "padded: {token}");
        let verified = check(&key, &token).expect("verifies");
        assert_eq!(verified["sub"], sub);
        assert_eq!(verified["exp"], NOW.as_secs() + 60);
    }
    let minted: Value = serde_json::from_slice(
        &URL_SAFE
            .decode(
                mint(&key, &header(), &claims())
                    .split('.')
                    .next()
                    .expect("header"),
            )
            .expect("padded"),
    )
    .expect("JSON");
    let genuine: Value = serde_json::from_slice(
        &URL_SAFE
            .decode(GENUINE.split('.').next().expect("header"))
            .expect("padded"),
    )
    .expect("JSON");
    let names = |value: &Value| -> std::collections::BTreeSet<String> {
        value.as_object().expect("object").keys().cloned().collect()
    };
    assert_eq!(names(&minted), names(&genuine));
    assert!(minted["exp"].is_i64());
}

#[test]
fn f03_right_signature_of_another_load_balancer_is_refused() {
    let key = key();
    let token = mint(
        &key,
        &AlbHeader {
            signer: SIGNER.replace("app/lb", "app/evil"),
            ..header()
        },
        &claims(),
    );
    assert_eq!(check(&key, &token).err(), Some(AlbError::Signer));
}

#[test]
fn f04_other_or_missing_issuer_and_client_are_refused() {
    let key = key();
    for (name, error) in [
        ("iss", AlbError::Issuer),
        ("client", AlbError::Client),
        ("signer", AlbError::Signer),
    ] {
        for value in [json!("other"), json!(""), json!(null), json!(7), json!([SIGNER])] {
            let token = forge(&key, &with(good_header(), name, value), &json!({"sub": "alice"}));
            assert_eq!(check(&key, &token).err(), Some(error), "{name}");
        }
    }
    let token = forge(
        &key,
        &good_header(),
        &json!({"sub": "alice", "iss": "https://evil.example"}),
    );
    assert_eq!(check(&key, &token).err(), Some(AlbError::Issuer));
}

#[test]
fn f05_other_algorithms_and_signature_forms_are_refused() {
    let key = key();
    for alg in ["none", "HS256", "ES384", "RS256", "es256"] {
        let token = forge(
            &key,
            &with(good_header(), "alg", json!(alg)),
            &json!({"sub": "alice"}),
        );
        assert_eq!(check(&key, &token).err(), Some(AlbError::Algorithm), "{alg}");
    }
    let token = mint(&key, &header(), &claims());
    let (signed, signature) = token.rsplit_once('.').expect("parts");
    let raw = URL_SAFE.decode(signature).expect("padded");
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").expect("hex");
    let mut der = vec![0x30, 70, 0x02, 33, 0];
    der.extend_from_slice(&raw[..32]);
    der.extend_from_slice(&[0x02, 33, 0]);
    der.extend_from_slice(&raw[32..]);
    let mac = hmac_sha256(key.public_pem().as_bytes(), signed.as_bytes());
    for bad in [
        der,
        raw[..63].to_vec(),
        [raw.as_slice(), &[0]].concat(),
        vec![0; 64],
        [&raw[..32], order.as_slice()].concat(),
        [order.as_slice(), &raw[32..]].concat(),
        mac.to_vec(),
        Vec::new(),
    ] {
        let token = format!("{signed}.{}", URL_SAFE.encode(&bad));
        assert_eq!(
            check(&key, &token).err(),
            Some(AlbError::Signature),
            "{}",
            hex::encode(bad)
        );
    }
}

/// ES256 does not require the smaller S, and nobody may take a token's text for its identity.
#[test]
fn f05b_mirrored_signature_is_accepted() {
    let key = key();
    let token = mint(&key, &header(), &claims());
    let (signed, signature) = token.rsplit_once('.').expect("parts");
    let mut raw = URL_SAFE.decode(signature).expect("padded");
    let order = hex::decode("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551").expect("hex");
    let mut borrow = 0i16;
    for index in (0..32).rev() {
        let difference = i16::from(order[index]) - i16::from(raw[32 + index]) - borrow;
        borrow = i16::from(difference < 0);
        raw[32 + index] = u8::try_from(difference.rem_euclid(256)).expect("a byte");
    }
    let mirrored = format!("{signed}.{}", URL_SAFE.encode(raw));
    assert_ne!(mirrored, token);
    assert!(check(&key, &mirrored).is_ok());
}

#[test]
fn f06_key_ids_that_are_no_uuid_are_refused_before_any_fetch() {
    let key = key();
    for bad in [
        json!("../keys"),
        json!("https://evil.example/key"),
        json!("9c0e2d3a5b1f4c8d9e7a0123456789ab"),
        json!("{9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab}"),
        json!("urn:uuid:9c0e2d3a-5b1f-4c8d-9e7a-0123456789ab"),
        json!(""),
        json!(7),
        json!(null),
    ] {
        let token = forge(
            &key,
            &with(good_header(), "kid", bad.clone()),
            &json!({"sub": "alice"}),
        );
        assert_eq!(kid(&token).err(), Some(AlbError::KeyId), "{bad}");
    }
}

#[test]
fn f07_expiry_is_a_near_number_of_one_mind() {
    let key = key();
    let token = mint(&key, &header(), &claims());
    assert!(check_at(&key, &token, Timestamp::from_secs(header().exp - 1)).is_ok());
    assert_eq!(
        check_at(&key, &token, Timestamp::from_secs(header().exp)).err(),
        Some(AlbError::Expired)
    );
    let far = mint(
        &key,
        &AlbHeader {
            exp: NOW.as_secs() + MAX_LIFETIME_SECS + 1,
            ..header()
        },
        &claims(),
    );
    assert_eq!(check(&key, &far).err(), Some(AlbError::Expiry));
    for exp in [
        json!("1700000060"),
        json!(null),
        json!(1_700_000_060.5),
        json!([1]),
    ] {
        let token = forge(
            &key,
            &with(good_header(), "exp", exp.clone()),
            &json!({"sub": "alice"}),
        );
        assert_eq!(check(&key, &token).err(), Some(AlbError::Expiry), "{exp}");
    }
    for exp in [json!(NOW.as_secs() + 61), json!("1700000060")] {
        let token = forge(&key, &good_header(), &json!({"sub": "alice", "exp": exp}));
        assert_eq!(check(&key, &token).err(), Some(AlbError::Expiry));
    }
}

#[test]
fn f08_only_one_p256_key_in_pem_is_a_key() {
    let key = key();
    let token = mint(&key, &header(), &claims());
    let signers = [SIGNER.to_owned()];
    let expect = AlbExpectation {
        signers: &signers,
        issuer: ISSUER,
        client: CLIENT,
        leeway_secs: 0,
    };
    let pem = key.public_pem();
    assert!(verify(&token, pem.trim(), &expect, NOW).is_ok());
    let p384 = "-----BEGIN PUBLIC KEY-----\nMHYwEAYHKoZIzj0CAQYFK4EEACIDYgAE\n-----END PUBLIC KEY-----\n";
    for bad in [
        format!("{pem}{pem}"),
        "<html>not found</html>".to_owned(),
        String::new(),
        pem.replace("PUBLIC", "PRIVATE"),
        p384.to_owned(),
        pem.replacen("MFkw", "MFkx", 1),
    ] {
        assert_eq!(
            verify(&token, &bad, &expect, NOW).err(),
            Some(AlbError::Key),
            "{bad}"
        );
    }
    assert_eq!(
        verify(&token, &self::key().public_pem(), &expect, NOW).err(),
        Some(AlbError::Signature)
    );
}

#[test]
fn f12_implausible_subjects_are_refused() {
    let key = key();
    for sub in [
        json!(null),
        json!(7),
        json!(""),
        json!("a".repeat(256)),
        json!("a\u{0}b"),
        json!("a\nb"),
    ] {
        let token = forge(&key, &good_header(), &json!({"sub": sub}));
        assert_eq!(check(&key, &token).err(), Some(AlbError::Subject), "{sub}");
    }
    let token = forge(&key, &good_header(), &json!({"email": "alice@example.com"}));
    assert_eq!(check(&key, &token).err(), Some(AlbError::Subject));
    let longest = "ä".repeat(255);
    assert!(check(&key, &forge(&key, &good_header(), &json!({"sub": longest}))).is_ok());
}

#[test]
fn malformed_tokens_are_refused() {
    let key = key();
    let token = mint(&key, &header(), &claims());
    let (signed, _) = token.rsplit_once('.').expect("parts");
    let rfc = format!(
        "{}.{}",
        b64url(good_header().to_string().as_bytes()),
        b64url(b"{}")
    );
    for bad in [
        "",
        ".",
        "..",
        signed,
        &rfc,
        &format!("{token}.x"),
        &format!(" {token}"),
        &"a".repeat(20_000),
    ] {
        assert_eq!(check(&key, bad).err(), Some(AlbError::Malformed), "{bad}");
    }
}
