//! `countersign audit verify`: every hash and signature recomputed, of a database, an export or a single proof.

use std::{path::Path, process::ExitCode};

use anyhow::Context as _;
use countersign_audit::{
    Proof,
    delivery::{Kept, kept_in_s3},
    verify::{self, Export, Report, Trail},
};
use countersign_crypto::JwkSet;

use super::{command::VerifyArgs, online, store::Store};
use crate::{args::Output, output};

/// Records between two lines of progress.
const PROGRESS_EVERY: u64 = 100_000;

/// 0 if nothing was changed, 1 with the places if something was.
pub(crate) async fn run(args: &VerifyArgs, output: Output) -> anyhow::Result<ExitCode> {
    if let Some(path) = &args.proof {
        return proof(path, &keys(args)?, output);
    }
    let against = kept(&args.against).await?;
    let reports = if let Some(path) = &args.export {
        let keys = keys(args)?;
        let export = Export {
            path,
            keys: &keys,
            checkpoints: against.as_ref().map_or("", |kept| &kept.0),
            restored: args.restored,
        };
        verify::verify_export(&export, &mut progress).await?
    } else {
        let Some(stores) = super::open(&args.source).await? else {
            return online::verify(against.as_ref(), output).await;
        };
        databases(
            &stores,
            against.as_ref().map(|kept| kept.0.as_str()),
            args.restored,
        )
        .await?
    };
    match output {
        Output::Json => output::json(&reports)?,
        Output::Text => reports
            .iter()
            .for_each(|report| output::line(report.to_string().trim_end())),
    }
    Ok(exit_code(reports.iter().all(|report| report.ok)))
}

async fn databases(stores: &[Store], against: Option<&str>, restored: i64) -> anyhow::Result<Vec<Report>> {
    let mut reports = vec![];
    for store in stores {
        // The file beside the database always counts; one kept elsewhere is what an intruder could not change.
        let local = store.checkpoints.as_deref().unwrap_or_default();
        let checkpoints = match against {
            // A crash may have cut the local file's last line, which is forgiven only at the end of the text.
            Some(against) => format!("{}{against}", local.rfind('\n').map_or("", |end| &local[..=end])),
            None => local.to_owned(),
        };
        let trail = Trail {
            pool: &store.pool,
            role: store.role,
            keys: &store.keys.signing,
            checkpoints: &checkpoints,
            restored,
        };
        reports.push(
            verify::verify(&trail, &mut progress)
                .await
                .with_context(|| format!("cannot verify the {} chain", store.role))?,
        );
    }
    Ok(reports)
}

fn proof(path: &Path, keys: &JwkSet, output: Output) -> anyhow::Result<ExitCode> {
    let shown = match Proof::parse(&read(path)?)?.check(keys) {
        Ok(shown) => shown,
        Err(error) => {
            output::line(format!("NOT OK: {error}"));
            return Ok(exit_code(false));
        }
    };
    match output {
        Output::Json => output::json(&shown)?,
        Output::Text => {
            let (number, at, database) = (shown.checkpoint, &shown.at, &shown.database);
            output::line(format!(
                "OK: under checkpoint {number} of {at} (database {database})"
            ));
            if let Some(since) = shown.since {
                output::line(format!("  which extends checkpoint {since}"));
            }
            output::line(format!("  {}", shown.record));
        }
    }
    Ok(exit_code(true))
}

/// The key that was named: one inside the file would prove nothing.
fn keys(args: &VerifyArgs) -> anyhow::Result<JwkSet> {
    let path = args.key.as_deref().context("--key names the public keys")?;
    let keys = JwkSet::from_json(read(path)?.as_bytes());
    keys.with_context(|| {
        format!(
            "{} is not a JWK set; `countersign audit export --public-keys FILE` writes one",
            path.display()
        )
    })
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// What was kept at all the places that were named; `None` when none was.
async fn kept(places: &[String]) -> anyhow::Result<Option<Kept>> {
    let mut text = String::new();
    for place in places {
        let found = match place.strip_prefix("s3://") {
            None => Kept::read(Path::new(place))?,
            Some(address) => {
                let (bucket, prefix) = address.split_once('/').unwrap_or((address, ""));
                kept_in_s3(bucket, prefix).await?
            }
        };
        anyhow::ensure!(!found.0.is_empty(), "{place} holds no checkpoint");
        text.push_str(&found.0);
    }
    Ok((!places.is_empty()).then_some(Kept(text)))
}

fn progress(records: u64) {
    if records >= PROGRESS_EVERY && records.is_multiple_of(PROGRESS_EVERY) {
        output::note(format!("{records} records read"));
    }
}

fn exit_code(ok: bool) -> ExitCode {
    if ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
}
