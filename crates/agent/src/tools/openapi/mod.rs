//! Tools of any service that has an `OpenAPI` 3 document: the operator names the document, the operations and their
//! scopes, and writes no code.
//!
//! What a document says is somebody else's text. It describes requests and nothing more: it cannot make the guard of
//! outbound requests reach an internal address, name a header that carries credentials, or send a token to another
//! origin than the service's.

mod answer;
mod document;
mod operation;
mod schema;

use std::collections::BTreeMap;
use std::sync::Arc;

use countersign_web::page::scope_words;
use url::Url;

use super::{Service, Tool, ToolSpec};
use crate::config;
use answer::AnswerRule;
use document::{Document, Found};
use operation::{Body, OpenApiTool, Parameters};

/// Bytes of a tool's input schema; a model is sent all of them in every step.
const MOST_SCHEMA_BYTES: usize = 32 << 10;
/// Characters of a tool's description.
const MOST_DESCRIPTION: usize = 1_000;

/// A service and its tools.
type ServiceTools = (Service, Vec<Arc<dyn Tool>>);

/// The tools of one document.
pub(crate) struct OpenApiTools;

impl OpenApiTools {
    /// The services that the operations need tokens for, each with its tools. An error names the document, the operation
    /// and the rule.
    pub(crate) fn of(config: &config::OpenApi) -> Result<Vec<ServiceTools>, String> {
        let document = Document::read(&config.document)?;
        tools(config, &document).map_err(|what| format!("{}: {what}", config.document.display()))
    }
}

fn tools(config: &config::OpenApi, document: &Document) -> Result<Vec<ServiceTools>, String> {
    if config.operations.is_empty() {
        return Err("`operations` names none, so there would be no tool".to_owned());
    }
    let base = base(config, document)?;
    let mut services: BTreeMap<Arc<str>, ServiceTools> = BTreeMap::new();
    for wanted in &config.operations {
        let tool = tool(config, wanted, document, &base)
            .map_err(|what| format!("operation `{}`: {what}", wanted.id))?;
        let provider = Arc::clone(tool.provider());
        let (service, tools) = services.entry(provider).or_insert_with_key(|provider| {
            let service = Service {
                provider: Arc::clone(provider),
                title: config.title.clone(),
                scopes: BTreeMap::new(),
                examples: Vec::new(),
            };
            (service, Vec::new())
        });
        service.examples.extend(wanted.example.clone());
        for scope in tool.scopes() {
            let words = config.scope_descriptions.get(scope).cloned();
            let words = words.or_else(|| scope_words(scope));
            if let Some(words) = words.or_else(|| document.scope_words(scope)) {
                service.scopes.insert(scope.clone(), words);
            }
        }
        tools.push(Arc::new(tool));
    }
    Ok(services.into_values().collect())
}

/// Where the service is: the operator's word, else the document's first server.
fn base(config: &config::OpenApi, document: &Document) -> Result<Url, String> {
    let base = match &config.base_url {
        Some(url) => url.clone(),
        None => document
            .server()
            .ok_or("the document names no absolute server URL without variables: set `base_url`")?,
    };
    let is_plain = base.query().is_none() && base.fragment().is_none();
    if base.has_host() && matches!(base.scheme(), "http" | "https") && base.username().is_empty() && is_plain
    {
        Ok(base)
    } else {
        Err("the base URL must be http or https, with a host and without user, query and fragment".to_owned())
    }
}

fn tool(
    config: &config::OpenApi,
    wanted: &config::OpenApiOperation,
    document: &Document,
    base: &Url,
) -> Result<OpenApiTool, String> {
    let found = document.operation(&wanted.id)?;
    let scopes = match &wanted.scopes {
        Some(scopes) => scopes.clone(),
        None => document
            .scopes_of(&found)
            .ok_or("the document does not say which scopes it needs: set `scopes`")?,
    };
    let parameters = Parameters::of(document, &found, &wanted.fixed)?;
    let body = Body::of(document, &found)?;
    let input = operation::input_schema(&parameters, body.as_ref())?;
    let size = input.to_string().len();
    if size > MOST_SCHEMA_BYTES {
        return Err(format!(
            "its input schema has {size} bytes, more than the {MOST_SCHEMA_BYTES} that a model is shown"
        ));
    }
    let spec = ToolSpec {
        name: name(wanted)?,
        description: description(wanted, &found),
        schema: input,
        label: wanted
            .label
            .clone()
            .unwrap_or_else(|| format!("Asking {}", config.title)),
    };
    let provider = wanted.provider.as_ref().unwrap_or(&config.provider);
    Ok(OpenApiTool {
        spec,
        provider: provider.as_str().into(),
        scopes,
        title: config.title.clone(),
        method: found.method.clone(),
        base: base.clone(),
        path: operation::template(&found.path, &parameters)?,
        parameters,
        body,
        answer: Arc::new(AnswerRule::new(&wanted.answer, wanted.answer_bytes)),
    })
}

/// As models want names: `[a-z0-9_]{1,64}`.
fn name(wanted: &config::OpenApiOperation) -> Result<String, String> {
    let name = wanted.name.clone().unwrap_or_else(|| snake_case(&wanted.id));
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        Ok(name)
    } else {
        Err(format!(
            "`{name}` is no tool name of 1 to 64 of a-z 0-9 _: set `name`"
        ))
    }
}

fn snake_case(id: &str) -> String {
    let mut name = String::with_capacity(id.len() + 8);
    let mut previous = '_';
    for letter in id.chars() {
        if !letter.is_ascii_alphanumeric() {
            if previous != '_' {
                name.push('_');
                previous = '_';
            }
            continue;
        }
        if letter.is_ascii_uppercase() && (previous.is_ascii_lowercase() || previous.is_ascii_digit()) {
            name.push('_');
        }
        name.push(letter.to_ascii_lowercase());
        previous = letter;
    }
    name.trim_end_matches('_').to_owned()
}

fn description(wanted: &config::OpenApiOperation, found: &Found<'_>) -> String {
    let text = |name: &str| found.operation.get(name).and_then(|text| text.as_str());
    let words = match (&wanted.description, text("summary"), text("description")) {
        (Some(words), _, _) => words.clone(),
        (None, Some(summary), Some(more)) => format!("{summary}\n{more}"),
        (None, Some(words), None) | (None, None, Some(words)) => words.to_owned(),
        (None, None, None) => format!("{} {}", found.method, found.path),
    };
    words.chars().take(MOST_DESCRIPTION).collect()
}

#[cfg(test)]
mod tests;
