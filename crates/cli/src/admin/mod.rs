//! Administration: each command is one operation of the signed API of a running server.

mod access_key;
mod api_key;
mod connection;
mod grant;
pub(crate) mod key;
mod policy;
mod principal;
mod provider;
mod secret;
mod stop;
mod user;
mod workload;

use countersign_api::{Client, Operation};
use serde::Serialize;
use serde_json::Value;

pub(crate) use access_key::AccessKeyCommand;
pub(crate) use connection::{connect, is_configured};
pub(crate) use policy::PolicyCommand;
pub(crate) use principal::PrincipalCommand;
pub(crate) use user::UserCommand;

use crate::{
    args::{Command, Output},
    output,
};

/// A connection and how to print.
pub(crate) struct Admin {
    client: Client,
    output: Output,
}

/// Runs an administration command against the server that the environment names.
pub(crate) async fn run(command: Command, output: Output) -> anyhow::Result<()> {
    let admin = Admin::connect(output)?;
    match command {
        Command::Workload(command) => workload::run(&admin, command).await,
        Command::Provider(command) => provider::run(&admin, command).await,
        Command::ApiKey(command) => api_key::run(&admin, command).await,
        Command::Principal(command) => principal::run(&admin, command).await,
        Command::AccessKey(command) => access_key::run(&admin, command).await,
        Command::Policy(command) => policy::run(&admin, command).await,
        Command::User(command) => user::run(&admin, command).await,
        Command::Account(command) => {
            stop::run(&admin, countersign_api::admin::SubjectKind::Account, command).await
        }
        Command::Grant(command) => grant::run(&admin, command).await,
        _ => anyhow::bail!("not a command of the API"),
    }
}

impl Admin {
    /// The server that the environment names.
    fn connect(output: Output) -> anyhow::Result<Self> {
        Ok(Self {
            client: connect()?,
            output,
        })
    }

    /// Calls one operation. Its error already says code, message and fields.
    async fn call<O: Operation>(&self, input: &O::Input) -> anyhow::Result<O::Output> {
        self.client
            .call::<O>(input)
            .await
            .map_err(|error| anyhow::anyhow!("{}: {error}", O::NAME))
    }

    /// Prints one thing: the response unchanged, or a line a member.
    fn show(&self, data: &impl Serialize) -> anyhow::Result<()> {
        match self.output {
            Output::Json => output::json(data),
            Output::Text => {
                lines("", &serde_json::to_value(data)?);
                Ok(())
            }
        }
    }

    /// Prints a list: the response unchanged, or a table of `columns` of its member `items`.
    fn show_list(&self, data: &impl Serialize, items: &str, columns: &[&str]) -> anyhow::Result<()> {
        if self.output == Output::Json {
            return output::json(data);
        }
        let data = serde_json::to_value(data)?;
        let rows: Vec<Vec<String>> = data[items]
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
        if let Some(token) = data["nextToken"].as_str() {
            output::note(format!("more: --next-token {token}"));
        }
        Ok(())
    }

    /// Says what was done, for operations that answer nothing.
    fn done(&self, what: &str) {
        if self.output == Output::Text {
            output::line(what);
        }
    }
}

/// `member: value` lines, nested members with dots.
fn lines(prefix: &str, value: &Value) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                let name = if prefix.is_empty() {
                    name.clone()
                } else {
                    format!("{prefix}.{name}")
                };
                lines(&name, value);
            }
        }
        value => output::line(format!("{prefix}: {}", cell(prefix, value))),
    }
}

/// One value for people. Times are epoch seconds on the wire.
fn cell(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items
            .iter()
            .map(|item| cell("", item))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Number(number) if name.ends_with("Time") || name.ends_with("At") => number
            .as_f64()
            .and_then(timestamp)
            .unwrap_or_else(|| number.to_string()),
        other => other.to_string(),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "seconds of a date, checked by jiff"
)]
fn timestamp(seconds: f64) -> Option<String> {
    jiff::Timestamp::from_second(seconds as i64)
        .ok()
        .map(|time| time.to_string())
}
