# Each covered row of tests/attack-matrix.toml names an existing test. Alone, this suite also runs them;
# within a whole run they have run already, in the suites of their crates.
cargo_tests -p e2e --test attack_matrix
if [ "${WHOLE:-0}" = 0 ]; then
  # shellcheck disable=SC2046
  cargo_tests --workspace --test it -- $(sed -n 's/^test = "\(.*\)"$/\1/p' tests/attack-matrix.toml | sed 's/.*:://' | sort -u)
fi
