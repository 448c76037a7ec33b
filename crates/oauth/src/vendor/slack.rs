//! Slack.
//!
//! The wire's scopes go to `scope`, which asks for a bot token. A person's own token is asked for by the custom
//! parameter `user_scope`; when nothing else is, it comes inside `authed_user`, and the answer has no other.
//! Every answer has status 200: `ok` says what it means. Sign in with Slack (`openid.connect.*`) is another flow.

use std::time::Duration;

use super::{AccountCall, Dialect, Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, Vendor};
use crate::revoke::{BearerRevocation, Revocation};
use crate::vendor::{Authorization, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "SlackOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        account: Some("https://slack.com/api/auth.test"),
        revocation: Some("https://slack.com/api/auth.revoke"),
        ..FixedEndpoints::new(
            "https://slack.com",
            "https://slack.com/oauth/v2/authorize",
            "https://slack.com/api/oauth.v2.access",
            &["slack.com", "slack-gov.com"],
        )
    }),
    authorization: Authorization {
        pkce: false,
        nonce: false,
        scope_separator: ",",
        ..Authorization::STANDARD
    },
    dialect: Dialect {
        nested: Some("authed_user"),
        dead_grant_errors: &[
            "invalid_code",
            "code_already_used",
            "invalid_refresh_token",
            "token_revoked",
            "token_expired",
        ],
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Bearer(BearerRevocation::Post),
    // User ids are a workspace's own.
    identity: IdentityRecipe::Account {
        call: Some(AccountCall::BEARER),
        id: &[Field::Call("/team_id"), Field::Call("/user_id")],
        name: &[Field::Call("/user")],
    },
    code_lifetime: Some(Duration::from_mins(10)),
    ..SERVICE
};
