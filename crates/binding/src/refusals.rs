//! What this service refuses by itself goes onto the identity service's audit trail: it keeps none of its own.

use std::sync::{Arc, Mutex, PoisonError};

use countersign_api::Client;
use countersign_api::admin::RecordBindingRefusal;
use countersign_api::admin::record_binding_refusal::{BindingRefusal, Input};
use countersign_crypto::SharedClock;
use countersign_outbound::trace;
use countersign_web::{Person, RequestId};

use crate::session_binding::user_identifier;

/// Recorded of one minute; the rest is counted, so that nobody can fill the trail with what they are refused.
const RECORDED: u32 = 30;

/// Hands refusals over.
pub(crate) struct Refusals {
    /// None where there is no trail of ours: then they are logged alone.
    identity: Option<Arc<Client>>,
    clock: SharedClock,
    minute: Mutex<Minute>,
}

#[derive(Default)]
struct Minute {
    number: i64,
    recorded: u32,
    suppressed: i64,
}

impl Refusals {
    pub(crate) fn new(identity: Option<Arc<Client>>, clock: SharedClock) -> Self {
        Self {
            identity,
            clock,
            minute: Mutex::default(),
        }
    }

    /// Records a refusal without making the person wait for it: nothing was done that hangs on the record.
    pub(crate) fn record(&self, reason: BindingRefusal, person: &Person, request_id: &RequestId) {
        tracing::warn!(reason = reason.as_str(), "refused");
        let Some(identity) = self.identity.clone() else {
            return;
        };
        let Some(suppressed) = self.count() else {
            return;
        };
        let input = Input {
            reason,
            page_request_id: request_id.to_string(),
            user_identifier: Some(user_identifier(person)),
            suppressed: (suppressed > 0).then_some(suppressed),
        };
        tokio::spawn(trace::carried(async move {
            if let Err(error) = identity.call::<RecordBindingRefusal>(&input).await {
                tracing::error!(%error, "a refusal could not be recorded");
            }
        }));
    }

    /// Those suppressed since the last that is recorded; `None` when this one is suppressed.
    fn count(&self) -> Option<i64> {
        let now = self.clock.now().as_secs().div_euclid(60);
        let mut minute = self.minute.lock().unwrap_or_else(PoisonError::into_inner);
        if minute.number != now {
            minute.number = now;
            minute.recorded = 0;
        }
        if minute.recorded >= RECORDED {
            minute.suppressed += 1;
            return None;
        }
        minute.recorded += 1;
        Some(std::mem::take(&mut minute.suppressed))
    }
}
