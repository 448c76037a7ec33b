//! The trail on real databases: each test runs on `SQLite`, and on PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server.

mod explain;
mod fixture;
mod person;
mod record;
mod refusal;
mod rollback;
mod tamper;
