//! `countersign KIND stop|start …`.

use countersign_api::admin::{self as api, SubjectKind};

use super::Admin;
use crate::args::{StopCommand, StopOptions};

pub(super) async fn run(admin: &Admin, kind: SubjectKind, command: StopCommand) -> anyhow::Result<()> {
    match command {
        StopCommand::Stop { subject, options } => stop(admin, kind, subject, options).await,
        StopCommand::Start { subject } => start(admin, kind, subject).await,
    }
}

pub(super) async fn stop(
    admin: &Admin,
    kind: SubjectKind,
    subject: String,
    options: StopOptions,
) -> anyhow::Result<()> {
    let input = api::stop::Input {
        subject_kind: kind,
        subject,
        reason: options.reason,
        revoke_tokens: options.revoke_tokens.then_some(true),
    };
    admin.show(&admin.call::<api::Stop>(&input).await?)
}

pub(super) async fn start(admin: &Admin, kind: SubjectKind, subject: String) -> anyhow::Result<()> {
    let input = api::start::Input {
        subject_kind: kind,
        subject,
    };
    admin.call::<api::Start>(&input).await?;
    admin.done("started");
    Ok(())
}
