//! `countersign audit prove`: one record with its path to a signed checkpoint.

use anyhow::{Context as _, bail};
use countersign_audit::{Proof, ProofError, RecordId};

use super::{command::ProveArgs, store::Store};
use crate::output;

pub(super) async fn run(stores: &[Store], args: &ProveArgs) -> anyhow::Result<()> {
    let id: RecordId = args
        .id
        .parse()
        .context("a record id is <writer>-<number>, as `countersign audit tail` shows it")?;
    for store in stores {
        let since = match &args.since {
            Some(path) => Some(oldest(path, store)?),
            None => None,
        };
        match Proof::of(&store.pool, &id, since.as_deref()).await {
            Ok(proof) => return output::json(&proof),
            Err(ProofError::NoRecord(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("there is no record {id}; `countersign audit tail` shows record ids");
}

/// The last line in the file that is about this store's role: what somebody kept.
fn oldest(path: &std::path::Path, store: &Store) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let role = format!(r#""role":"{}""#, store.role);
    let line = text.lines().rfind(|line| line.contains(&role));
    line.map(str::to_owned).with_context(|| {
        format!(
            "{} holds no checkpoint of the {} chain",
            path.display(),
            store.role
        )
    })
}
