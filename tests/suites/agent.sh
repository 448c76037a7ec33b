# The workload and the session binding service.
cargo_tests -p countersign-agent -p countersign-binding --test it
