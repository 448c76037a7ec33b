//! That a backup was made is on the trail of each database, before its first row is read: by a chain of its own, which
//! ends with the command. A server may run on the database all the while.

use std::sync::Arc;

use anyhow::Context as _;
use countersign_audit::{Entry, Outcome, Recorder, RecorderConfig};
use countersign_crypto::{Keyring, SharedRandom, SigningKey, SystemClock};
use countersign_db::{ChangeFeed, Pool, is_handed_over};

use super::source::Source;
use crate::key_provider::RootKey;

/// Records `Backup` in the database of `source`, with these details; not where it was handed over before.
pub(super) async fn record(
    source: &Source,
    details: &[(&str, bool)],
    random: &SharedRandom,
) -> anyhow::Result<()> {
    let pool = Pool::connect_beside(&source.database.database(source.role)?).await?;
    let recorded = match is_handed_over(&pool).await {
        // A chain that goes on here would part from the one that goes on there.
        Ok(true) => Ok(()),
        Ok(false) => append(source, &pool, details, random).await,
        Err(error) => Err(error.into()),
    };
    pool.close().await;
    recorded
}

async fn append(
    source: &Source,
    pool: &Pool,
    details: &[(&str, bool)],
    random: &SharedRandom,
) -> anyhow::Result<()> {
    let (signing_key, persons) = keys(source, pool, random).await?;
    let (account, region) = source.place.clone();
    let recorder = Recorder::start(RecorderConfig {
        pool: pool.clone(),
        changes: ChangeFeed::start(pool.clone()).await?,
        clock: Arc::new(SystemClock),
        random: Arc::clone(random),
        signing_key,
        persons,
        checkpoint_file: source.checkpoint_file.clone(),
        role: source.role,
        account,
        region,
    })
    .await?;
    let mut entry = Entry::new("Backup", Outcome::Done);
    for (name, value) in details {
        entry = entry.with_detail(name, *value);
    }
    recorder.record(entry).await?;
    recorder.close().await?;
    Ok(())
}

/// What signs checkpoints, and what seals persons: under the root key, or that of before where no server has been
/// started since it was replaced.
async fn keys(
    source: &Source,
    pool: &Pool,
    random: &SharedRandom,
) -> anyhow::Result<(SigningKey, Arc<Keyring>)> {
    let mut failed = None;
    for root in [Some(&source.root), source.previous.as_ref()]
        .into_iter()
        .flatten()
    {
        match keys_under(root, source.role, pool, random).await {
            Ok(keys) => return Ok(keys),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.context("there is no root key")?)
}

async fn keys_under(
    root: &RootKey,
    role: &str,
    pool: &Pool,
    random: &SharedRandom,
) -> anyhow::Result<(SigningKey, Arc<Keyring>)> {
    let provider = root.open(Arc::clone(random)).await?;
    let (signer, persons) = if role == "gateway" {
        let keys = countersign_gateway::audit_keys(pool, &*provider).await?;
        (keys.signer, keys.persons)
    } else {
        let keys = countersign_identity::audit_keys(pool, &*provider).await?;
        (keys.signer, keys.persons)
    };
    Ok((signer.context("there is no key that signs checkpoints")?, persons))
}
