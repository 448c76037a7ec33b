# The identity-aware reverse proxy.
cargo_tests -p countersign-gateway --test it -- --skip store::
