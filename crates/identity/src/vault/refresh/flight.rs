//! Refreshes under way in this replica: one for a grant, however many callers wait for it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use countersign_outbound::trace;
use tokio::sync::watch;

use super::circuit::Circuits;
use super::{Renewed, Urgency, drive};
use crate::state::State;
use crate::store::grant::GrantRow;
use crate::store::oauth2_provider::ProviderRow;
use crate::vault::VaultError;

/// What all who wait are told.
type Landed = Result<Renewed, Arc<VaultError>>;

/// By grant and urgency: who waits for a token has no use for the outcome of what was begun without need.
type Key = (String, bool);

/// The refreshes of this replica.
#[derive(Debug, Default)]
pub(crate) struct Refreshes {
    flights: Mutex<HashMap<Key, watch::Receiver<Option<Landed>>>>,
    pub(super) circuits: Circuits,
}

impl Refreshes {
    /// Waits until no refresh is under way: for as long as one may take.
    pub(crate) async fn landed(&self) {
        const PATIENCE: Duration = Duration::from_secs(25);
        let empty = async {
            while !self
                .flights
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .is_empty()
            {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        if tokio::time::timeout(PATIENCE, empty).await.is_err() {
            tracing::warn!("refreshes were still under way at the end; their outcome is unknown");
        }
    }
}

/// Takes the flight off the list, however it ends.
struct Listed {
    state: State,
    key: Key,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let flights = &self.state.refreshes.flights;
        let mut flights = flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.key);
    }
}

/// Waits for the flight of this grant, which begins if there is none.
pub(super) async fn join(state: &State, grant: &GrantRow, provider: &Arc<ProviderRow>) -> Landed {
    let mut flight = begin(state, grant, provider, Urgency::Awaited);
    let landed = flight.wait_for(Option::is_some).await;
    match landed.as_deref() {
        Ok(Some(landed)) => landed.clone(),
        // The flight was torn down, as at the end of the process.
        _ => Err(Arc::new(VaultError::Busy(Duration::from_secs(1)))),
    }
}

/// Begins a flight that nobody waits for, unless one is under way.
pub(super) fn begin_ahead(state: &State, grant: &GrantRow, provider: &Arc<ProviderRow>) {
    begin(state, grant, provider, Urgency::Ahead);
}

fn begin(
    state: &State,
    grant: &GrantRow,
    provider: &Arc<ProviderRow>,
    urgency: Urgency,
) -> watch::Receiver<Option<Landed>> {
    let key = (grant.id.clone(), urgency == Urgency::Ahead);
    let mut flights = state
        .refreshes
        .flights
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(flight) = flights.get(&key) {
        return flight.clone();
    }
    let (land, flight) = watch::channel(None);
    flights.insert(key.clone(), flight.clone());
    drop(flights);
    let listed = Listed {
        state: state.clone(),
        key,
    };
    let (grant, provider) = (grant.clone(), Arc::clone(provider));
    // In the trace of whoever began it; the others wait for it in theirs.
    tokio::spawn(trace::carried(async move {
        let landed = drive(&listed.state, &grant, provider, urgency)
            .await
            .map_err(Arc::new);
        // First off the list: who comes now begins anew, and finds in the row what this one left there.
        drop(listed);
        land.send_replace(Some(landed));
    }));
    flight
}
