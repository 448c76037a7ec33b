# The workload, with the models of every vendor as npm aimock plays them and moto's S3; the session binding service.
cargo_tests -p countersign-agent --features bedrock --test it
cargo_tests -p countersign-binding --test it
