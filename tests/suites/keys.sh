# Key providers against real modules: SoftHSM through PKCS#11.
cargo_tests -p countersign-keys --features pkcs11 --test it
