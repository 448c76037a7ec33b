//! Where a sealed value opens, and where it does not.

use std::sync::Arc;

use countersign_crypto::{FileKeyProvider, KeyRow, Keyring, NewKey, SystemClock, SystemRandom};

use super::sealed::COLUMNS;

const ACCOUNTS: [&str; 2] = ["000000000000", "111111111111"];
const ROWS: [&str; 2] = ["of alice, at one provider", "of bob, or at another"];

/// V1: copied to another row (as one of another user, workload or provider is), column, table or account, a value does not
/// open. A revocation holds the values of its grant, and is no other place. Of a row that is itself rewritten this says
/// nothing (`docs/decisions/0015-a-sealed-value-is-bound-to-its-row.md`).
#[tokio::test]
async fn v01_a_sealed_value_opens_only_where_it_was_put() {
    let directory = tempfile::tempdir().expect("a directory");
    let random = Arc::new(SystemRandom);
    let provider = FileKeyProvider::open_or_create(&directory.path().join("key"), random.clone());
    let provider = provider.expect("a key file");
    let new = NewKey {
        account: ACCOUNTS[0],
        resource: "arn:aws:bedrock-agentcore:us-east-1:000000000000:token-vault/default",
        purpose: COLUMNS[0].purpose,
        version: 1,
    };
    let row = KeyRow::generate_symmetric(&provider, &*random, &SystemClock, new);
    let row = row.await.expect("a key");
    // One key for all accounts and columns, so that nothing but the place keeps them apart.
    let keyring = Keyring::unwrap(&provider, &[row]).await.expect("a keyring");
    for from in COLUMNS {
        let sealed = keyring.seal(&*random, &from.place(ACCOUNTS[0], ROWS[0]), b"a token");
        for to in COLUMNS {
            for (account, row) in ACCOUNTS.iter().flat_map(|account| ROWS.map(|row| (account, row))) {
                let home = |table| {
                    if table == "revocation" {
                        "oauth2_grant"
                    } else {
                        table
                    }
                };
                let same = (home(to.table), to.column, *account, row)
                    == (home(from.table), from.column, ACCOUNTS[0], ROWS[0]);
                let opened = keyring.open(&to.place(account, row), sealed.as_bytes());
                assert_eq!(
                    opened.is_ok(),
                    same,
                    "{}.{} to {}.{} of {row} in {account}",
                    from.table,
                    from.column,
                    to.table,
                    to.column
                );
            }
        }
    }
}
