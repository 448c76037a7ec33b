# A streaming pair of PostgreSQL servers fails over under load.
cargo_tests -p e2e --test it -- --nocapture failover::
# Backup and restore, from one engine into the other.
cargo_tests -p e2e --test it backup::
# A disk that is full or read-only, in a mount namespace of its own.
cargo_tests -p e2e --test it disk::
