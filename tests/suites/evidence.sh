# The audit chain: every byte, on both engines, and offline through the binary.
cargo_tests -p countersign-audit --test it
cargo_tests -p e2e --test it evidence::
