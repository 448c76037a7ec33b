//! The journal of systemd, by its own protocol (systemd: Native Journal Protocol): one datagram an entry, one
//! `NAME=value` a line.

use std::path::PathBuf;

use tokio::net::UnixDatagram;

use super::super::config::JournaldConfig;
use super::{Batch, TargetError};

/// Larger entries would have to be handed over in a file of their own; a checkpoint's successor names its hash.
const MAX_DATAGRAM: usize = 128 * 1024;

pub(in crate::delivery) struct Journald(PathBuf);

impl Journald {
    pub(super) fn new(config: &JournaldConfig) -> Self {
        Self(config.socket.clone())
    }

    pub(super) async fn send(&self, batch: &Batch) -> Result<(), TargetError> {
        let place = || self.0.display().to_string();
        let socket = UnixDatagram::unbound().map_err(TargetError::io(place()))?;
        socket.connect(&self.0).map_err(TargetError::io(place()))?;
        for line in &batch.lines {
            // A line has no newline in it, so that no value can begin a field of its own.
            let entry = format!(
                "MESSAGE={}\nPRIORITY=5\nSYSLOG_IDENTIFIER=countersign\nCOUNTERSIGN_ACTION={}\nCOUNTERSIGN_ROLE={}\n\
                 COUNTERSIGN_DATABASE={}\nCOUNTERSIGN_BATCH={}\n",
                line.text, line.action, batch.role, batch.database, batch.id
            );
            if entry.len() > MAX_DATAGRAM {
                tracing::warn!(batch.id, "an entry is too large for the journal and left out");
                continue;
            }
            socket
                .send(entry.as_bytes())
                .await
                .map_err(TargetError::io(place()))?;
        }
        Ok(())
    }
}
