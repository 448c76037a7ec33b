# Headless Chromium.
cargo_tests -p e2e --test it browser::
