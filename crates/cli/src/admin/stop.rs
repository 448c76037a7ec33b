//! `countersign KIND stop|start …`.

use countersign_api::admin::{self as api, SubjectKind};

use super::Admin;
use crate::args::StopCommand;

pub(super) async fn run(admin: &Admin, kind: SubjectKind, command: StopCommand) -> anyhow::Result<()> {
    match command {
        StopCommand::Stop {
            subject,
            reason,
            revoke_tokens,
        } => {
            let input = api::stop::Input {
                subject_kind: kind,
                subject,
                reason,
                revoke_tokens: revoke_tokens.then_some(true),
            };
            admin.show(&admin.call::<api::Stop>(&input).await?)
        }
        StopCommand::Start { subject } => {
            admin
                .call::<api::Start>(&api::start::Input {
                    subject_kind: kind,
                    subject,
                })
                .await?;
            admin.done("started");
            Ok(())
        }
    }
}
