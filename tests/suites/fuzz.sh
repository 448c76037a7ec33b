# Every fuzz target for a minute (`./test --full`, or `./test fuzz`). cargo-fuzz is installed when it is missing; a
# machine that cannot have it skips, and says so.
fuzz_root=$CACHE/cargo-fuzz
if [ ! -x "$fuzz_root/bin/cargo-fuzz" ]; then
  echo "installing cargo-fuzz 0.13.1"
  cargo install --quiet --locked --root "$fuzz_root" --version 0.13.1 cargo-fuzz || true
fi
if [ -x "$fuzz_root/bin/cargo-fuzz" ]; then
  # Instrumented code would overwrite the tests' own build.
  for target in $(PATH=$fuzz_root/bin:$PATH cargo fuzz list); do
    mkdir -p "$CACHE/fuzz-corpus/$target"
    check "fuzz $target for ${COUNTERSIGN_FUZZ_SECONDS:-60} s" \
      env PATH="$fuzz_root/bin:$PATH" cargo fuzz run --sanitizer none --target-dir "$CACHE/fuzz-target" "$target" \
      "$CACHE/fuzz-corpus/$target" $(ls -d "fuzz/seeds/$target" 2>/dev/null) -- \
      -max_total_time="${COUNTERSIGN_FUZZ_SECONDS:-60}" -max_len=8192 -print_final_stats=1
  done
else
  echo "skipped: fuzz targets (cargo-fuzz could not be installed)"
  SKIPPED=$((SKIPPED + 1))
fi
