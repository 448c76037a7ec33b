# The identity-aware reverse proxy, with clients and targets that other people wrote: curl, h2load, nghttp, nginx, Python.
cargo_tests -p countersign-gateway --test it
# ACME at a server that other people wrote, which asks at ports 80 and 443: in namespaces of the check's own, so as root.
if ! cargo build --locked -q -p countersign-cli; then
  FAILED=$((FAILED + 1)); FAILURES+=("countersign does not build")
elif [ "$(id -u)" -eq 0 ] && unshare --net --mount true 2>/dev/null; then
  check "certificates by ACME" unshare --net --mount \
    "$COUNTERSIGN_TEST_PYTHON" tests/python/acme_orders.py "$CARGO_TARGET_DIR/debug/countersign"
else
  echo "skipped: certificates by ACME (needs root and namespaces)"
  SKIPPED=$((SKIPPED + 1))
fi
