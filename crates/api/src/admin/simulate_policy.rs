//! `SimulatePolicy`: what a policy would decide about a request, and why. Nothing is done.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::shapes::{MAX_DOCUMENT, principal_name};
use crate::data::{provider_name, workload_name};
use crate::validate::{Checker, Validate};

operation! {
    /// What a policy would decide about a request, and why. Nothing is done.
    SimulatePolicy: "countersign" "/countersign/SimulatePolicy" => 200
}

/// Most resources, and most context entries, of a simulation.
const MAX_ENTRIES: usize = 100;

/// The request body.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Input {
    /// Whose request it would be.
    pub principal_name: String,
    /// A document to decide by in place of the principal's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Value>,
    /// The action, such as `bedrock-agentcore:GetResourceOauth2Token`.
    pub action: String,
    /// The ARNs it would concern, at most 100. When absent: those that the action's operation asks about, as far as
    /// the two names below name them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Vec<String>>,
    /// A workload identity it would concern.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_name: Option<String>,
    /// A credential provider it would concern: of API keys for actions of theirs, else of OAuth2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_provider_name: Option<String>,
    /// What conditions would be compared with, at most 100 keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Vec<ContextEntry>>,
}

/// A condition key and its values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextEntry {
    /// Such as `aws:SourceIp`.
    pub key: String,
    /// One value, or for keys such as `countersign:scopes` any number.
    pub values: Vec<String>,
}

/// The response body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// Allowed only when every resource is.
    pub decision: PolicyDecision,
    /// The principal's ARN.
    pub principal_arn: String,
    /// The action.
    pub action: String,
    /// One a resource.
    pub results: Vec<ResourceResult>,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PolicyDecision {
    /// Some statement allows it and none denies it.
    Allowed,
    /// No statement allows it.
    ImplicitDeny,
    /// A statement denies it.
    ExplicitDeny,
}

/// The decision about one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResourceResult {
    /// Its ARN.
    pub resource: String,
    /// What is decided.
    pub decision: PolicyDecision,
    /// Every statement of the document, in its order.
    pub statements: Vec<StatementResult>,
}

/// A statement's part in a decision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatementResult {
    /// Its place, from 1.
    pub statement: usize,
    /// Its `Sid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// `Allow` or `Deny`.
    pub effect: String,
    /// Whether every element holds.
    pub applies: bool,
    /// Action, resource, then each condition.
    pub elements: Vec<ElementResult>,
}

/// One element of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ElementResult {
    /// `Action`, `NotAction`, `Resource`, `NotResource`, or a condition operator.
    pub element: String,
    /// The condition key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Whether it holds.
    pub holds: bool,
    /// What the statement says.
    pub expected: Vec<String>,
    /// What the request has; absent when it has no such key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<Vec<String>>,
}

impl Validate for Input {
    fn validate(&self, check: &mut Checker) {
        principal_name(check, "principalName", &self.principal_name);
        check.length("action", &self.action, 3..=128);
        if let Some(document) = &self.document {
            check.require(document.is_object(), "document", "must be an object");
            check.length("document", &document.to_string(), 2..=MAX_DOCUMENT);
        }
        if let Some(resources) = &self.resources {
            let count = (1..=MAX_ENTRIES).contains(&resources.len());
            check.require(count, "resources", "must have 1 to 100 items");
        }
        if let Some(name) = &self.workload_name {
            workload_name(check, "workloadName", name);
        }
        if let Some(name) = &self.credential_provider_name {
            provider_name(check, "credentialProviderName", name);
        }
        let count = self
            .context
            .as_ref()
            .is_none_or(|entries| entries.len() <= MAX_ENTRIES);
        check.require(count, "context", "must have at most 100 items");
    }
}
