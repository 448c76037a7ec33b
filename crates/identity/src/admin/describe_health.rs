//! `DescribeHealth`: what [`crate::health`] sees, for an operator.

use countersign_api::Arn;
use countersign_api::admin::DescribeHealth;
use countersign_api::admin::describe_health::{
    AuditHealth, CallerHealth, GatewayHealth, GrantHealth, Input, Output, RevocationHealth,
};
use countersign_db::Engine;

use super::shown::time;
use crate::health;
use crate::operation::{Call, Handle, OperationError};
use crate::store::principal_address::{self, PrincipalAddressRow};

/// Most callers shown.
const CALLERS: i64 = 20;

impl Handle for DescribeHealth {
    #[tracing::instrument(name = "identity.describe_health", skip_all, fields(request.id = call.caller.request_id))]
    async fn handle(call: &mut Call, _: Input) -> Result<Output, OperationError> {
        call.authorize(&[Arn::account(call.region(), call.account())])
            .await?;
        let state = &call.state;
        let began = state.clock.now();
        let grants = health::grants(state, call.account()).await?;
        let database_ms = state.clock.now().since(began).as_secs_f64() * 1e3;
        let revocations = health::revocations(state, call.account()).await?;
        let anchored = health::anchored(state)
            .await
            .map_err(|error| OperationError::internal("audit_not_read", error))?;
        let callers = principal_address::list_recent(&state.pool, call.account(), CALLERS).await?;
        let caller = |row: PrincipalAddressRow| CallerHealth {
            principal_name: row.principal,
            address: row.address,
            first_seen_time: time(row.first_seen_at),
            last_seen_time: time(row.last_seen_at),
        };
        Ok(Output {
            database: match state.pool.engine() {
                Engine::Sqlite => "sqlite",
                Engine::Postgres => "postgres",
            }
            .to_owned(),
            database_ms,
            change_feed_fresh: state.feed.fresh(),
            keys_readable: state.keys(call.account()).is_ok(),
            audit: AuditHealth {
                checkpoint: anchored.checkpoint,
                checkpoint_time: anchored.at.map(time),
                unanchored_records: anchored.records,
                anchor_lag_seconds: anchored.waited(state.clock.now()).as_secs_f64(),
            },
            grants: GrantHealth {
                needs_consent: grants.needs_consent,
                outcome_unknown: grants.outcome_unknown,
                failing: grants.failing,
                ending: grants.ending,
            },
            revocations: RevocationHealth {
                pending: revocations.pending,
                pending_since: revocations.pending_since.map(time),
                failed: revocations.failed,
            },
            gateways: health::gateways(state, call.account())
                .into_iter()
                .map(|(gateway, asked)| GatewayHealth {
                    issuer: gateway.issuer.clone(),
                    follows_stops: gateway.stop_list_audience.is_some(),
                    last_asked_time: asked.map(time),
                })
                .collect(),
            callers: callers.into_iter().map(caller).collect(),
        })
    }
}
