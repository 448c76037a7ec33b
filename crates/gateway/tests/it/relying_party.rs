//! The gateway as a relying party: the negative cases of the OpenID Foundation's conformance suite for relying parties
//! (<https://openid.net/certification/rp_testing/>), one test each under its name there, and providers that lie in
//! their answers' form. The code, nonce and PKCE are right in all of them; only what is named is wrong.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{Browser, Fault, Forgery, Key, Lie, System};

/// A login with such an ID token; answers the status, and the reason of the refusal if there is one.
async fn log_in(system: &mut System, forgery: Forgery) -> (u16, Option<String>) {
    system.provider.forge(forgery);
    let mut browser = Browser::new();
    let answer = browser.follow(&format!("{}/connections", system.account)).await;
    let tickets = browser.cookies_of("countersign-account-").len();
    assert_eq!(
        tickets,
        usize::from(answer.status == 200),
        "a ticket for who is logged in"
    );
    let refused = system
        .audit()
        .await
        .into_iter()
        .find(|(action, ..)| action == "LoginRefused");
    (answer.status, refused.and_then(|(_, _, reason)| reason))
}

async fn assert_refused(forgery: Forgery, reason: &str) {
    let mut system = System::start().await;
    system.provider.publish(&[Key::First, Key::Rsa]);
    let shown = format!("{forgery:?}");
    let outcome = log_in(&mut system, forgery).await;
    assert_eq!(outcome, (401, Some(reason.to_owned())), "{shown}");
}

async fn assert_claims_refused(claims: Value, reason: &str) {
    let forgery = Forgery {
        claims,
        ..Forgery::default()
    };
    assert_refused(forgery, reason).await;
}

const INVALID: &str = "AuthInvalidIdToken";

#[tokio::test]
async fn a_true_id_token_is_accepted_in_both_algorithms() {
    for key in [Key::First, Key::Rsa] {
        let mut system = System::start().await;
        system.provider.publish(&[Key::First, Key::Rsa]);
        let forgery = Forgery {
            key,
            ..Forgery::default()
        };
        assert_eq!(log_in(&mut system, forgery).await, (200, None), "{key:?}");
    }
}

#[tokio::test]
async fn rp_invalid_iss() {
    assert_claims_refused(json!({ "iss": "https://evil.example" }), INVALID).await;
    assert_claims_refused(json!({ "iss": null }), INVALID).await;
}

#[tokio::test]
async fn rp_missing_sub() {
    assert_claims_refused(json!({ "sub": null }), INVALID).await;
    assert_claims_refused(json!({ "sub": "" }), INVALID).await;
    assert_claims_refused(json!({ "sub": 1001 }), INVALID).await;
}

#[tokio::test]
async fn rp_invalid_aud() {
    for aud in [json!("somebody"), json!(["somebody"]), json!([]), json!(null)] {
        assert_claims_refused(json!({ "aud": aud }), INVALID).await;
    }
}

#[tokio::test]
async fn rp_missing_iat() {
    assert_claims_refused(json!({ "iat": null }), INVALID).await;
}

#[tokio::test]
async fn rp_nonce_invalid() {
    let reason = "AuthInvalidAWSALBAuthNonce";
    assert_claims_refused(json!({ "nonce": "another" }), reason).await;
    assert_claims_refused(json!({ "nonce": null }), reason).await;
}

#[tokio::test]
async fn rp_invalid_sig_rs256() {
    let forgery = Forgery {
        key: Key::Rsa,
        broken: true,
        ..Forgery::default()
    };
    assert_refused(forgery, INVALID).await;
}

#[tokio::test]
async fn rp_invalid_sig_es256() {
    let forgery = Forgery {
        broken: true,
        ..Forgery::default()
    };
    assert_refused(forgery, INVALID).await;
}

#[tokio::test]
async fn rp_idtoken_sig_none() {
    for header in [json!({ "alg": "none" }), json!({ "alg": "none", "kid": null })] {
        let forgery = Forgery {
            header,
            ..Forgery::default()
        };
        assert_refused(forgery, INVALID).await;
    }
}

#[tokio::test]
async fn rp_kid_absent_single_jwks() {
    let mut system = System::start().await;
    let without = || Forgery {
        header: json!({ "kid": null }),
        ..Forgery::default()
    };
    assert_eq!(
        log_in(&mut system, without()).await,
        (200, None),
        "the key is beyond doubt"
    );
}

#[tokio::test]
async fn rp_kid_absent_multiple_jwks() {
    let mut system = System::start().await;
    system.provider.publish(&[Key::First, Key::Second]);
    let without = Forgery {
        header: json!({ "kid": null }),
        ..Forgery::default()
    };
    assert_eq!(
        log_in(&mut system, without).await,
        (401, Some(INVALID.to_owned()))
    );
}

