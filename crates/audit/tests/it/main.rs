//! The trail on real databases: each test runs on `SQLite`, and on PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server.

mod explain;
mod export;
mod fixture;
mod person;
mod proof;
mod record;
mod refusal;
mod rollback;
mod tamper;
