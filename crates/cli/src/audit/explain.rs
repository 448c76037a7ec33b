//! `countersign audit explain`: how one token came to be used.

use anyhow::bail;
use countersign_audit::explain::{self, Source};

use super::store::Store;
use crate::{args::Output, output};

pub(super) async fn explain(stores: &[Store], id: &str, output: Output) -> anyhow::Result<()> {
    let sources: Vec<Source<'_>> = stores
        .iter()
        .map(|store| Source {
            pool: &store.pool,
            persons: Some(&store.persons),
        })
        .collect();
    let Some(explanation) = explain::explain(&sources, id).await? else {
        bail!("no record, request or grant has the id {id}; `countersign audit tail` shows record ids");
    };
    match output {
        Output::Json => output::json(&explanation),
        Output::Text => {
            output::line(explanation.to_string().trim_end());
            Ok(())
        }
    }
}
