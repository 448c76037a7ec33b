//! SQLite or PostgreSQL behind one pool type, migrations under a lease, and the change feed.
//!
//! One SQL text serves both databases (`$1` placeholders, `RETURNING`, `ON CONFLICT`; columns are TEXT,
//! BIGINT and BYTEA/BLOB). SQL itself lives in the store modules of the crates that own tables; this crate
//! owns only `migration`, `lease`, `change` and `database_identity`.
//!
//! It refuses: two writers on one `SQLite` file, a schema newer than the binary, an applied migration whose
//! text has changed, and statements longer than the time-out.

mod bulk_insert;
mod change;
mod config;
mod dump;
mod error;
mod hand_over;
mod identity;
mod lease;
mod migrate;
mod pool;
mod postgres;
mod row;
mod sqlite;
#[cfg(feature = "testing")]
pub mod testing;
mod transaction;
mod value;

pub use bulk_insert::{BulkInsert, ColumnType};
pub use change::{Change, ChangeFeed, record_change};
pub use config::{Database, DatabaseConfig};
pub use dump::{DumpTable, dump_tables, schema_versions, set_restored_identity};
pub use error::DbError;
pub use hand_over::{ensure_unused, hand_over, is_handed_over, is_restoring, mark_restoring, restored};
pub use identity::{DatabaseIdentity, database_identity, set_dev_mark};
pub use lease::{Fence, claim_lease, release_lease, renew_lease};
pub use migrate::{Migration, migrate, up_to};
pub use pool::{Engine, Pool};
pub use row::Row;
pub use transaction::Transaction;
pub use value::Value;

/// What operations of this crate return.
pub type Result<T> = std::result::Result<T, DbError>;

/// A list of [`Value`]s from anything that converts into one: `params![id, now.as_micros(), sealed]`.
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { vec![$($crate::Value::from($value)),*] };
}
