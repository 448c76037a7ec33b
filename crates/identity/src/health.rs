//! How this replica and its account stand: what the console's health page shows, and the gauges that alerts are made
//! from.

use std::sync::PoisonError;
use std::time::Duration;

use countersign_audit::{AnchorLag, AuditError, anchor_lag};
use countersign_crypto::Timestamp;
use countersign_db::DbError;

use crate::config::GatewayConfig;
use crate::principal_addresses;
use crate::state::State;
use crate::store::grant_overview::{self, Ailing};
use crate::store::revocation::{self, Open};

/// How often the gauges are set.
const EVERY: Duration = Duration::from_secs(10);
/// Where counts end: more is as bad.
const MOST: i64 = 10_000;
/// A token that cannot be refreshed and ends within this time is about to need its person.
const ENDING: Duration = Duration::from_hours(24);
/// How long a revocation that was given up counts.
const FAILED: Duration = Duration::from_hours(24 * 30);

/// How the account's grants are.
pub(crate) async fn grants(state: &State, account: &str) -> Result<Ailing, DbError> {
    let ending_before = state.clock.now().plus(ENDING);
    grant_overview::count_ailing(&state.pool, account, ending_before, MOST).await
}

/// What the account owes its vendors.
pub(crate) async fn revocations(state: &State, account: &str) -> Result<Open, DbError> {
    let failed_since = state.clock.now().minus(FAILED);
    revocation::count_open(&state.pool, account, failed_since, MOST).await
}

/// How far the evidence is anchored.
pub(crate) async fn anchored(state: &State) -> Result<AnchorLag, AuditError> {
    anchor_lag(&state.pool).await
}

/// Notes that a gateway asked who is stopped.
pub(crate) fn gateway_asked(state: &State, issuer: &str, now: Timestamp) {
    let mut asked = state
        .gateways_asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    match asked.get_mut(issuer) {
        Some(last) => *last = now,
        None => drop(asked.insert(issuer.to_owned(), now)),
    }
}

/// The account's gateways, and when each last asked this replica.
pub(crate) fn gateways<'s>(state: &'s State, account: &str) -> Vec<(&'s GatewayConfig, Option<Timestamp>)> {
    let asked = state
        .gateways_asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let config = &state.config;
    let of_account = |gateway: &&GatewayConfig| config.account_of(gateway.account.as_ref()) == account;
    let gateways = config.gateways.iter().filter(of_account);
    gateways
        .map(|gateway| (gateway, asked.get(&gateway.issuer).copied()))
        .collect()
}

/// Sets the gauges, for ever. Each replica says the same; alerts take the worst.
pub(crate) async fn measure(state: State) {
    describe();
    loop {
        if let Err(error) = set(&state).await {
            tracing::warn!(error = %error, "the health of the account could not be measured");
        }
        tokio::time::sleep(EVERY).await;
    }
}

fn describe() {
    metrics::describe_gauge!(
        "countersign_identity_grants_ailing",
        "Live grants that need somebody, by state; counted to 10,000"
    );
    metrics::describe_gauge!(
        "countersign_identity_revocations",
        "Tokens still to be withdrawn at services (pending), or given up (failed); counted to 10,000"
    );
    metrics::describe_gauge!(
        "countersign_identity_revocation_oldest_seconds",
        "Since when the oldest pending revocation waits"
    );
    metrics::describe_gauge!(
        "countersign_identity_change_feed_fresh",
        "1 while changes of other replicas arrive within a second"
    );
    metrics::describe_counter!(
        principal_addresses::METRIC,
        "First calls of known principals from addresses they were not seen at before"
    );
}

#[expect(clippy::cast_precision_loss, reason = "counts end at 10,000")]
async fn set(state: &State) -> Result<(), DbError> {
    let fresh = f64::from(u8::from(state.feed.fresh()));
    metrics::gauge!("countersign_identity_change_feed_fresh").set(fresh);
    let (mut ailing, mut open) = (Ailing::default(), Open::default());
    for account in state.config.accounts() {
        let of = grants(state, &account.id).await?;
        ailing.needs_consent += of.needs_consent;
        ailing.outcome_unknown += of.outcome_unknown;
        ailing.failing += of.failing;
        ailing.ending += of.ending;
        let of = revocations(state, &account.id).await?;
        open.pending += of.pending;
        open.failed += of.failed;
        open.pending_since = open.pending_since.into_iter().chain(of.pending_since).min();
    }
    for (name, count) in [
        ("needs_consent", ailing.needs_consent),
        ("outcome_unknown", ailing.outcome_unknown),
        ("failing", ailing.failing),
        ("ending", ailing.ending),
    ] {
        metrics::gauge!("countersign_identity_grants_ailing", "state" => name).set(count as f64);
    }
    for (name, count) in [("pending", open.pending), ("failed", open.failed)] {
        metrics::gauge!("countersign_identity_revocations", "state" => name).set(count as f64);
    }
    let oldest = open.pending_since.map(|since| state.clock.now().since(since));
    metrics::gauge!("countersign_identity_revocation_oldest_seconds")
        .set(oldest.unwrap_or_default().as_secs_f64());
    Ok(())
}
