//! The playground's people. Each service knows them under ids of its own, as in life.

use countersign_crypto::{constant_time_eq, sha256};

/// Everybody's password.
const PASSWORD: &str = "countersign";

/// Somebody with an account at one of the playground's services.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// Stable id, the `sub` claim.
    pub(crate) subject: &'static str,
    /// Login name.
    pub(crate) username: &'static str,
    /// Display name.
    pub(crate) name: &'static str,
    /// Address; verified.
    pub(crate) email: &'static str,
    /// The claim `groups` at the OpenID provider.
    pub(crate) groups: &'static [&'static str],
}

/// Who is in it may open the console of an installation in development.
pub const OPERATORS: &str = "console-operators";

/// At the OpenID provider.
pub(crate) const EMPLOYEES: [Account; 2] = [
    Account {
        subject: "alice",
        username: "alice",
        name: "Alice Archer",
        email: "alice@playground.example",
        groups: &[OPERATORS],
    },
    Account {
        subject: "bob",
        username: "bob",
        name: "Bob Baker",
        email: "bob@playground.example",
        groups: &[],
    },
];

/// At Ledgerline.
pub(crate) const LEDGERLINE_USERS: [Account; 2] = [
    Account {
        subject: "LU-1001",
        username: "alice",
        name: "Alice Archer",
        email: "alice@ledgerline.example",
        groups: &[],
    },
    Account {
        subject: "LU-1002",
        username: "bob",
        name: "Bob Baker",
        email: "bob@ledgerline.example",
        groups: &[],
    },
];

/// At a simulated vendor, some of which have numbers for ids.
pub(crate) const SIMULATED_USERS: [Account; 2] = [
    Account {
        subject: "1001",
        username: "alice",
        name: "Alice Archer",
        email: "alice@simulated.example",
        groups: &[],
    },
    Account {
        subject: "1002",
        username: "bob",
        name: "Bob Baker",
        email: "bob@simulated.example",
        groups: &[],
    },
];

/// The account with this login name and password.
pub(crate) fn log_in(
    accounts: &'static [Account],
    username: &str,
    password: &str,
) -> Option<&'static Account> {
    let right = constant_time_eq(&sha256(password.as_bytes()), &sha256(PASSWORD.as_bytes()));
    find(accounts, username.trim()).filter(|_| right)
}

/// The account with this login name.
pub(crate) fn find(accounts: &'static [Account], username: &str) -> Option<&'static Account> {
    accounts.iter().find(|account| account.username == username)
}
