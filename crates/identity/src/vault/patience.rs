//! How long the store is waited for where what is to be written cannot be had again: what a vendor gave for a refresh
//! token or a code that is spent by that.

use std::time::Duration;

use countersign_db::DbError;

const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(250);

/// The tries that are left.
pub(super) struct Patience(u32);

impl Patience {
    pub(super) const fn new() -> Self {
        Self(TRIES)
    }

    /// Waits for the next try; gives `error` back where none helps, or too many were made.
    pub(super) async fn after(&mut self, error: DbError) -> Result<(), DbError> {
        if self.0 == 0 || !error.is_transient() {
            return Err(error);
        }
        self.0 -= 1;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}
