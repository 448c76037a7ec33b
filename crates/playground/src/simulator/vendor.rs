//! What a simulator is told about its vendor. Written from the vendors' documentation, and from nothing of
//! `oauth`: paths begin with the host at which the vendor has them.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use crate::authorization_server::{Offline, PkceRule, Rules};
use crate::people::Account;

/// A vendor as its simulator plays it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vendor {
    /// As `countersign simulate` names it.
    pub(crate) name: &'static str,
    /// As `credentialProviderVendor` names it.
    pub(crate) wire_name: &'static str,
    /// As people name it.
    pub(crate) label: &'static str,
    pub(crate) endpoints: Endpoints,
    pub(crate) rules: Rules,
    pub(crate) client: ClientRule,
    /// Whether token requests are JSON.
    pub(crate) json_requests: bool,
    /// Parameters that a token request must not have.
    pub(crate) refuses: &'static [&'static str],
    /// Parameters that a refresh must not have.
    pub(crate) refuses_at_refresh: &'static [&'static str],
    /// Headers without which requests are turned away.
    pub(crate) token_headers: &'static [&'static str],
    /// How long access tokens live; `None`: for ever, unless the simulator is told otherwise.
    pub(crate) lifetime: Option<Duration>,
    pub(crate) renewal: Renewal,
    /// What a token request is answered with.
    pub(crate) answer: fn(&Answer<'_>) -> Value,
    /// Whether answers are forms where the client does not ask for JSON.
    pub(crate) form_answers: bool,
    /// How a refusal is worded.
    pub(crate) refusal: fn(&Refusal) -> (StatusCode, Value),
    pub(crate) account: AccountRule,
    pub(crate) revocation: RevocationRule,
}

/// Where a vendor has its endpoints: host and path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Endpoints {
    pub(crate) authorize: &'static str,
    pub(crate) token: &'static str,
    pub(crate) account: Option<&'static str>,
    pub(crate) revoke: Option<&'static str>,
    /// Keys of ID tokens; `None` where there are none.
    pub(crate) keys: Option<&'static str>,
    /// `iss` of ID tokens, and where the discovery document of a customer's server is.
    pub(crate) issuer: &'static str,
    /// Whether a registration names the issuer, because each customer has one.
    pub(crate) customers: bool,
}

/// How a client has to authenticate at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientRule {
    Basic,
    Post,
    Either,
}

/// What a refresh does to the refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// A new one, and the old one ends; its second use ends the grant.
    Rotates,
    /// A new one, and the old one stays good.
    Adds,
    /// The answer has none: the old one stays.
    Omits,
    /// The answer repeats the old one.
    Repeats,
    /// There are none: an access token is exchanged by this grant for one that lives 60 days.
    AccessToken(&'static str),
}

/// A good answer's contents.
pub(crate) struct Answer<'a> {
    pub(crate) access_token: &'a str,
    pub(crate) refresh_token: Option<&'a str>,
    pub(crate) id_token: Option<&'a str>,
    /// Seconds; `None`: the token does not expire.
    pub(crate) lifetime: Option<u64>,
    pub(crate) scopes: &'a [String],
    pub(crate) account: &'a Account,
    /// The rules' mark.
    pub(crate) marked: bool,
    /// Milliseconds since 1970.
    pub(crate) now_millis: i64,
}

/// Why a token request is refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) kind: RefusalKind,
    pub(crate) description: &'static str,
}

/// The kinds of refusals that vendors word differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    Request,
    Client,
    Code,
    RefreshToken,
    GrantType,
}

/// Who the token is about, the vendor's way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountRule {
    pub(crate) call: AccountCall,
    /// The scheme before the token.
    pub(crate) scheme: &'static str,
    /// A header that has to name the client.
    pub(crate) client_header: Option<&'static str>,
    pub(crate) body: fn(&Account) -> Value,
}

/// How the account is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccountCall {
    Get,
    /// Without a body.
    Post,
    /// RFC 7662.
    Introspection,
}

/// How a token is withdrawn, the vendor's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RevocationRule {
    None,
    /// RFC 7009, any token.
    Standard,
    /// RFC 7009, refresh tokens alone.
    RefreshTokens,
    /// RFC 7009, for grants with the rules' mark alone.
    Marked,
    /// RFC 7009 with a JSON body.
    Json,
    /// The access token as bearer of a POST.
    Bearer,
    /// The access token as bearer of a DELETE.
    BearerDelete,
    /// DELETE of `PLACE/{client_id}/grant` by the client, the access token in a JSON body.
    ClientGrant,
}

impl Endpoints {
    pub(super) const fn new(issuer: &'static str, authorize: &'static str, token: &'static str) -> Self {
        Self {
            authorize,
            token,
            account: None,
            revoke: None,
            keys: None,
            issuer,
            customers: false,
        }
    }
}

/// How a vendor with OAuth of the usual kind receives authorization requests.
pub(super) const RULES: Rules = Rules {
    scope_separators: &[' '],
    pkce: PkceRule::Optional,
    required: &[],
    offline: Offline::Always,
    mark: None,
    loopback_redirects: true,
    names_issuer: false,
    code_lifetime: Duration::from_mins(1),
    // Longer than any access token of theirs.
    refresh_token_lifetime: Duration::from_hours(2 * 365 * 24),
};

/// Rules under which a refresh token needs the scope `offline_access`.
pub(super) const OFFLINE_ACCESS: Rules = Rules {
    offline: Offline::Scope(&["offline_access"]),
    ..RULES
};
