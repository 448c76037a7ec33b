//! Vendors: in what each departs from the standard, one file a vendor. Data where data will do.
//!
//! A [`Vendor`] says where its endpoints are ([`Vendor::locate`]), how a browser is sent there
//! ([`Authorization`]), how its token endpoint speaks ([`Dialect`]), how tokens are renewed and withdrawn
//! ([`Renewal`], [`Revocation`]), and whose account it was ([`IdentityRecipe`]). What is known about each is
//! in `docs/vendors.md`, with what was never tried against the real one.

mod atlassian;
mod auth0;
mod cognito;
mod custom;
mod cyberark;
mod dropbox;
mod endpoints;
mod facebook;
mod fusionauth;
mod github;
mod google;
mod hubspot;
mod identity;
mod linkedin;
mod microsoft;
mod notion;
mod okta;
mod onelogin;
mod pingone;
mod reddit;
mod salesforce;
mod scopes;
mod slack;
mod spotify;
mod twitch;
mod x;
mod yandex;
mod zoom;

use std::time::Duration;

pub use endpoints::{CustomerEndpoints, Endpoints, FixedEndpoints, InvalidSettings, Location, Settings};
pub use identity::{AccountCall, AccountIdentity, CallForm, Field, IdentityRecipe, account_identity};

use crate::revoke::{Revocable, Revocation};

/// What is known about a vendor.
#[derive(Debug, Clone, Copy)]
pub struct Vendor {
    /// As `credentialProviderVendor` names it.
    pub name: &'static str,
    /// Where its endpoints are.
    pub endpoints: Endpoints,
    /// How a client with a secret authenticates, unless its registration says otherwise.
    pub client_authentication: SecretMethod,
    /// What `aud` a client assertion (RFC 7523) has.
    pub assertion_audience: AssertionAudience,
    /// How the browser is sent to it.
    pub authorization: Authorization,
    /// Whether it takes `resource` (RFC 8707). Where not, the parameter is never sent.
    pub resource_indicators: bool,
    /// How its token endpoint speaks.
    pub dialect: Dialect,
    /// What becomes of tokens in time.
    pub renewal: Renewal,
    /// How a token is withdrawn.
    pub revocation: Revocation,
    /// How to find out which account consented.
    pub identity: IdentityRecipe,
    /// How long its authorization codes live; `None` when that is not known.
    pub code_lifetime: Option<Duration>,
    /// Scopes that it grants without naming them in `scope`.
    pub never_echoed_scopes: &'static [&'static str],
    /// Pairs of a scope as it is requested and as the vendor names it, or another that includes it, in `scope`.
    pub scope_aliases: &'static [(&'static str, &'static str)],
    /// What it may put before a requested scope when it names it in `scope`; case is ignored then, too.
    pub scope_prefix: Option<&'static str>,
    /// Where the answer about the account lists the permissions that the person granted and declined, by its JSON
    /// pointer (RFC 6901), for a vendor whose token answer names no scopes.
    pub permissions: Option<&'static str>,
    /// Parameters of its own form of the JWT bearer grant (RFC 7523 section 2.1) that acts on behalf of a
    /// person; `None` where it offers none.
    pub on_behalf_of: Option<&'static [(&'static str, &'static str)]>,
}

/// How a client with a secret authenticates at a token endpoint (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretMethod {
    /// `client_secret_basic`.
    Basic,
    /// `client_secret_post`.
    Post,
}

/// The `aud` of a client assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AssertionAudience {
    /// The issuer, as current practice has it (RFC 7523bis).
    Issuer,
    /// The URL of the token endpoint, as RFC 7523 suggests and older servers demand.
    TokenEndpoint,
}

/// In what a vendor's authorization endpoint departs from the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authorization {
    /// Whether PKCE (S256) is sent. Off only where a vendor refuses it or has another endpoint for it.
    pub pkce: bool,
    /// Whether `nonce` is sent and checked where `openid` is asked for.
    pub nonce: bool,
    /// What stands between scopes.
    pub scope_separator: &'static str,
    /// Parameters that every request has, and callers cannot change.
    pub fixed: &'static [(&'static str, &'static str)],
    /// Parameters that a request has unless the caller says something else: mostly what makes the vendor
    /// issue a refresh token.
    pub defaults: &'static [(&'static str, &'static str)],
}

