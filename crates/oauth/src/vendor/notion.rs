//! Notion. Token requests are JSON, with HTTP Basic; there are no scopes, but capabilities of the integration.
//! The answer names workspace and owner. Each refresh returns a new pair.

use super::{Endpoints, Field, FixedEndpoints, IdentityRecipe, SERVICE, SecretMethod, Vendor};
use crate::revoke::Revocation;
use crate::vendor::{Authorization, Body, Dialect, Renewal, Rotation};

pub(super) const VENDOR: Vendor = Vendor {
    name: "NotionOauth2",
    endpoints: Endpoints::Fixed(FixedEndpoints {
        revocation: Some("https://api.notion.com/v1/oauth/revoke"),
        ..FixedEndpoints::new(
            "https://api.notion.com",
            "https://api.notion.com/v1/oauth/authorize",
            "https://api.notion.com/v1/oauth/token",
            &["notion.com"],
        )
    }),
    client_authentication: SecretMethod::Basic,
    authorization: Authorization {
        pkce: false,
        nonce: false,
        fixed: &[("owner", "user")],
        ..Authorization::STANDARD
    },
    resource_indicators: false,
    dialect: Dialect {
        body: Body::Json,
        ..Dialect::STANDARD
    },
    renewal: Renewal {
        rotation: Rotation::Always,
        ..Renewal::UNKNOWN
    },
    revocation: Revocation::Json,
    // A person may have several workspaces, and a workspace several people.
    identity: IdentityRecipe::Account {
        call: None,
        id: &[Field::Token("/workspace_id"), Field::Token("/owner/user/id")],
        name: &[
            Field::Token("/owner/user/person/email"),
            Field::Token("/owner/user/name"),
            Field::Token("/workspace_name"),
        ],
    },
    ..SERVICE
};
