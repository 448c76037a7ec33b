//! Rotation of the keys of an account (design D27), while callers go on.

use std::time::Duration;

use countersign_api::admin::{Key, KeyPurpose, KeyState};
use countersign_api::{Client, ErrorCode, admin, control, data};
use countersign_identity::AccessKey;

use crate::world::{World, allow, call, code, worlds};

/// Long enough for every replica to hold a new key.
const SETTLED: Duration = Duration::from_secs(10);
const SECRET: &str = "sk-the-key-of-the-weather-service";

async fn keys(admin: &Client, purpose: KeyPurpose) -> Vec<Key> {
    let listed = call::<admin::ListKeys>(admin, admin::list_keys::Input::default()).await;
    let mut keys = listed.expect("a list").keys;
    keys.retain(|key| key.purpose == purpose);
    keys
}

async fn rotate(admin: &Client, purpose: KeyPurpose) -> Key {
    let rotated = call::<admin::RotateKey>(admin, admin::rotate_key::Input { purpose }).await;
    rotated.expect("rotated").key
}

async fn retire(admin: &Client, key: &Key, force: Option<bool>) -> Result<Key, countersign_api::ClientError> {
    let input = admin::retire_key::Input {
        key_id: key.key_id.clone(),
        force,
    };
    Ok(call::<admin::RetireKey>(admin, input).await?.key)
}

