//! `countersign session …`, the gateway's part of `user forget`, and keys of the gateway: an operator's requests to a running gateway, over its operations
//! listener (docs/decisions/0010-gateway-operator.md).

use std::time::Duration;

use anyhow::{Context as _, bail};
use axum::http::{Method, StatusCode};
use clap::Subcommand;
use countersign_crypto::UserKey;
use countersign_outbound::{Client, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::Url;

use crate::{args::Output, output, roles};

/// Where the operations listener is, and the gateway's operator token.
pub(crate) const URL: &str = "COUNTERSIGN_OPERATIONS_URL";
pub(crate) const TOKEN: &str = "COUNTERSIGN_OPERATOR_TOKEN";

/// A rotation takes seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// Largest answer: a thousand sessions.
const MAX_BYTES: usize = 2 << 20;

/// Browser sessions at the gateway.
#[derive(Debug, Subcommand)]
pub(crate) enum SessionCommand {
    /// List live sessions, newest first.
    List {
        #[command(flatten)]
        person: Person,
        /// How many at most.
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
    },
    /// End a session, or all of a person: within a second on every replica.
    End {
        /// The session id, as `session list`, audit records and tokens (`sid`) name it.
        #[arg(value_name = "SID", required_unless_present_any = ["user", "issuer"], conflicts_with_all = ["user", "issuer"])]
        sid: Option<String>,
        #[command(flatten)]
        person: Person,
    },
}

/// A person, as the gateway knows them.
#[derive(Debug, clap::Args)]
pub(crate) struct Person {
    /// The person's user key, 64 hexadecimal digits, as `session list` and audit records have it.
    #[arg(long, value_name = "KEY", conflicts_with = "issuer")]
    user: Option<String>,
    /// The identity provider's issuer, together with --subject.
    #[arg(long, value_name = "URL", requires = "subject")]
    issuer: Option<String>,
    /// The person's subject at that provider.
    #[arg(long, value_name = "SUB", requires = "issuer")]
    subject: Option<String>,
}

impl Person {
    fn key(&self) -> anyhow::Result<Option<String>> {
        match (&self.user, &self.issuer, &self.subject) {
            (Some(key), _, _) => {
                let key = UserKey::from_hex(key).map_err(|_| {
                    anyhow::anyhow!(
                        "--user is a user key of 64 hexadecimal digits; give --issuer and --subject otherwise"
                    )
                })?;
                Ok(Some(key.to_hex()))
            }
            (None, Some(issuer), Some(subject)) => Ok(Some(UserKey::jwt(issuer, subject).to_hex())),
            _ => Ok(None),
        }
    }
}

/// `countersign session …`.
pub(crate) async fn session(command: SessionCommand, output: Output) -> anyhow::Result<()> {
    let gateway = Gateway::connect()?;
    match command {
        SessionCommand::List { person, limit } => {
            let mut query = vec![("limit", limit.to_string())];
            query.extend(person.key()?.map(|key| ("user", key)));
            let sessions = gateway.call(Method::GET, &["sessions"], &query).await?;
            let columns = [
                "sid",
                "userKey",
                "application",
                "createdAt",
                "lastSeenAt",
                "expiresAt",
            ];
            show(&sessions, "sessions", &columns, output)
        }
        SessionCommand::End { sid: Some(sid), .. } => {
            let ended = gateway.call(Method::DELETE, &["sessions", &sid], &[]).await?;
            show_ended(&ended, output)
        }
        SessionCommand::End { sid: None, person } => {
            let key = person.key()?.context("whose sessions?")?;
            let ended = gateway
                .call(Method::DELETE, &["sessions"], &[("user", key)])
                .await?;
            show_ended(&ended, output)
        }
    }
}

/// Has the gateway forget people by their user keys; `None`: it is not said where it is.
pub(crate) async fn forget(keys: &[String]) -> anyhow::Result<Option<Value>> {
    if variable(URL).is_err() || variable(TOKEN).is_err() {
        return Ok(None);
    }
    let gateway = Gateway::connect()?;
    let (mut sessions, mut erased) = (0, false);
    for key in keys {
        let forgotten = gateway.call(Method::POST, &["users", key, "forget"], &[]).await?;
        sessions += forgotten["sessionsEnded"].as_i64().unwrap_or_default();
        erased |= forgotten["auditDetailsErased"] == true;
    }
    Ok(Some(
        json!({ "sessionsEnded": sessions, "auditDetailsErased": erased }),
    ))
}

/// The gateway's keys, without what they unlock.
pub(crate) async fn list_keys(output: Output) -> anyhow::Result<()> {
    let keys = Gateway::connect()?.call(Method::GET, &["keys"], &[]).await?;
    show(
        &keys,
        "keys",
        &["id", "purpose", "version", "state", "createdAt"],
        output,
    )
}

/// Makes a new primary key of `purpose`: `user-token-signing`, `alb-header-signing` or `session`.
pub(crate) async fn rotate_key(purpose: &str, output: Output) -> anyhow::Result<()> {
    let key = Gateway::connect()?
        .call(Method::POST, &["keys", purpose, "rotate"], &[])
        .await?;
    match output {
        Output::Json => output::json(&key),
        Output::Text => {
            output::line(format!(
                "{} is the primary key now; the one before opens and verifies until it is retired",
                key["id"].as_str().unwrap_or("-")
            ));
            Ok(())
        }
    }
}

/// Retires a key that is primary no more.
pub(crate) async fn retire_key(id: &str, output: Output) -> anyhow::Result<()> {
    Gateway::connect()?
        .call(Method::POST, &["keys", id, "retire"], &[])
        .await?;
    if output == Output::Text {
        output::line("retired");
    }
    Ok(())
}

fn show_ended(ended: &Value, output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::json(ended);
    }
    let sids: Vec<&str> = ended["ended"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if sids.is_empty() {
        output::note("none");
    }
    for sid in sids {
        output::line(format!("ended {sid}"));
    }
    Ok(())
}

/// Prints what was answered: as it is, or the members `columns` of each of `items`.
pub(crate) fn show(answer: &Value, items: &str, columns: &[&str], output: Output) -> anyhow::Result<()> {
    if output == Output::Json {
        return output::json(answer);
    }
    let cell = |name: &str, value: &Value| match value {
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Number(number) if name.ends_with("At") => number
            .as_i64()
            .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
            .map_or_else(|| number.to_string(), |time| time.to_string()),
        other => other.to_string(),
    };
    let rows: Vec<Vec<String>> = answer[items]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| {
            columns
                .iter()
                .map(|column| cell(column, &item[*column]))
                .collect()
        })
        .collect();
    if rows.is_empty() {
        output::note("none");
    } else {
        output::table(columns, &rows);
    }
    Ok(())
}

