//! GitHub: OAuth apps, and GitHub Apps with expiring user tokens.
//!
//! Errors come with status 200; scopes come back with commas, and without those that another one includes.
//! Tokens of OAuth apps have no `expires_in` and do not expire.

use std::time::Duration;

use super::{AccountCall, Dialect, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::Revocation;
use crate::vendor::{Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "GithubOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://api.github.com/user"),
        revocation: Some("https://api.github.com/applications"),
        ..FixedEndpoints::new(
            "https://github.com/login/oauth",
            "https://github.com/login/oauth/authorize",
            "https://github.com/login/oauth/access_token",
            &["github.com"],
        )
    }),
    dialect: Dialect {
        dead_grant_errors: &["bad_verification_code", "bad_refresh_token"],
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::ClientGrant,
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/id")],
        name: &[Field::Call("/login")],
    },
    code_lifetime: Some(Duration::from_mins(10)),
    // docs.github.com, "Scopes for OAuth apps": normalized scopes.
    scope_aliases: &[
        ("public_repo", "repo"),
        ("repo:status", "repo"),
        ("repo:invite", "repo"),
        ("repo_deployment", "repo"),
        ("security_events", "repo"),
        ("read:user", "user"),
        ("user:email", "user"),
        ("user:follow", "user"),
        ("read:org", "write:org"),
        ("read:org", "admin:org"),
        ("write:org", "admin:org"),
        ("read:public_key", "write:public_key"),
        ("read:public_key", "admin:public_key"),
        ("write:public_key", "admin:public_key"),
        ("read:gpg_key", "write:gpg_key"),
        ("read:gpg_key", "admin:gpg_key"),
        ("write:gpg_key", "admin:gpg_key"),
        ("read:repo_hook", "write:repo_hook"),
        ("read:repo_hook", "admin:repo_hook"),
        ("write:repo_hook", "admin:repo_hook"),
        ("read:project", "project"),
        ("read:packages", "write:packages"),
    ],
    ..SERVICE
};
