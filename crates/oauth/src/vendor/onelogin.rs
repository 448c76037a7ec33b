//! `OneLogin`, OpenID Connect v2: everything lies under `/oidc/2` of the customer's host.

use super::{CustomerEndpoints, Endpoints, OPENID, SecretMethod, Vendor};

pub(super) const VENDOR: Vendor = Vendor {
    name: "OneLoginOauth2",
    endpoints: Endpoints::Customer(CustomerEndpoints {
        token: "/token",
        account: Some("/me"),
        revocation: Some("/token/revocation"),
    }),
    client_authentication: SecretMethod::Post,
    ..OPENID
};