#[tokio::test]
async fn rp_signing_key_rotation() {
    let mut system = System::start().await;
    system.logged_in("alice").await;
    system.provider.publish(&[Key::Second]);
    // Keys are asked for again at most every few seconds.
    system.clock.advance(Duration::from_secs(6));
    system.provider.forge(Forgery {
        key: Key::Second,
        ..Forgery::default()
    });
    system.logged_in("bob").await;
    // The key of before is worth nothing once it is not published.
    system.clock.advance(Duration::from_secs(6));
    let old = log_in(&mut system, Forgery::default()).await;
    assert_eq!(old, (401, Some(INVALID.to_owned())));
}

#[tokio::test]
async fn rp_userinfo_invalid_sub() {
    let mut system = System::start().await;
    system.provider.lie(Lie::UserinfoOfSomebodyElse);
    let outcome = log_in(&mut system, Forgery::default()).await;
    assert_eq!(outcome, (401, Some("AuthInvalidUserinfoResponse".to_owned())));
}

/// A session whose claims are refreshed with such an ID token.
async fn assert_refresh_refused(claims: Value) {
    let mut system = System::start().await;
    system.provider.give_refresh_tokens();
    let mut alice = system.logged_in("alice").await;
    let url = format!("{}/", system.app);
    system.provider.forge(Forgery {
        claims: json!({ "nonce": null }),
        ..Forgery::default()
    });
    system.clock.advance(Duration::from_secs(301));
    assert_eq!(alice.get(&url).await.status, 200, "a true one refreshes");
    system.provider.forge(Forgery {
        claims: claims.clone(),
        ..Forgery::default()
    });
    system.clock.advance(Duration::from_secs(301));
    assert_eq!(alice.get(&url).await.status, 302, "{claims}: to log in again");
    let refused = (
        "RefreshSession".to_owned(),
        "refused".to_owned(),
        Some(INVALID.to_owned()),
    );
    assert!(system.audit().await.contains(&refused), "{claims}");
}

#[tokio::test]
async fn rp_refresh_token_invalid_issuer() {
    assert_refresh_refused(json!({ "iss": "https://evil.example" })).await;
}

#[tokio::test]
async fn rp_refresh_token_invalid_sub() {
    assert_refresh_refused(json!({ "sub": "mallory-1" })).await;
}

#[tokio::test]
async fn rp_azp() {
    assert_claims_refused(json!({ "azp": "somebody" }), INVALID).await;
    assert_claims_refused(json!({ "aud": ["gateway", "somebody"] }), INVALID).await;
    assert_claims_refused(
        json!({ "aud": ["gateway", "somebody"], "azp": "somebody" }),
        INVALID,
    )
    .await;
    let mut system = System::start().await;
    let forgery = Forgery {
        claims: json!({ "aud": ["gateway", "somebody"], "azp": "gateway" }),
        ..Forgery::default()
    };
    assert_eq!(log_in(&mut system, forgery).await, (200, None));
}

/// An answer that has no end, comes late or sends us elsewhere: nobody is logged in, nothing is waited for beyond the
/// time-out of an ALB, and no token or code goes anywhere but to the provider. The status is 500 but for a provider
/// that answers with an error (561).
async fn assert_fault_refused(fault: Fault, userinfo: u16) {
    for (path, status) in [
        ("/.well-known/openid-configuration", 500),
        ("/jwks", 500),
        ("/token", 500),
        ("/userinfo", userinfo),
    ] {
        let mut system = System::start().await;
        system.provider.misbehave(path, fault);
        let mut browser = Browser::new();
        let began = tokio::time::Instant::now();
        let answer = browser.follow(&format!("{}/connections", system.account)).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(browser.cookies_of("countersign-account-").is_empty(), "{path}");
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "{path}: {:?}",
            began.elapsed()
        );
        assert!(!system.provider.led_astray(), "{path}");
        let audit = system.audit().await;
        assert!(
            audit.iter().all(|(action, ..)| action != "Login"),
            "{path}: {audit:?}"
        );
    }
}

#[tokio::test]
async fn a_provider_with_endless_answers_gets_nobody_in() {
    assert_fault_refused(Fault::Huge, 500).await;
}

#[tokio::test]
async fn a_provider_that_is_slow_gets_nobody_in() {
    assert_fault_refused(Fault::Slow, 500).await;
}

#[tokio::test]
async fn a_provider_that_redirects_us_gets_nobody_in() {
    assert_fault_refused(Fault::Redirects, 561).await;
}
