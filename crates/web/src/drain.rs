//! The signal by which a process asks its listeners and streams to finish.

use tokio_util::sync::CancellationToken;

/// Held by whoever watches for the end of the process; see [`Drain::new`].
#[derive(Debug, Clone)]
pub struct DrainSignal(CancellationToken);

impl DrainSignal {
    /// Starts the drain. Cannot be taken back.
    pub fn drain(&self) {
        self.0.cancel();
    }
}

/// Held by whoever has to finish: listeners, long-lived streams, background tasks.
#[derive(Debug, Clone)]
pub struct Drain(CancellationToken);

impl Drain {
    /// A signal and what it signals.
    #[must_use]
    pub fn new() -> (DrainSignal, Self) {
        let token = CancellationToken::new();
        (DrainSignal(token.clone()), Self(token))
    }

    /// Resolves once the drain has started.
    pub async fn signaled(&self) {
        self.0.cancelled().await;
    }
}
