//! The tables. Every column of an `audit_` table is evidence; `person_key` is not evidence and may be erased.

use countersign_db::Migration;

/// Migrations of owner `audit`.
pub const MIGRATIONS: &[Migration] = &[Migration {
    version: 1,
    name: "records, checkpoints, person keys",
    sqlite: include_str!("../migrations/sqlite/0001.sql"),
    postgres: include_str!("../migrations/postgres/0001.sql"),
}];
