//! Tokens that come from outside: an Application Load Balancer's (padded, with its own header), a JWT of a person or a
//! program, a key set. Only what our key has signed is accepted, byte for byte, and nothing that is read on the way
//! panics.
#![no_main]

use std::sync::LazyLock;

use countersign_crypto::{
    Algorithm, ExposeSecret as _, JwkSet, JwtPolicy, SigningKey, Timestamp, alb, peek_issuer, verify_jwt,
};
use libfuzzer_sys::fuzz_target;

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://a.example";
const SIGNER: &str = "arn:aws:elasticloadbalancing:us-east-1:000000000000:loadbalancer/app/a/1";

struct Known {
    keys: JwkSet,
    jwt: String,
    alb: String,
    pem: String,
    signers: Vec<String>,
}

impl Known {
    fn accepts_alb(&self, token: &str) -> bool {
        let expected =
            alb::AlbExpectation { signers: &self.signers, issuer: ISSUER, client: "client", leeway_secs: 0 };
        alb::verify(token, &self.pem, &expected, Timestamp::from_secs(NOW)).is_ok()
    }
}

const KID: &str = "0b4f8f6a-6c9e-4d0e-9a55-1f2e3d4c5b6a";

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let key = SigningKey::from_pkcs8(KID, SigningKey::generate_pkcs8().expose_secret()).expect("a key");
    let claims = serde_json::json!({ "iss": ISSUER, "aud": "b", "sub": "c", "exp": NOW + 60, "iat": NOW });
    let serde_json::Value::Object(claims) = claims else { unreachable!("an object") };
    let header = alb::AlbHeader {
        iss: ISSUER.to_owned(),
        client: "client".to_owned(),
        signer: SIGNER.to_owned(),
        exp: NOW + 60,
    };
    let known = Known {
        keys: JwkSet { keys: vec![key.public_jwk()] },
        jwt: key.sign_jwt(serde_json::Map::new(), &claims).expect("an object"),
        alb: alb::mint(&key, &header, &claims),
        pem: key.public_pem(),
        signers: vec![SIGNER.to_owned()],
    };
    // Else nothing below would say anything.
    assert!(verify_jwt(&known.jwt, &known.keys, &policy(), Timestamp::from_secs(NOW)).is_ok());
    assert!(known.accepts_alb(&known.alb));
    known
});

fn policy() -> JwtPolicy<'static> {
    JwtPolicy {
        issuer: ISSUER,
        audiences: &["b"],
        algorithms: &[Algorithm::Es256, Algorithm::Rs256],
        leeway_secs: 0,
        typ: None,
    }
}

fn check(token: &str) {
    let known = &*KNOWN;
    let now = Timestamp::from_secs(NOW);
    let accepted = verify_jwt(token, &known.keys, &policy(), now).is_ok();
    assert_eq!(accepted, token == known.jwt, "{token}");
    let _ = peek_issuer(token);
    let _ = (alb::kid(token), alb::peek_signer(token));
    assert_eq!(known.accepts_alb(token), token == known.alb, "{token}");
}

fuzz_target!(|bytes: &[u8]| {
    if let Ok(keys) = JwkSet::from_json(bytes) {
        let _ = keys.find(KID);
        let _ = verify_jwt(&KNOWN.jwt, &keys, &policy(), Timestamp::from_secs(NOW));
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    check(text);
    // Near a good one: the input says where and what to change.
    if let [at, other, ..] = bytes {
        for good in [&KNOWN.jwt, &KNOWN.alb] {
            let mut near = good.clone().into_bytes();
            let at = usize::from(*at) * near.len() / 256;
            near[at] = other % 0x80;
            if let Ok(near) = String::from_utf8(near) {
                check(&near);
            }
        }
    }
});
