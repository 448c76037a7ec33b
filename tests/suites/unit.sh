# Everything that runs inside one crate, and the checks on the workspace itself.
cargo_tests --workspace --lib --bins
cargo_tests -p e2e --test workspace --test compatibility_alb