impl Authorization {
    /// Nothing of its own.
    pub const STANDARD: Self = Self {
        pkce: true,
        nonce: true,
        scope_separator: " ",
        fixed: &[],
        defaults: &[],
    };
}

/// In what a vendor's token endpoint departs from the standard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    /// How request bodies are written.
    pub body: Body,
    /// What is sent to renew a token.
    pub renewal_grant: RenewalGrant,
    /// `grant_type` of the client credentials grant.
    pub client_credentials_grant: &'static str,
    /// The member that holds an answer's tokens where the top level has no `access_token`.
    pub nested: Option<&'static str>,
    /// What to believe where the answer has no `expires_in`; `None`: the token does not expire.
    pub default_lifetime: Option<Duration>,
    /// Error codes of its own that mean `invalid_grant`.
    pub dead_grant_errors: &'static [&'static str],
}

impl Dialect {
    /// Nothing of its own: RFC 6749, section 4 to 6.
    pub const STANDARD: Self = Self {
        body: Body::Form,
        renewal_grant: RenewalGrant::RefreshToken,
        client_credentials_grant: "client_credentials",
        nested: None,
        default_lifetime: None,
        dead_grant_errors: &[],
    };
}

/// How a token request is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// A JSON object; repeated fields are not possible.
    Json,
}

/// How a token is renewed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalGrant {
    /// RFC 6749 section 6.
    RefreshToken,
    /// There are no refresh tokens: an access token that still lives is exchanged for one that lives longer, by
    /// a grant of this name, in a parameter of the same name. The access token is kept as refresh token.
    AccessToken(&'static str),
}

/// What becomes of a vendor's tokens in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewal {
    /// Whether refresh tokens are single use.
    pub rotation: Rotation,
    /// How long a used refresh token is still taken, so that a lost answer can be asked for again.
    pub reuse_grace: Option<Duration>,
    /// Renew as early as this before an access token expires; `None`: shortly before.
    pub early: Option<Duration>,
}

impl Renewal {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self {
        rotation: Rotation::Unknown,
        reuse_grace: None,
        early: None,
    };
}

/// Whether a vendor's refresh tokens are single use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Each use gives a new one and ends the old one.
    Always,
    /// The old one stays good.
    Never,
    /// A setting of the client or the organisation, or not known.
    Unknown,
}

/// All vendors, in the order of the wire's enumeration.
pub const VENDORS: [&Vendor; 25] = [
    &google::VENDOR,
    &github::VENDOR,
    &slack::VENDOR,
    &salesforce::VENDOR,
    &microsoft::VENDOR,
    &custom::VENDOR,
    &atlassian::VENDOR,
    &linkedin::VENDOR,
    &x::VENDOR,
    &okta::VENDOR,
    &onelogin::VENDOR,
    &pingone::VENDOR,
    &facebook::VENDOR,
    &yandex::VENDOR,
    &reddit::VENDOR,
    &zoom::VENDOR,
    &twitch::VENDOR,
    &spotify::VENDOR,
    &dropbox::VENDOR,
    &notion::VENDOR,
    &hubspot::VENDOR,
    &cyberark::VENDOR,
    &fusionauth::VENDOR,
    &auth0::VENDOR,
    &cognito::VENDOR,
];

/// The vendor of this name.
#[must_use]
pub fn vendor(name: &str) -> Option<&'static Vendor> {
    VENDORS.into_iter().find(|vendor| vendor.name == name)
}

/// What most OpenID providers that customers run or rent have in common.
const OPENID: Vendor = Vendor {
    name: "",
    endpoints: Endpoints::Registration,
    client_authentication: SecretMethod::Basic,
    assertion_audience: AssertionAudience::Issuer,
    authorization: Authorization::STANDARD,
    resource_indicators: true,
    dialect: Dialect::STANDARD,
    renewal: Renewal::UNKNOWN,
    revocation: Revocation::Standard(Revocable::Both),
    identity: IdentityRecipe::OpenId,
    code_lifetime: None,
    // They change what is issued rather than what may be accessed; many servers leave them out of `scope`
    // although they acted on them.
    never_echoed_scopes: &["openid", "offline_access"],
    scope_aliases: &[],
    scope_prefix: None,
    permissions: None,
    on_behalf_of: None,
};

/// What most services that have OAuth, but are no OpenID provider, have in common.
const SERVICE: Vendor = Vendor {
    client_authentication: SecretMethod::Post,
    revocation: Revocation::NotOffered,
    never_echoed_scopes: &[],
    ..OPENID
};
