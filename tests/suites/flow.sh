# The whole pattern from outside, over HTTP, against the built binary.
cargo_tests -p e2e --test it flow::
cargo_tests -p e2e --test it simulate::
