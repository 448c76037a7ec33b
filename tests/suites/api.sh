# The wire: SigV4 vectors, service models, every operation over a socket, the OAuth client, the playground.
cargo_tests -p countersign-api -p countersign-outbound -p countersign-web -p countersign-oauth -p countersign-playground --test it
cargo_tests -p countersign-identity --test it
