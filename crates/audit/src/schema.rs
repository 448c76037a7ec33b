//! The tables. Every column of an `audit_` table is evidence; `person_key` is not evidence and may be erased, and
//! `evidence_delivery` only says how far the evidence has been handed over.

use countersign_db::Migration;

/// Migrations of owner `audit`.
pub const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "records, checkpoints, person keys",
        sqlite: include_str!("../migrations/sqlite/0001.sql"),
        postgres: include_str!("../migrations/postgres/0001.sql"),
    },
    Migration {
        version: 2,
        name: "deliveries",
        sqlite: include_str!("../migrations/sqlite/0002.sql"),
        postgres: include_str!("../migrations/postgres/0002.sql"),
    },
    Migration {
        version: 3,
        name: "indexes of a long trail",
        sqlite: include_str!("../migrations/sqlite/0003.sql"),
        postgres: include_str!("../migrations/postgres/0003.sql"),
    },
    Migration {
        version: 4,
        name: "index of what became of a grant",
        sqlite: include_str!("../migrations/sqlite/0004.sql"),
        postgres: include_str!("../migrations/postgres/0004.sql"),
    },
];
