//! What goes on without requests, once a session has let it through, ends with the session.

use std::sync::Arc;
use std::time::Duration;

use countersign_crypto::SharedClock;

use crate::gateway::Shared;
use crate::session::{Session, Sessions};
use crate::stop_list::{StopList, Stopped};

/// Between two looks at stops and limits: as late as a stop is for requests.
const EVERY: Duration = Duration::from_secs(1);
/// Of these, one in so many asks the store whether the session is there.
const STORE_EVERY: u32 = 10;

/// A session that something depends on.
pub(crate) struct Lasting {
    sessions: Arc<Sessions>,
    stops: Arc<StopList>,
    clock: SharedClock,
    session: Arc<Session>,
}

impl Lasting {
    pub(crate) fn new(gateway: &Shared, session: &Arc<Session>) -> Self {
        Self {
            sessions: gateway.sessions.clone(),
            stops: gateway.stops.clone(),
            clock: gateway.clock.clone(),
            session: Arc::clone(session),
        }
    }

    /// Resolves when a request of this session would not be let through any more. That claims are old is no matter of
    /// it, and a store that does not answer is asked again.
    pub(crate) async fn over(self) {
        for look in 1_u32.. {
            tokio::time::sleep(EVERY).await;
            let stopped = !matches!(self.stops.check(&self.session.login), Ok(Stopped::No));
            if stopped || self.clock.now() >= self.session.expires_at {
                return;
            }
            if look.is_multiple_of(STORE_EVERY)
                && matches!(self.sessions.is_live(self.session.sid).await, Ok(false))
            {
                return;
            }
        }
    }
}
