//! `VerifyAudit`: checks this role's trail. An operator who trusts the server least runs `countersign audit verify`
//! on a copy instead.

use countersign_api::admin::VerifyAudit;
use countersign_api::admin::verify_audit::{Fault, Input, Output};
use countersign_audit::Counted;
use countersign_audit::verify::{Trail, verify};

use super::authorize_audit;
use crate::operation::{Call, Handle, OperationError};
use crate::store;

impl Handle for VerifyAudit {
    #[tracing::instrument(name = "identity.verify_audit", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        let checkpoints = input.against.unwrap_or_default().join("\n");
        let trail = Trail {
            pool: &call.state.pool,
            role: store::OWNER,
            keys: &call.state.installation.audit_public,
            checkpoints: &checkpoints,
            // Who asks a server cannot say which restores they know of.
            restored: 0,
        };
        let report = verify(&trail, &mut |_| ())
            .await
            .map_err(|error| OperationError::internal("audit_not_read", error))?;
        call.entry.detail.insert("ok".to_owned(), report.ok.into());
        let anchor = report.anchored_outside.as_ref().or(report.anchored.as_ref());
        let anchored_to = anchor.map(|anchor| {
            let (number, at) = (anchor.checkpoint, &anchor.at);
            let after = Counted(anchor.records_after, "record");
            format!("checkpoint {number} of {at}; {after} after it")
        });
        let fault = |fault: countersign_audit::verify::Fault| Fault {
            place: fault.place,
            what: fault.what,
        };
        Ok(Output {
            ok: report.ok,
            records: report.records,
            anchored_to,
            faults: report.faults.into_iter().map(fault).collect(),
        })
    }
}