/// A running gateway.
struct Gateway {
    base: Url,
    token: SecretString,
    client: Client,
}

impl Gateway {
    fn connect() -> anyhow::Result<Self> {
        let base = Url::parse(&variable(URL)?).with_context(|| format!("{URL} is not a URL"))?;
        let client = roles::operator_client(std::slice::from_ref(&base))?;
        Ok(Self {
            token: variable(TOKEN)?.into(),
            base,
            client,
        })
    }

    async fn call(&self, method: Method, path: &[&str], query: &[(&str, String)]) -> anyhow::Result<Value> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .map_err(|()| anyhow::anyhow!("{URL} cannot have a path"))?
            .pop_if_empty()
            .push("gateway")
            .extend(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = Request::new(method, url)
            .bearer(self.token.expose_secret())
            .accept_json()
            .timeout(PATIENCE)
            .max_bytes(MAX_BYTES);
        let response = self
            .client
            .send(request)
            .await
            .with_context(|| format!("the gateway at {} does not answer", self.base))?;
        let body: Value = serde_json::from_slice(&response.body).unwrap_or_default();
        match response.status {
            status if status.is_success() => Ok(body),
            StatusCode::UNAUTHORIZED => bail!("{TOKEN} is not the operator token of this gateway"),
            StatusCode::NOT_FOUND if body["message"].is_null() => bail!(
                "there are no operator routes at {}: set gateway.operator.token in its configuration",
                self.base
            ),
            status => bail!("{}", body["message"].as_str().unwrap_or(status.as_str())),
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "the variables of an operator's command")]
fn variable(name: &str) -> anyhow::Result<String> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty());
    value.with_context(|| {
        format!("{name} is not set; source the file of `countersign dev --env-file FILE`, or set it to what [operations] and [gateway.operator] of the configuration say")
    })
}
