//! `countersign key …` for the keys of the account: of the vault, of credentials, of workload access tokens.

use std::time::Duration;

use anyhow::Context as _;
use countersign_api::admin as api;
use serde_json::Value;

use super::Admin;
use crate::{args::Output, output};

const COLUMNS: &[&str] = &[
    "keyId",
    "purpose",
    "version",
    "state",
    "sealedValues",
    "createdTime",
];
/// How often `--wait` asks.
const ASK: Duration = Duration::from_secs(1);

/// `key list`.
pub(crate) async fn list(output: Output) -> anyhow::Result<()> {
    let admin = Admin::connect(output)?;
    let mut listed = api::list_keys::Output {
        keys: Vec::new(),
        next_token: None,
    };
    // Few keys, so all pages at once.
    loop {
        let page = keys(&admin, listed.next_token.take()).await?;
        listed.keys.extend(page.keys);
        listed.next_token = page.next_token;
        if listed.next_token.is_none() {
            return admin.show_list(&listed, "keys", COLUMNS);
        }
    }
}

/// `key rotate`.
pub(crate) async fn rotate(purpose: &str, wait: bool, output: Output) -> anyhow::Result<()> {
    let admin = Admin::connect(output)?;
    let purpose = serde_json::from_value(Value::from(purpose)).with_context(|| {
        format!("'{purpose}' is none of vault, credential, workload-access-token (with --gateway other keys rotate)")
    })?;
    let rotated = admin
        .call::<api::RotateKey>(&api::rotate_key::Input { purpose })
        .await?;
    if wait {
        await_resealed(&admin, purpose).await?;
    }
    admin.show(&rotated)
}

/// Returns when no key of `purpose` but the primary one has values.
async fn await_resealed(admin: &Admin, purpose: api::KeyPurpose) -> anyhow::Result<()> {
    let mut told = None;
    loop {
        let (mut left, mut next_token) = (0, None);
        loop {
            let page = keys(admin, next_token).await?;
            let of_purpose = page.keys.iter().filter(|key| key.purpose == purpose);
            left += of_purpose.filter_map(|key| key.sealed_values).sum::<i64>();
            next_token = page.next_token;
            if next_token.is_none() {
                break;
            }
        }
        if left == 0 {
            return Ok(());
        }
        if told != Some(left) {
            output::note(format!("{left} values are still sealed under the key before"));
            told = Some(left);
        }
        tokio::time::sleep(ASK).await;
    }
}

async fn keys(admin: &Admin, next_token: Option<String>) -> anyhow::Result<api::list_keys::Output> {
    let input = api::list_keys::Input {
        next_token,
        ..api::list_keys::Input::default()
    };
    admin.call::<api::ListKeys>(&input).await
}

/// `key retire`.
pub(crate) async fn retire(key_id: String, force: bool, output: Output) -> anyhow::Result<()> {
    let admin = Admin::connect(output)?;
    let input = api::retire_key::Input {
        key_id,
        force: force.then_some(true),
    };
    admin.show(&admin.call::<api::RetireKey>(&input).await?)
}
