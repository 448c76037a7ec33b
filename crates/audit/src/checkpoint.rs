//! The signed statement over all heads.
/// The file outside the database.
#[derive(Debug)]
pub struct CheckpointFile {}
