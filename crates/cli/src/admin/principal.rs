//! `countersign principal …`.

use std::{collections::BTreeMap, path::PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};
use countersign_api::admin as api;
use countersign_crypto::parse_strict_json;

use super::{Admin, stop};
use crate::args::{Page, StopOptions, tag};

#[derive(Debug, Subcommand)]
pub(crate) enum PrincipalCommand {
    /// Create a principal. It may do nothing until it has a policy.
    Create {
        name: String,
        #[command(flatten)]
        attributes: Attributes,
    },
    /// Show one.
    Get { name: String },
    /// List them.
    List(Page),
    /// Replace its tags, its trust policy, or both.
    Update {
        name: String,
        #[command(flatten)]
        attributes: Attributes,
    },
    /// Delete it with its access keys and policy.
    Delete { name: String },
    /// Stop it: all its calls are refused, on any replica, within a second.
    Stop {
        name: String,
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lift the stop.
    Start { name: String },
}

#[derive(Debug, Args)]
pub(crate) struct Attributes {
    /// A tag, which policies compare as aws:PrincipalTag/KEY; give it once for each. Replaces all that there are.
    #[arg(long = "tag", value_name = "KEY=VALUE", value_parser = tag)]
    tags: Vec<(String, String)>,
    /// A trust policy (JSON): which workload tokens may assume the principal as a role.
    #[arg(long, value_name = "FILE")]
    trust_policy: Option<PathBuf>,
}

impl Attributes {
    fn tags(&self) -> Option<BTreeMap<String, String>> {
        (!self.tags.is_empty()).then(|| self.tags.iter().cloned().collect())
    }

    fn trust_policy(&self) -> anyhow::Result<Option<api::TrustPolicy>> {
        let Some(path) = &self.trust_policy else {
            return Ok(None);
        };
        let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let parsed = parse_strict_json(&text).map_err(anyhow::Error::from);
        parsed
            .and_then(|document| Ok(serde_json::from_value(document)?))
            .with_context(|| format!("{} is not a trust policy", path.display()))
            .map(Some)
    }
}

pub(super) async fn run(admin: &Admin, command: PrincipalCommand) -> anyhow::Result<()> {
    match command {
        PrincipalCommand::Create { name, attributes } => {
            let input = api::create_principal::Input {
                principal_name: name,
                tags: attributes.tags(),
                trust_policy: attributes.trust_policy()?,
            };
            admin.show(&admin.call::<api::CreatePrincipal>(&input).await?)
        }
        PrincipalCommand::Get { name } => {
            let input = api::get_principal::Input { principal_name: name };
            admin.show(&admin.call::<api::GetPrincipal>(&input).await?)
        }
        PrincipalCommand::List(page) => {
            let input = api::list_principals::Input {
                next_token: page.next_token,
                max_results: page.max_results.map(i64::from),
            };
            let list = admin.call::<api::ListPrincipals>(&input).await?;
            admin.show_list(
                &list,
                "principals",
                &["principalName", "principalArn", "breakGlass", "createdTime"],
            )
        }
        PrincipalCommand::Update { name, attributes } => {
            let input = api::update_principal::Input {
                principal_name: name,
                tags: attributes.tags(),
                trust_policy: attributes.trust_policy()?,
            };
            admin.show(&admin.call::<api::UpdatePrincipal>(&input).await?)
        }
        PrincipalCommand::Delete { name } => {
            admin
                .call::<api::DeletePrincipal>(&api::delete_principal::Input { principal_name: name })
                .await?;
            admin.done("deleted");
            Ok(())
        }
        PrincipalCommand::Stop { name, reason } => {
            let options = StopOptions {
                reason,
                revoke_tokens: false,
            };
            stop::stop(admin, api::SubjectKind::Principal, name, options).await
        }
        PrincipalCommand::Start { name } => stop::start(admin, api::SubjectKind::Principal, name).await,
    }
}
