# Three replicas on PostgreSQL refresh at npm oidc-provider while they are killed. --rounds N: grants in refresh at a kill
# (40; 200 with --full). What was measured is printed.
cargo_tests -p e2e --test it -- --nocapture refresh_ledger::
