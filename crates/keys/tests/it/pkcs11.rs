//! The PKCS#11 provider against `SoftHSM`. A module is initialised once in a process and reads its
//! configuration from the environment, so each test runs in a process of its own: it starts itself again
//! with a token store made for it.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use countersign_crypto::{
    EncryptionContext, ExposeSecret as _, KeyProvider as _, KeyProviderError, KeyPurpose, KeyRow, Keyring,
    NewKey, SigningKey, SystemClock, SystemRandom,
};
use countersign_keys::{Pkcs11Config, Pkcs11KeyProvider};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::Attribute;
use cryptoki::session::UserType;
use cryptoki::types::AuthPin;

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const STORE: &str = "COUNTERSIGN_TEST_TOKEN_STORE";
const PIN: &str = "2468";

/// Runs `body` in a process that has an empty token store labelled `countersign`.
fn with_token<F: Future<Output = ()>>(test: &str, body: impl FnOnce() -> F) {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the process knows that it is the second one"
    )]
    let inside = std::env::var_os(STORE).is_some();
    if inside {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        return runtime.block_on(body());
    }
    assert!(
        Path::new(MODULE).exists(),
        "these tests need SoftHSM: apt-get install softhsm2"
    );
    let store = tempfile::tempdir().expect("temporary directory");
    let configuration = store.path().join("softhsm2.conf");
    std::fs::create_dir(store.path().join("tokens")).expect("a directory");
    let tokens = store.path().join("tokens");
    let settings = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\nlog.level = ERROR\n",
        tokens.display()
    );
    std::fs::write(&configuration, settings).expect("writes");
    let initialised = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            "countersign",
            "--so-pin",
            "1357",
            "--pin",
            PIN,
        ])
        .env("SOFTHSM2_CONF", &configuration)
        .output()
        .expect("softhsm2-util");
    assert!(initialised.status.success(), "{initialised:?}");
    let again = Command::new(std::env::current_exe().expect("this program"))
        .args([&format!("pkcs11::{test}"), "--exact", "--nocapture"])
        .env("SOFTHSM2_CONF", &configuration)
        .env(STORE, store.path())
        .output()
        .expect("itself");
    let output = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && output.contains("1 passed"),
        "{output}\n{}",
        String::from_utf8_lossy(&again.stderr)
    );
}

