# Runs cargo's tests and keeps the counts. Sourced by ./test.
PASSED=0 FAILED=0 SKIPPED=0 FAILURES=()

# cargo_tests ARGS…: one `cargo test` call; its output is shown, its result lines are counted.
cargo_tests() {
  local log; log=$(mktemp)
  cargo test --locked --no-fail-fast "$@" 2>&1 | tee "$log"
  local status=${PIPESTATUS[0]}
  local counts
  counts=$(awk '/^test result:/ { for (i = 1; i <= NF; i++) { if ($i == "passed;") p += $(i-1); if ($i == "failed;") f += $(i-1); if ($i == "ignored;") s += $(i-1) } } END { printf "%d %d %d", p, f, s }' "$log")
  local p f s; read -r p f s <<< "$counts"
  PASSED=$((PASSED + p)) FAILED=$((FAILED + f)) SKIPPED=$((SKIPPED + s))
  # A build failure or a crash has no result line of its own, and must not pass for green.
  if [ "$status" -ne 0 ] && [ "$f" -eq 0 ]; then
    FAILED=$((FAILED + 1)); FAILURES+=("cargo test $* (exit $status)")
  # A filter that matches nothing any more must not either.
  elif [ $((p + f + s)) -eq 0 ]; then
    FAILED=$((FAILED + 1)); FAILURES+=("cargo test $* (no test of that name)")
  fi
  local name
  while read -r name; do FAILURES+=("$name"); done < <(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$log")
  rm -f "$log"
}

# check NAME COMMAND…: one check that is not a cargo test.
check() {
  local name=$1; shift
  if "$@"; then PASSED=$((PASSED + 1)); echo "check $name ... ok"
  else FAILED=$((FAILED + 1)); FAILURES+=("$name"); echo "check $name ... FAILED"; fi
}

summary() {
  if [ ${#FAILURES[@]} -gt 0 ]; then
    echo; echo "failures:"; printf '  %s\n' "${FAILURES[@]}"
  fi
  echo
  echo "$PASSED passed, $FAILED failed, $SKIPPED skipped"
  [ "$FAILED" -eq 0 ] && [ "$PASSED" -gt 0 ]
}

# The binary as images and packages have it but for the playground, in COUNTERSIGN, and the PYTHON that its checks take.
full_binary() {
  cargo build --locked -p countersign-cli --features full &&
    cp "$CARGO_TARGET_DIR/debug/countersign" "$CACHE/countersign-full" || return 1
  COUNTERSIGN=$CACHE/countersign-full
  PYTHON="env AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test $CACHE/venv/bin/python -W ignore"
  export COUNTERSIGN
}
