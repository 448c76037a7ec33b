//! `ExplainAuditRecord`: login → consent → grant → use, as far as this role recorded it. The login itself is in the
//! gateway's trail, which joins on `sid`.

use std::collections::{BTreeMap, BTreeSet};

use countersign_api::admin::ExplainAuditRecord;
use countersign_api::admin::explain_audit_record::{Input, Output};
use countersign_audit::explain::{Node, Source, explain};

use super::authorize_audit;
use crate::operation::{Call, Handle, OperationError};
use crate::store::grant;

impl Handle for ExplainAuditRecord {
    #[tracing::instrument(name = "identity.explain_audit_record", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        call.entry
            .detail
            .insert("explained".to_owned(), input.id.clone().into());
        // Without person keys: over the network persons stay pseudonyms.
        let source = Source {
            pool: &call.state.pool,
            persons: None,
        };
        let failed = |error: &dyn std::fmt::Display| OperationError::internal("audit_not_read", error);
        let found = explain(&[source], &input.id)
            .await
            .map_err(|error| failed(&error))?;
        let explanation = found.ok_or_else(|| OperationError::not_found("Audit record", &input.id))?;
        let mut user_keys = BTreeMap::new();
        for id in grants(&explanation.roots) {
            let row = grant::find(&call.state.pool, call.account(), &id).await?;
            user_keys.extend(row.map(|row| (id, row.user_key.to_hex())));
        }
        let explanation = serde_json::to_value(&explanation).map_err(|error| failed(&error))?;
        Ok(Output {
            explanation,
            user_keys,
        })
    }
}

fn grants(nodes: &[Node]) -> BTreeSet<String> {
    let below = nodes.iter().flat_map(|node| grants(&node.children));
    let here = nodes.iter().filter(|node| node.kind == "grant");
    here.map(|node| node.id.clone()).chain(below).collect()
}
