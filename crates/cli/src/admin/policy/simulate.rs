//! `countersign policy simulate`: what a policy would decide, and why.

use std::path::PathBuf;

use clap::Args;
use countersign_api::admin::{
    SimulatePolicy,
    simulate_policy::{ContextEntry, ElementResult, Input, Output, PolicyDecision, ResourceResult},
};

use super::{super::Admin, read};
use crate::{args, output};

#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Whose request it would be.
    principal: String,
    /// Such as bedrock-agentcore:GetResourceOauth2Token.
    action: String,
    /// An ARN that it would concern; give it once for each. By default those that the action's operation asks about,
    /// as far as --workload and --provider name them.
    #[arg(long = "resource", value_name = "ARN", conflicts_with_all = ["workload", "provider"])]
    resources: Vec<String>,
    /// A workload identity that it would concern.
    #[arg(long, value_name = "NAME")]
    workload: Option<String>,
    /// A credential provider that it would concern: of API keys for actions of theirs, else of OAuth2.
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// A condition key and its values, such as countersign:scopes=read,write; give it once for each key.
    #[arg(long, value_name = "KEY=VALUE,…", value_parser = context_entry)]
    context: Vec<ContextEntry>,
    /// Decide by this policy document in place of the principal's own.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Keys hold colons and slashes, so that the first equals sign ends them.
fn context_entry(text: &str) -> Result<ContextEntry, String> {
    let (key, values) = text.split_once('=').ok_or("expected KEY=VALUE")?;
    Ok(ContextEntry {
        key: key.to_owned(),
        values: values.split(',').map(str::to_owned).collect(),
    })
}

pub(super) async fn run(admin: &Admin, args: SimulateArgs) -> anyhow::Result<()> {
    let input = Input {
        principal_name: args.principal,
        document: args.file.as_deref().map(read).transpose()?,
        action: args.action,
        resources: (!args.resources.is_empty()).then_some(args.resources),
        workload_name: args.workload,
        credential_provider_name: args.provider,
        context: (!args.context.is_empty()).then_some(args.context),
    };
    let answer = admin.call::<SimulatePolicy>(&input).await?;
    if admin.output == args::Output::Json {
        return output::json(&answer);
    }
    print(&answer);
    Ok(())
}

fn print(answer: &Output) {
    output::line(format!(
        "{}: {} by {}",
        words(answer.decision),
        answer.action,
        answer.principal_arn
    ));
    for result in &answer.results {
        output::line(format!("{}: {}", result.resource, words(result.decision)));
        print_statements(result);
    }
}

fn print_statements(result: &ResourceResult) {
    if result.statements.is_empty() {
        output::line("  the policy has no statement");
    }
    for statement in &result.statements {
        let sid = statement.sid.as_ref().map(|sid| format!(" {sid}"));
        output::line(format!(
            "  statement {}{} ({}) {}",
            statement.statement,
            sid.unwrap_or_default(),
            statement.effect,
            if statement.applies {
                "applies"
            } else {
                "does not apply"
            }
        ));
        statement.elements.iter().for_each(print_element);
    }
}

/// What holds needs no more words; what fails is set against the request. `--output json` has both of each.
fn print_element(element: &ElementResult) {
    let key = element.key.as_ref().map(|key| format!(" {key}"));
    let name = format!("{}{}", element.element, key.unwrap_or_default());
    if element.holds {
        output::line(format!("    {name} holds"));
        return;
    }
    output::line(format!("    {name} fails"));
    print_values("the policy says", &element.expected);
    match &element.actual {
        Some(values) => print_values("the request has", values),
        None => output::line("      the request has no such key"),
    }
}

fn print_values(what: &str, values: &[String]) {
    for (index, value) in values.iter().enumerate() {
        let what = if index == 0 { what } else { "" };
        output::line(format!("      {what:<15}  {value}"));
    }
}

const fn words(decision: PolicyDecision) -> &'static str {
    match decision {
        PolicyDecision::Allowed => "allowed",
        PolicyDecision::ImplicitDeny => "denied, since no statement allows it",
        PolicyDecision::ExplicitDeny => "denied by a statement",
    }
}
