//! `countersign user …`.

use anyhow::Context as _;
use clap::Subcommand;
use countersign_api::admin::{self as api, SubjectKind};
use countersign_crypto::UserKey;
use serde_json::json;

use super::{Admin, stop};
use crate::args::StopCommand;
use crate::{gateway_operator, output};

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    #[command(flatten)]
    Standing(StopCommand),
    /// Forget a person: end and erase their grants, end their sessions, and destroy the keys by which the audit records of
    /// the identity service and of the gateway name them. The chains still verify, and a stop stays in force. Stop them
    /// first, or an agent may connect them again at once. The gateway, in whose records their name is, is reached through
    /// `COUNTERSIGN_OPERATIONS_URL` with `COUNTERSIGN_OPERATOR_TOKEN`; without these its part is left to be done.
    Forget {
        /// User key, published id (`idp:…`) or your own id for them.
        user: String,
        /// The login provider's issuer, together with --subject: the gateway knows the person by these. Not needed where
        /// an agent has connected them with a token of the gateway, or where the user key of `session list` is given.
        #[arg(long, value_name = "URL", requires = "subject")]
        issuer: Option<String>,
        /// The person's subject at that provider.
        #[arg(long, value_name = "SUB", requires = "issuer")]
        subject: Option<String>,
        /// Also verify the identity service's trail afterwards, and print the outcome with the newest checkpoint that
        /// vouches for it: what shows that nothing but the key is gone.
        #[arg(long)]
        verify: bool,
    },
}

pub(super) async fn run(admin: &Admin, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::Standing(command) => stop::run(admin, SubjectKind::User, command).await,
        UserCommand::Forget {
            user,
            issuer,
            subject,
            verify,
        } => {
            let as_logged_in = issuer.zip(subject);
            let as_logged_in = as_logged_in.map(|(issuer, subject)| UserKey::jwt(&issuer, &subject));
            forget(admin, user, as_logged_in, verify).await
        }
    }
}

async fn forget(
    admin: &Admin,
    user: String,
    as_logged_in: Option<UserKey>,
    verify: bool,
) -> anyhow::Result<()> {
    let mut forgotten = admin
        .call::<api::ForgetUser>(&api::forget_user::Input { user })
        .await?;
    if let Some(key) = as_logged_in.map(|key| key.to_hex())
        && !forgotten.user_keys.contains(&key)
    {
        let input = api::forget_user::Input { user: key };
        let more = admin.call::<api::ForgetUser>(&input).await?;
        forgotten.grants_revoked += more.grants_revoked;
        forgotten.grants_erased += more.grants_erased;
        forgotten.audit_details_erased |= more.audit_details_erased;
        forgotten.user_keys.extend(more.user_keys);
    }
    let keys = &forgotten.user_keys;
    // Their grants are gone, and with them what leads from a published id to the key.
    let again = || format!("run `countersign user forget KEY` for {}", keys.join(" and "));
    let gateway = gateway_operator::forget(keys).await;
    let gateway =
        gateway.with_context(|| format!("forgotten by the identity service only; then {}", again()))?;
    match &gateway {
        None => output::note(format!(
            "NOT forgotten by the gateway, whose audit records have their name: set {} and {}, and {}",
            gateway_operator::URL,
            gateway_operator::TOKEN,
            again()
        )),
        Some(done) if done["auditDetailsErased"] == false => output::note(
            "the gateway has no record under these user keys; if they have logged in there, give --issuer and --subject",
        ),
        Some(_) => {}
    }
    let mut shown = serde_json::to_value(&forgotten)?;
    shown["gateway"] = gateway.into();
    if !verify {
        return admin.show(&shown);
    }
    let verified = admin
        .call::<api::VerifyAudit>(&api::verify_audit::Input::default())
        .await?;
    anyhow::ensure!(
        verified.ok,
        "forgotten, but the trail does not verify: see `countersign audit verify`"
    );
    admin.show(&json!({ "forgotten": shown, "audit": verified }))
}
