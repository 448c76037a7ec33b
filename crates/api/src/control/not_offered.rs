//! Operations of the service model that this server knows and does not offer: payment credential providers,
//! consent portals (one is attached to an `AgentCore` Gateway) and resource policies (no identity resource has
//! one). A caller who is authenticated and permitted gets a `ValidationException` that says so, and never a 404,
//! which would say that the endpoint is wrong.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub use crate::operation::Empty as Output;
use crate::validate::{Checker, Validate};

/// Any object: nothing in it is looked at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Input(pub Map<String, Value>);

impl Validate for Input {
    fn validate(&self, _: &mut Checker) {}
}

operation! {
    /// Registers a payment credential provider.
    CreatePaymentCredentialProvider: "bedrock-agentcore" "/identities/CreatePaymentCredentialProvider" => 201, not_idempotent
}

operation! {
    /// Describes a payment credential provider.
    GetPaymentCredentialProvider: "bedrock-agentcore" "/identities/GetPaymentCredentialProvider" => 200
}

operation! {
    /// Replaces a payment credential provider.
    UpdatePaymentCredentialProvider: "bedrock-agentcore" "/identities/UpdatePaymentCredentialProvider" => 200
}

operation! {
    /// Removes a payment credential provider.
    DeletePaymentCredentialProvider: "bedrock-agentcore" "/identities/DeletePaymentCredentialProvider" => 204
}

operation! {
    /// Lists payment credential providers.
    ListPaymentCredentialProviders: "bedrock-agentcore" "/identities/ListPaymentCredentialProviders" => 200
}

operation! {
    /// A signature for a payment; of the data plane.
    GetResourcePaymentToken: "bedrock-agentcore" "/identities/payment/token" => 200
}

operation! {
    /// Makes a consent portal.
    CreateConsentPortal: "bedrock-agentcore" "/identities/CreateConsentPortal" => 202, not_idempotent
}

operation! {
    /// Describes a consent portal.
    GetConsentPortal: "bedrock-agentcore" "/identities/GetConsentPortal" => 200
}

operation! {
    /// Changes a consent portal.
    UpdateConsentPortal: "bedrock-agentcore" "/identities/UpdateConsentPortal" => 202
}

operation! {
    /// Removes a consent portal.
    DeleteConsentPortal: "bedrock-agentcore" "/identities/DeleteConsentPortal" => 204
}

operation! {
    /// Lists consent portals.
    ListConsentPortals: "bedrock-agentcore" "/identities/ListConsentPortals" => 200
}

operation! {
    /// Attaches a resource policy.
    PutResourcePolicy: "bedrock-agentcore" PUT "/resourcepolicy/{resourceArn}" => 201
}

operation! {
    /// Shows a resource policy.
    GetResourcePolicy: "bedrock-agentcore" GET "/resourcepolicy/{resourceArn}" => 200
}

operation! {
    /// Removes a resource policy.
    DeleteResourcePolicy: "bedrock-agentcore" DELETE "/resourcepolicy/{resourceArn}" => 204
}
