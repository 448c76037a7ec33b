//! `ExportAuditRecords`. Personal details stay sealed.

use countersign_api::ApiError;
use countersign_api::admin::ExportAuditRecords;
use countersign_api::admin::export_audit_records::{Input, Output};
use countersign_audit::delivery::read_on;
use countersign_audit::{AuditError, Format};

use super::authorize_audit;
use crate::operation::{Call, Handle, OperationError};

impl Handle for ExportAuditRecords {
    #[tracing::instrument(name = "identity.export_audit_records", skip_all)]
    async fn handle(call: &mut Call, input: Input) -> Result<Output, OperationError> {
        authorize_audit(call).await?;
        let format = match input.format.as_deref() {
            Some("ocsf") => Format::Ocsf,
            Some("cloudtrail") => Format::Cloudtrail,
            _ => Format::Record,
        };
        let limit = input.max_results.and_then(|most| usize::try_from(most).ok());
        let read = read_on(&call.state.pool, input.cursor.as_deref(), limit.unwrap_or(1000)).await;
        let (records, cursor) = read.map_err(|error| match error {
            AuditError::Cursor => {
                let error = ApiError::field("cursor", "must be the cursor of an earlier answer");
                OperationError::refused("invalid_cursor", error)
            }
            error => OperationError::internal("audit_not_read", error),
        })?;
        call.entry
            .detail
            .insert("records".to_owned(), records.len().into());
        Ok(Output {
            records: records.iter().map(|record| format.value(record, false)).collect(),
            cursor,
        })
    }
}
