//! The trail on real databases: each test runs on `SQLite`, and on PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server.

mod delivery;
mod explain;
mod export;
mod fixture;
mod full_disk;
mod oracle;
mod person;
mod proof;
mod record;
mod refusal;
mod report;
mod rollback;
mod search;
mod tamper;
