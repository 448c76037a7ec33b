//! The identity role from outside: its real routers on real sockets, over SQLite always and over PostgreSQL when
//! `COUNTERSIGN_TEST_POSTGRES_URL` names a server.

mod authn;
mod consent;
mod control;
mod external_secrets;
mod integrity;
mod key_rotation;
mod policy;
mod principals;
mod rate_limits;
mod resources;
mod stops;
mod world;
