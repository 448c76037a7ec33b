# The store conformance suites, on SQLite and PostgreSQL.
cargo_tests -p countersign-db --test it
cargo_tests -p countersign-identity --lib store::
cargo_tests -p countersign-gateway --lib session::
