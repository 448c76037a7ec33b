//! `SimulatePolicy`: the same evaluator, asked about a request that nobody makes.

use countersign_api::admin::SimulatePolicy;
use countersign_api::admin::simulate_policy::{Input, Output, PolicyDecision};
use countersign_api::{ApiError, Arn};
use serde_json::json;

use super::authorized_principal;
use crate::operation::{Call, Handle, OperationError};
use crate::policy::{Concerned, Policy, Simulation};

impl Handle for SimulatePolicy {
    #[tracing::instrument(name = "identity.simulate_policy", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        let row = authorized_principal(call, &input.principal_name).await?;
        call.entry
            .detail
            .insert("action".to_owned(), input.action.clone().into());
        let mut simulation = Simulation::new(call.now, row.tags.clone());
        for entry in input.context.iter().flatten() {
            simulation
                .suppose(&entry.key, entry.values.clone())
                .map_err(|rule| invalid(&format!("context.{}", entry.key), rule))?;
        }
        let policy = match &input.document {
            Some(document) => {
                Policy::parse(document).map_err(|error| invalid("document", &error.to_string()))?
            }
            // A principal without a policy is one whose policy has nothing that applies.
            None => row
                .policy
                .as_ref()
                .map_or_else(Policy::none, |stored| stored.policy.clone()),
        };
        let arn = row.arn();
        let mut results = Vec::new();
        for resource in resources(call, &input)? {
            let tags = if policy.reads_resource_tags() {
                call.resource_tags(&resource).await?
            } else {
                crate::policy::Tags::new()
            };
            let facts = simulation.facts(&arn, &row.name, call.region(), Some(&tags));
            results.push(policy.explain(&input.action, &resource, &facts));
        }
        let any = |decision| results.iter().any(|result| result.decision == decision);
        let decision = match () {
            () if any(PolicyDecision::ExplicitDeny) => PolicyDecision::ExplicitDeny,
            () if any(PolicyDecision::ImplicitDeny) => PolicyDecision::ImplicitDeny,
            () => PolicyDecision::Allowed,
        };
        call.entry.detail.insert("decision".to_owned(), json!(decision));
        Ok(Output {
            decision,
            principal_arn: arn.to_string(),
            action: input.action,
            results,
        })
    }
}

fn resources(call: &Call, input: &Input) -> Result<Vec<Arn>, OperationError> {
    if let Some(resources) = &input.resources {
        let parsed = resources.iter().map(|text| text.parse());
        return parsed.collect::<Result<_, _>>().map_err(|_| {
            invalid(
                "resources",
                "must be ARNs, as arn:partition:service:region:account:resource",
            )
        });
    }
    let of = Concerned {
        region: call.region(),
        account: call.account(),
        workload: input.workload_name.as_deref(),
        provider: input.credential_provider_name.as_deref(),
    };
    Ok(of.resources(&input.action))
}

fn invalid(member: &str, rule: &str) -> OperationError {
    OperationError::refused("invalid_input", ApiError::field(member, rule))
}
