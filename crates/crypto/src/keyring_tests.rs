//! Sealing, rotation, and keys that must not be moved.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::FileKeyProvider;
use crate::testing::{ManualClock, SeededRandom};

const VAULT: &str = "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default";

struct Fixture {
    _directory: tempfile::TempDir,
    provider: FileKeyProvider,
    random: SeededRandom,
    clock: ManualClock,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().expect("temporary directory");
    let random = Arc::new(SeededRandom::new(1));
    let provider =
        FileKeyProvider::open_or_create(&directory.path().join("root.key"), random).expect("creates");
    Fixture {
        _directory: directory,
        provider,
        random: SeededRandom::new(2),
        clock: ManualClock::new(Timestamp::from_secs(1_700_000_000)),
    }
}

impl Fixture {
    async fn row(&self, purpose: KeyPurpose, version: i64) -> KeyRow {
        let new = NewKey {
            account: "000000000000",
            resource: VAULT,
            purpose,
            version,
        };
        KeyRow::generate_symmetric(&self.provider, &self.random, &self.clock, new)
            .await
            .expect("generates")
    }
}

fn place(row: &str) -> Aad {
    Aad::new("000000000000", "token_grant", row, "access_token")
}

#[tokio::test]
async fn sealed_values_open_only_at_their_place() {
    let fixture = fixture();
    let row = fixture.row(KeyPurpose::Vault, 1).await;
    let ring = Keyring::unwrap(&fixture.provider, std::slice::from_ref(&row))
        .await
        .expect("unwraps");
    let sealed = ring.seal(&fixture.random, &place("1"), b"token");
    assert_eq!(
        ring.open(&place("1"), sealed.as_bytes())
            .expect("opens")
            .expose_secret(),
        b"token"
    );
    assert_eq!(
        ring.open(&place("2"), sealed.as_bytes()).err(),
        Some(OpenError::Authentication)
    );
    let prefix = Keyring::sealed_prefix(&row.id).expect("the id of a key");
    assert!(sealed.as_bytes().starts_with(&prefix));
    for index in 0..sealed.as_bytes().len() {
        let mut changed = sealed.as_bytes().to_vec();
        changed[index] ^= 1;
        assert!(ring.open(&place("1"), &changed).is_err(), "byte {index}");
    }
}

#[tokio::test]
async fn rotation_keeps_old_values_readable_until_retired() {
    let fixture = fixture();
    let mut old = fixture.row(KeyPurpose::Vault, 1).await;
    let ring = Keyring::unwrap(&fixture.provider, std::slice::from_ref(&old))
        .await
        .expect("unwraps");
    let sealed = ring.seal(&fixture.random, &place("1"), b"token");
    let token = ring.seal_token(&fixture.random, &place("wat"), b"claims");

    let new = fixture.row(KeyPurpose::Vault, 2).await;
    assert!(matches!(
        Keyring::unwrap(&fixture.provider, &[old.clone(), new.clone()]).await,
        Err(KeyError::Rows)
    ));
    old.state = KeyState::Enabled;
    let both = Keyring::unwrap(&fixture.provider, &[old.clone(), new.clone()])
        .await
        .expect("unwraps");
    assert_eq!(both.primary_id(), new.id);
    assert_eq!(
        both.open(&place("1"), sealed.as_bytes())
            .expect("opens")
            .expose_secret(),
        b"token"
    );
    assert_eq!(
        both.open_token(&place("wat"), &token)
            .expect("opens")
            .expose_secret(),
        b"claims"
    );
    assert_ne!(both.derive("csrf"), ring.derive("csrf"));

    old.state = KeyState::Retired;
    let later = Keyring::unwrap(&fixture.provider, &[old, new])
        .await
        .expect("unwraps");
    assert_eq!(
        later.open(&place("1"), sealed.as_bytes()).err(),
        Some(OpenError::UnknownKey)
    );
    assert_eq!(
        later.open_token(&place("wat"), &token).err(),
        Some(OpenError::UnknownKey)
    );
}

#[tokio::test]
async fn a_key_cannot_be_moved_to_another_purpose_account_or_id() {
    let fixture = fixture();
    let row = fixture.row(KeyPurpose::Session, 1).await;
    let moves: [fn(&mut KeyRow); 5] = [
        |row| row.purpose = KeyPurpose::Vault,
        |row| row.account = "111111111111".into(),
        |row| row.resource = "arn:other".into(),
        |row| row.version = 2,
        |row| row.id = "00000000-0000-4000-8000-000000000000".into(),
    ];
    for change in moves {
        let mut changed = row.clone();
        change(&mut changed);
        let result = Keyring::unwrap(&fixture.provider, &[changed]).await;
        assert!(matches!(
            result,
            Err(KeyError::Provider(KeyProviderError::Refused(_)))
        ));
    }
}

#[tokio::test]
async fn a_token_is_no_sealed_value_and_has_one_spelling() {
    let fixture = fixture();
    let row = fixture.row(KeyPurpose::WorkloadAccessToken, 1).await;
    let ring = Keyring::unwrap(&fixture.provider, &[row]).await.expect("unwraps");
    let token = ring.seal_token(&fixture.random, &place("wat"), b"claims");
    let bytes = b64url_decode(&token).expect("base64url");
    assert_eq!(ring.open(&place("wat"), &bytes).err(), Some(OpenError::Malformed));
    assert_eq!(
        ring.open_token(&place("wat"), &format!("{token}=")).err(),
        Some(OpenError::Malformed)
    );
    assert_eq!(
        ring.open_token(&place("other"), &token).err(),
        Some(OpenError::Authentication)
    );
    assert_eq!(
        ring.open_token(&place("wat"), "").err(),
        Some(OpenError::Malformed)
    );
}

#[test]
fn names_round_trip() {
    for purpose in KeyPurpose::ALL {
        assert_eq!(purpose.as_str().parse::<KeyPurpose>().expect("known"), purpose);
    }
    for state in [KeyState::Primary, KeyState::Enabled, KeyState::Retired] {
        assert_eq!(state.as_str().parse::<KeyState>().expect("known"), state);
    }
    assert!("Vault".parse::<KeyPurpose>().is_err());
}

proptest! {
    #[test]
    fn any_value_round_trips_and_no_change_opens(
        value in proptest::collection::vec(any::<u8>(), 0..200),
        seed: u64,
        flip in any::<prop::sample::Index>(),
    ) {
        let random = SeededRandom::new(seed);
        let key = random_bytes::<32>(&random);
        let mut sealed = crate::seal_under(&key, &random, &place("1"), &value);
        let opened = crate::open_under(&key, &place("1"), &sealed).expect("opens");
        prop_assert_eq!(opened.expose_secret(), &value[..]);
        let index = flip.index(sealed.len());
        sealed[index] ^= 0x80;
        prop_assert!(crate::open_under(&key, &place("1"), &sealed).is_err());
    }
}
