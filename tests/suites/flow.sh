# The whole pattern from outside, over HTTP, against the built binary; and whatever else has no suite of its own.
cargo_tests -p e2e --test it -- --skip evidence:: --skip clients:: --skip browser:: --skip alb:: --skip refresh_ledger:: --skip failover:: --skip backup:: --skip disk:: --skip root_key::
