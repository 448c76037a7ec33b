# Key providers against real modules: SoftHSM through PKCS#11.
cargo_tests -p countersign-keys --features pkcs11,kms
# The whole binary with every key provider, against moto's KMS. A copy: the other suites want the default features.
if cargo build --locked -p countersign-cli --features full &&
  cp "$CARGO_TARGET_DIR/debug/countersign" "$CACHE/countersign-full"; then
  COUNTERSIGN_BIN=$CACHE/countersign-full cargo_tests -p e2e --test it root_key::
else
  FAILED=$((FAILED + 1)); FAILURES+=("the binary with every key provider does not build")
fi