/// Makes an AES key in the token.
fn make_key(label: &str, extractable: bool) {
    let module = Pkcs11::new(MODULE).expect("loads");
    // The provider may have initialised the module before.
    let _ = module.initialize(cryptoki::context::CInitializeArgs::new(
        cryptoki::context::CInitializeFlags::OS_LOCKING_OK,
    ));
    let slot = module.get_slots_with_initialized_token().expect("slots")[0];
    let session = module.open_rw_session(slot).expect("a session");
    session
        .login(UserType::User, Some(&AuthPin::from(PIN.to_owned())))
        .expect("logs in");
    let template = [
        Attribute::Label(label.as_bytes().to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(extractable),
        Attribute::Encrypt(true),
        Attribute::Decrypt(true),
        Attribute::ValueLen(32.into()),
    ];
    session
        .generate_key(&Mechanism::AesKeyGen, &template)
        .expect("generates");
}

fn config() -> Pkcs11Config {
    Pkcs11Config {
        module: MODULE.into(),
        token_label: "countersign".into(),
        key_label: "root key".into(),
        pin: PIN.to_owned().into(),
    }
}

async fn open(config: Pkcs11Config) -> Result<Pkcs11KeyProvider, KeyProviderError> {
    Pkcs11KeyProvider::open(config, Arc::new(SystemRandom)).await
}

#[test]
fn keys_are_wrapped_in_the_token_and_bound_to_their_context() {
    with_token(
        "keys_are_wrapped_in_the_token_and_bound_to_their_context",
        || async {
            make_key("root key", false);
            make_key("another", false);
            let provider = open(config()).await.expect("opens");
            assert_eq!(provider.key_id(), "pkcs11:token=countersign;object=root%20key");
            let context = EncryptionContext::default().with("purpose", "vault");
            let wrapped = provider
                .wrap(b"a key of thirty-two bytes length", &context)
                .await
                .expect("wraps");
            assert!(!wrapped.windows(5).any(|window| window == b"bytes"));
            let key = provider.unwrap(&wrapped, &context).await.expect("unwraps");
            assert_eq!(key.expose_secret(), b"a key of thirty-two bytes length");

            let again = open(config())
                .await
                .expect("a second provider of the same process");
            assert!(again.unwrap(&wrapped, &context).await.is_ok());
            let refused =
                |result: Result<_, KeyProviderError>| matches!(result, Err(KeyProviderError::Refused(_)));
            let other = EncryptionContext::default().with("purpose", "session");
            assert!(refused(provider.unwrap(&wrapped, &other).await));
            for index in 0..wrapped.len() {
                let mut changed = wrapped.clone();
                changed[index] ^= 1;
                assert!(refused(provider.unwrap(&changed, &context).await), "byte {index}");
            }
            assert!(refused(provider.unwrap(&wrapped[..20], &context).await));
            let another = open(Pkcs11Config {
                key_label: "another".into(),
                ..config()
            })
            .await
            .expect("opens");
            assert!(refused(another.unwrap(&wrapped, &context).await));
            assert!(
                provider.unwrap(&wrapped, &context).await.is_ok(),
                "a refusal does not end the session"
            );
        },
    );
}

#[test]
fn the_key_hierarchy_stands_on_it() {
    with_token("the_key_hierarchy_stands_on_it", || async {
        make_key("root key", false);
        let provider = open(config()).await.expect("opens");
        let new = |purpose| NewKey {
            account: "000000000000",
            resource: "arn",
            purpose,
            version: 1,
        };
        let vault =
            KeyRow::generate_symmetric(&provider, &SystemRandom, &SystemClock, new(KeyPurpose::Vault));
        Keyring::unwrap(&provider, &[vault.await.expect("generates")])
            .await
            .expect("unwraps");
        let signing = KeyRow::generate_es256(
            &provider,
            &SystemRandom,
            &SystemClock,
            new(KeyPurpose::AuditSigning),
        );
        SigningKey::unwrap(&provider, &signing.await.expect("generates"))
            .await
            .expect("unwraps");
    });
}

#[test]
fn what_cannot_be_used_is_named() {
    with_token("what_cannot_be_used_is_named", || async {
        make_key("root key", false);
        make_key("exportable", true);
        make_key("twice", false);
        make_key("twice", false);
        for (change, expected) in [
            (
                Pkcs11Config {
                    module: "/nowhere.so".into(),
                    ..config()
                },
                "/nowhere.so",
            ),
            (
                Pkcs11Config {
                    token_label: "other".into(),
                    ..config()
                },
                "no token is labelled \"other\"",
            ),
            (
                Pkcs11Config {
                    key_label: "other".into(),
                    ..config()
                },
                "no AES key labelled \"other\"",
            ),
            (
                Pkcs11Config {
                    key_label: "twice".into(),
                    ..config()
                },
                "several AES keys labelled \"twice\"",
            ),
            (
                Pkcs11Config {
                    key_label: "exportable".into(),
                    ..config()
                },
                "could be read out of the token",
            ),
        ] {
            let error = open(change).await.err().expect("refused").to_string();
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains(PIN), "{error}");
        }
    });
}

#[test]
fn a_wrong_pin_is_refused_and_not_shown() {
    with_token("a_wrong_pin_is_refused_and_not_shown", || async {
        let wrong = Pkcs11Config {
            pin: "0000".to_owned().into(),
            ..config()
        };
        let error = open(wrong).await.err().expect("refused").to_string();
        assert!(error.contains("PIN") && !error.contains("0000"), "{error}");
    });
}

#[test]
fn a_lost_session_is_begun_again_and_a_refused_pin_is_not_offered_again() {
    with_token(
        "a_lost_session_is_begun_again_and_a_refused_pin_is_not_offered_again",
        || async {
            make_key("root key", false);
            let provider = open(config()).await.expect("opens");
            let context = EncryptionContext::default();
            let wrapped = provider.wrap(b"key", &context).await.expect("wraps");

            let module = Pkcs11::new(MODULE).expect("loads");
            let slot = module.get_slots_with_initialized_token().expect("slots")[0];
            let session = module.open_rw_session(slot).expect("a session");
            session.logout().expect("logs the whole process out");
            assert!(provider.unwrap(&wrapped, &context).await.is_ok());

            let pin = |text: &str| AuthPin::from(text.to_owned());
            session.set_pin(&pin(PIN), &pin("8642")).expect("changes the PIN");
            session.logout().expect("logs the whole process out");
            let first = provider
                .unwrap(&wrapped, &context)
                .await
                .expect_err("refused")
                .to_string();
            assert!(first.contains("PIN is incorrect"), "{first}");
            let second = provider
                .unwrap(&wrapped, &context)
                .await
                .expect_err("refused")
                .to_string();
            assert!(second.contains("has refused the PIN"), "{second}");
        },
    );
}