async fn resealed(admin: &Client, old: &Key) {
    for _ in 0..200 {
        let keys = keys(admin, old.purpose).await;
        let old = keys.iter().find(|key| key.key_id == old.key_id);
        if old.and_then(|key| key.sealed_values) == Some(0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("values are still sealed under {}", old.key_id);
}

/// A credential provider with a sealed key, and a caller who may read it.
async fn reader(world: &World) -> AccessKey {
    let input = control::create_api_key_credential_provider::Input {
        name: "weather".to_owned(),
        api_key: Some(SECRET.to_owned().into()),
        ..Default::default()
    };
    call::<control::CreateApiKeyCredentialProvider>(&world.admin(), input)
        .await
        .expect("a provider");
    let document = allow(&[
        "bedrock-agentcore:GetWorkloadAccessToken",
        "bedrock-agentcore:GetResourceApiKey",
    ]);
    world.principal("reader", document).await
}

/// The agent's own way to the key: a workload access token first, which another key seals.
async fn read(agent: &Client) -> Result<(), countersign_api::ClientError> {
    let token = call::<data::GetWorkloadAccessToken>(
        agent,
        data::get_workload_access_token::Input {
            workload_name: "dev-agent".to_owned(),
        },
    )
    .await?;
    let input = data::get_resource_api_key::Input {
        resource_credential_provider_name: "weather".to_owned(),
        workload_identity_token: token.workload_access_token,
    };
    let answer = call::<data::GetResourceApiKey>(agent, input).await?;
    assert_eq!(answer.api_key.expose(), SECRET);
    Ok(())
}

/// V2: nobody who reads or writes meanwhile notices, everything is sealed anew, and only then the old key can go.
#[tokio::test]
async fn v02_keys_rotate_under_callers_and_the_old_key_goes_when_nothing_needs_it() {
    for world in worlds().await {
        let reader = reader(&world).await;
        let (admin, agent) = (world.admin(), world.client(&reader));
        for purpose in [KeyPurpose::Vault, KeyPurpose::Credential] {
            let old = keys(&admin, purpose).await.remove(0);
            let refused = retire(&admin, &old, None).await;
            assert_eq!(
                code(refused),
                ErrorCode::Conflict,
                "{}: the primary key",
                world.engine
            );

            let rotation = rotate(&admin, purpose);
            tokio::pin!(rotation);
            let mut reads = 0;
            let new = loop {
                tokio::select! {
                    new = &mut rotation => break new,
                    read = read(&agent) => read.expect("a read in the middle of it"),
                }
                reads += 1;
            };
            assert!(reads > 10, "{}: {reads}", world.engine);
            assert_eq!((new.version, new.state), (2, KeyState::Primary));
            let states: Vec<_> = keys(&admin, purpose).await.iter().map(|key| key.state).collect();
            assert_eq!(states, [KeyState::Enabled, KeyState::Primary]);

            let refused = retire(&admin, &old, Some(true)).await;
            assert_eq!(code(refused), ErrorCode::Conflict, "{}: at once", world.engine);
            world.clock.advance(SETTLED);
            resealed(&admin, &old).await;
            if purpose == KeyPurpose::Credential {
                let refused = retire(&admin, &old, None).await;
                assert_eq!(
                    code(refused),
                    ErrorCode::Conflict,
                    "temporary credentials may be out"
                );
            }
            let force = (purpose == KeyPurpose::Credential).then_some(true);
            let retired = retire(&admin, &old, force).await.expect("nothing needs it");
            assert_eq!(retired.state, KeyState::Retired);
            assert_eq!(
                code(retire(&admin, &old, force).await),
                ErrorCode::Conflict,
                "twice"
            );
            read(&agent).await.expect("under the new key");
        }
        // API keys lie under the credential key, and nothing else is stored here.
        let records = world.records("ResealValues").await;
        assert_eq!(records.len(), 1, "{}: {records:?}", world.engine);

        let world = Box::pin(world.restarted()).await;
        read(&world.client(&reader)).await.expect("after a restart");
        world.close().await;
    }
}

#[tokio::test]
async fn workload_access_tokens_outlive_a_rotation_and_end_with_their_key() {
    for world in worlds().await {
        let reader = reader(&world).await;
        let (admin, agent) = (world.admin(), world.client(&reader));
        let old = keys(&admin, KeyPurpose::WorkloadAccessToken).await.remove(0);
        let token = call::<data::GetWorkloadAccessToken>(
            &agent,
            data::get_workload_access_token::Input {
                workload_name: "dev-agent".to_owned(),
            },
        )
        .await
        .expect("a token")
        .workload_access_token;
        let input = data::get_resource_api_key::Input {
            resource_credential_provider_name: "weather".to_owned(),
            workload_identity_token: token,
        };
        rotate(&admin, KeyPurpose::WorkloadAccessToken).await;
        world.clock.advance(SETTLED);
        call::<data::GetResourceApiKey>(&agent, input.clone())
            .await
            .expect("the old key opens");
        assert_eq!(
            code(retire(&admin, &old, None).await),
            ErrorCode::Conflict,
            "{}",
            world.engine
        );
        retire(&admin, &old, Some(true)).await.expect("by force");
        let refused = call::<data::GetResourceApiKey>(&agent, input).await;
        assert!(refused.is_err(), "{}: the token went with its key", world.engine);
        read(&agent).await.expect("a new token");
        world.close().await;
    }
}

/// On PostgreSQL: what one replica seals under the new key, the other opens, from the first moment.
#[tokio::test]
async fn another_replica_follows_a_rotation() {
    for world in worlds().await {
        if world.engine != "postgres" {
            world.close().await;
            continue;
        }
        let reader = reader(&world).await;
        let other = world.replica().await;
        let (admin, here, there) = (world.admin(), world.client(&reader), other.client(&reader));
        let old = keys(&admin, KeyPurpose::Vault).await.remove(0);
        let rotation = rotate(&admin, KeyPurpose::Vault);
        tokio::pin!(rotation);
        let mut opened_first = false;
        loop {
            tokio::select! {
                _ = &mut rotation => break,
                read = read(&there) => read.expect("the other replica goes on"),
            }
            let states: Vec<_> = keys(&admin, KeyPurpose::Vault)
                .await
                .iter()
                .map(|key| key.state)
                .collect();
            opened_first |= states == [KeyState::Primary, KeyState::Enabled];
        }
        assert!(
            opened_first,
            "a replica that is behind opens what the new key seals"
        );
        // One of these writes is the first under the new key.
        for _ in 0..40 {
            let input = control::update_api_key_credential_provider::Input {
                name: "weather".to_owned(),
                api_key: Some(SECRET.to_owned().into()),
                ..Default::default()
            };
            call::<control::UpdateApiKeyCredentialProvider>(&admin, input)
                .await
                .expect("written here");
            read(&there).await.expect("read there at once");
        }
        world.clock.advance(SETTLED);
        resealed(&admin, &old).await;
        retire(&admin, &old, None).await.expect("nothing needs it");
        for _ in 0..20 {
            read(&here).await.expect("here");
            read(&there).await.expect("there");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        other.close().await;
        world.close().await;
    }
}

/// A value that was sealed before the rotation and is written long after the pass, by a replica whose store was away.
#[tokio::test]
async fn what_is_written_late_is_sealed_anew_too() {
    for world in worlds().await {
        // Beside the role; a SQLite file has one writer.
        if world.engine == "sqlite" {
            continue;
        }
        reader(&world).await;
        let admin = world.admin();
        world
            .execute("CREATE TABLE late AS SELECT api_key FROM api_key_provider")
            .await;
        let old = keys(&admin, KeyPurpose::Credential).await.remove(0);
        rotate(&admin, KeyPurpose::Credential).await;
        world.clock.advance(SETTLED);
        resealed(&admin, &old).await;
        // So that the pass has ended as well.
        tokio::time::sleep(Duration::from_secs(3)).await;
        world
            .execute("UPDATE api_key_provider SET api_key = (SELECT api_key FROM late)")
            .await;
        world.clock.advance(Duration::from_mins(20));
        resealed(&admin, &old).await;
        world.close().await;
    }
}
