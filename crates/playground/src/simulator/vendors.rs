//! The vendors that can be simulated, as they document themselves.

use std::time::Duration;

use super::shapes::{
    atlassian_account, atlassian_refusal, custom, dropbox_account, facebook_refusal, github, github_account,
    github_refusal, google, hubspot, hubspot_account, hubspot_refusal, linkedin, microsoft, notion,
    openid_account, plain_account, reddit_refusal, salesforce, scopeless, slack, slack_account,
    slack_refusal, standard, standard_refusal, twitch, twitch_account, x_account,
};
use super::vendor::{
    AccountCall, AccountRule, ClientRule, Endpoints, OFFLINE_ACCESS, RULES, Renewal, RevocationRule, Vendor,
};
use crate::authorization_server::{Offline, PkceRule, Rules};

const HOUR: Duration = Duration::from_hours(1);

const GET: AccountRule = AccountRule {
    call: AccountCall::Get,
    scheme: "Bearer",
    client_header: None,
    body: plain_account,
};

/// A service with OAuth of the usual kind.
const SERVICE: Vendor = Vendor {
    name: "",
    wire_name: "",
    label: "",
    endpoints: Endpoints::new("", "", ""),
    rules: RULES,
    client: ClientRule::Either,
    json_requests: false,
    refuses: &[],
    refuses_at_refresh: &[],
    token_headers: &[],
    lifetime: Some(HOUR),
    renewal: Renewal::Omits,
    answer: standard,
    form_answers: false,
    refusal: standard_refusal,
    account: GET,
    revocation: RevocationRule::Standard,
};

/// An OpenID provider on a host of the customer's.
const OPENID: Vendor = Vendor {
    rules: OFFLINE_ACCESS,
    renewal: Renewal::Rotates,
    account: AccountRule {
        body: openid_account,
        ..GET
    },
    ..SERVICE
};

const NO_PKCE: Rules = Rules {
    pkce: PkceRule::Refused,
    ..RULES
};

/// All of them, in the order of the wire's enumeration.
pub(crate) static VENDORS: [Vendor; 25] = [
    Vendor {
        name: "google",
        wire_name: "GoogleOauth2",
        label: "Google",
        endpoints: Endpoints {
            account: Some("openidconnect.googleapis.com/v1/userinfo"),
            revoke: Some("oauth2.googleapis.com/revoke"),
            keys: Some("www.googleapis.com/oauth2/v3/certs"),
            ..Endpoints::new(
                "accounts.google.com",
                "accounts.google.com/o/oauth2/v2/auth",
                "oauth2.googleapis.com/token",
            )
        },
        rules: Rules {
            offline: Offline::Parameters(&[("access_type", "offline"), ("prompt", "consent")]),
            ..RULES
        },
        answer: google,
        account: OPENID.account,
        ..SERVICE
    },
    Vendor {
        name: "github",
        wire_name: "GithubOauth2",
        label: "GitHub",
        endpoints: Endpoints {
            account: Some("api.github.com/user"),
            revoke: Some("api.github.com/applications"),
            ..Endpoints::new(
                "github.com/login/oauth",
                "github.com/login/oauth/authorize",
                "github.com/login/oauth/access_token",
            )
        },
        rules: Rules {
            scope_separators: &[' ', ','],
            ..RULES
        },
        client: ClientRule::Post,
        lifetime: None,
        renewal: Renewal::Rotates,
        answer: github,
        form_answers: true,
        refusal: github_refusal,
        account: AccountRule {
            body: github_account,
            ..GET
        },
        revocation: RevocationRule::ClientGrant,
        ..SERVICE
    },
    Vendor {
        name: "slack",
        wire_name: "SlackOauth2",
        label: "Slack",
        endpoints: Endpoints {
            account: Some("slack.com/api/auth.test"),
            revoke: Some("slack.com/api/auth.revoke"),
            ..Endpoints::new(
                "slack.com",
                "slack.com/oauth/v2/authorize",
                "slack.com/api/oauth.v2.access",
            )
        },
        rules: Rules {
            scope_separators: &[','],
            mark: Some("user_scope"),
            ..NO_PKCE
        },
        client: ClientRule::Post,
        refuses: &["code_verifier"],
        lifetime: Some(Duration::from_hours(12)),
        renewal: Renewal::Rotates,
        answer: slack,
        refusal: slack_refusal,
        account: AccountRule {
            body: slack_account,
            ..GET
        },
        revocation: RevocationRule::Bearer,
        ..SERVICE
    },
    Vendor {
        name: "salesforce",
        wire_name: "SalesforceOauth2",
        label: "Salesforce",
        endpoints: Endpoints {
            account: Some("login.salesforce.com/services/oauth2/userinfo"),
            revoke: Some("login.salesforce.com/services/oauth2/revoke"),
            keys: Some("login.salesforce.com/id/keys"),
            ..Endpoints::new(
                "login.salesforce.com",
                "login.salesforce.com/services/oauth2/authorize",
                "login.salesforce.com/services/oauth2/token",
            )
        },
        rules: Rules {
            offline: Offline::Scope(&["refresh_token", "offline_access"]),
            ..RULES
        },
        client: ClientRule::Post,
        lifetime: Some(Duration::from_hours(2)),
        answer: salesforce,
        account: OPENID.account,
        ..SERVICE
    },
    Vendor {
        name: "microsoft",
        wire_name: "MicrosoftOauth2",
        label: "Microsoft",
        endpoints: Endpoints {
            account: Some("graph.microsoft.com/oidc/userinfo"),
            keys: Some("login.microsoftonline.com/{tenant}/discovery/v2.0/keys"),
            ..Endpoints::new(
                "login.microsoftonline.com/72f988bf-86f1-41af-91ab-2d7cd011db47/v2.0",
                "login.microsoftonline.com/{tenant}/oauth2/v2.0/authorize",
                "login.microsoftonline.com/{tenant}/oauth2/v2.0/token",
            )
        },
        rules: OFFLINE_ACCESS,
        refuses: &["resource"],
        renewal: Renewal::Adds,
        answer: microsoft,
        account: OPENID.account,
        revocation: RevocationRule::None,
        ..SERVICE
    },
    Vendor {
        name: "custom",
        wire_name: "CustomOauth2",
        label: "Any server",
        endpoints: Endpoints {
            account: Some("as.example/userinfo"),
            revoke: Some("as.example/revoke"),
            keys: Some("as.example/keys"),
            customers: true,
            ..Endpoints::new("as.example", "as.example/authorize", "as.example/token")
        },
        answer: custom,
        ..OPENID
    },
    Vendor {
        name: "atlassian",
        wire_name: "AtlassianOauth2",
        label: "Atlassian",
        endpoints: Endpoints {
            account: Some("api.atlassian.com/me"),
            ..Endpoints::new(
                "auth.atlassian.com",
                "auth.atlassian.com/authorize",
                "auth.atlassian.com/oauth/token",
            )
        },
        rules: Rules {
            required: &[("audience", "api.atlassian.com"), ("prompt", "consent")],
            ..OFFLINE_ACCESS
        },
        client: ClientRule::Post,
        refuses_at_refresh: &["scope"],
        renewal: Renewal::Rotates,
        refusal: atlassian_refusal,
        account: AccountRule {
            body: atlassian_account,
            ..GET
        },
        revocation: RevocationRule::None,
        ..SERVICE
    },
    Vendor {
        name: "linkedin",
        wire_name: "LinkedinOauth2",
        label: "LinkedIn",
        endpoints: Endpoints {
            account: Some("api.linkedin.com/v2/userinfo"),
            revoke: Some("www.linkedin.com/oauth/v2/revoke"),
            ..Endpoints::new(
                "www.linkedin.com/oauth",
                "www.linkedin.com/oauth/v2/authorization",
                "www.linkedin.com/oauth/v2/accessToken",
            )
        },
        rules: NO_PKCE,
        client: ClientRule::Post,
        refuses: &["code_verifier"],
        lifetime: Some(Duration::from_hours(60 * 24)),
        renewal: Renewal::Repeats,
        answer: linkedin,
        account: OPENID.account,
        ..SERVICE
    },
    Vendor {
        name: "x",
        wire_name: "XOauth2",
        label: "X",
        endpoints: Endpoints {
            account: Some("api.x.com/2/users/me"),
            revoke: Some("api.x.com/2/oauth2/revoke"),
            ..Endpoints::new("x.com", "x.com/i/oauth2/authorize", "api.x.com/2/oauth2/token")
        },
        rules: Rules {
            pkce: PkceRule::Required,
            offline: Offline::Scope(&["offline.access"]),
            code_lifetime: Duration::from_secs(30),
            ..RULES
        },
        client: ClientRule::Basic,
        lifetime: Some(Duration::from_hours(2)),
        renewal: Renewal::Rotates,
        account: AccountRule {
            body: x_account,
            ..GET
        },
        ..SERVICE
    },
    Vendor {
        name: "okta",
        wire_name: "OktaOauth2",
        label: "Okta",
        endpoints: Endpoints {
            account: Some("acme.okta.com/oauth2/default/v1/userinfo"),
            revoke: Some("acme.okta.com/oauth2/default/v1/revoke"),
            keys: Some("acme.okta.com/oauth2/default/v1/keys"),
            customers: true,
            ..Endpoints::new(
                "acme.okta.com/oauth2/default",
                "acme.okta.com/oauth2/default/v1/authorize",
                "acme.okta.com/oauth2/default/v1/token",
            )
        },
        ..OPENID
    },
    Vendor {
        name: "onelogin",
        wire_name: "OneLoginOauth2",
        label: "OneLogin",
        endpoints: Endpoints {
            account: Some("acme.onelogin.com/oidc/2/me"),
            revoke: Some("acme.onelogin.com/oidc/2/token/revocation"),
            keys: Some("acme.onelogin.com/oidc/2/certs"),
            customers: true,
            ..Endpoints::new(
                "acme.onelogin.com/oidc/2",
                "acme.onelogin.com/oidc/2/auth",
                "acme.onelogin.com/oidc/2/token",
            )
        },
        ..OPENID
    },
    Vendor {
        name: "pingone",
        wire_name: "PingOneOauth2",
        label: "PingOne",
        endpoints: Endpoints {
            account: Some("auth.pingone.eu/7b5e2b5c/as/userinfo"),
            revoke: Some("auth.pingone.eu/7b5e2b5c/as/revoke"),
            keys: Some("auth.pingone.eu/7b5e2b5c/as/jwks"),
            customers: true,
            ..Endpoints::new(
                "auth.pingone.eu/7b5e2b5c/as",
                "auth.pingone.eu/7b5e2b5c/as/authorize",
                "auth.pingone.eu/7b5e2b5c/as/token",
            )
        },
        // The grant is a setting of the application.
        rules: RULES,
        ..OPENID
    },
    Vendor {
        name: "facebook",
        wire_name: "FacebookOauth2",
        label: "Facebook",
        endpoints: Endpoints {
            account: Some("graph.facebook.com/v22.0/me"),
            revoke: Some("graph.facebook.com/v22.0/me/permissions"),
            ..Endpoints::new(
                "www.facebook.com",
                "www.facebook.com/v22.0/dialog/oauth",
                "graph.facebook.com/v22.0/oauth/access_token",
            )
        },
        rules: Rules {
            scope_separators: &[','],
            ..RULES
        },
        client: ClientRule::Post,
        renewal: Renewal::AccessToken("fb_exchange_token"),
        answer: scopeless,
        refusal: facebook_refusal,
        revocation: RevocationRule::BearerDelete,
        ..SERVICE
    },
    Vendor {
        name: "yandex",
        wire_name: "YandexOauth2",
        label: "Yandex",
        endpoints: Endpoints {
            account: Some("login.yandex.ru/info"),
            revoke: Some("oauth.yandex.com/revoke_token"),
            ..Endpoints::new(
                "oauth.yandex.com",
                "oauth.yandex.com/authorize",
                "oauth.yandex.com/token",
            )
        },
        rules: Rules {
            mark: Some("device_id"),
            ..RULES
        },
        lifetime: Some(Duration::from_hours(365 * 24)),
        renewal: Renewal::Adds,
        answer: scopeless,
        account: AccountRule {
            scheme: "OAuth",
            ..GET
        },
        revocation: RevocationRule::Marked,
        ..SERVICE
    },
    Vendor {
        name: "reddit",
        wire_name: "RedditOauth2",
        label: "Reddit",
        endpoints: Endpoints {
            account: Some("oauth.reddit.com/api/v1/me"),
            revoke: Some("www.reddit.com/api/v1/revoke_token"),
            ..Endpoints::new(
                "www.reddit.com",
                "www.reddit.com/api/v1/authorize",
                "www.reddit.com/api/v1/access_token",
            )
        },
        rules: Rules {
            scope_separators: &[' ', ','],
            offline: Offline::Parameters(&[("duration", "permanent")]),
            ..NO_PKCE
        },
        client: ClientRule::Basic,
        refuses: &["code_verifier"],
        token_headers: &["user-agent"],
        lifetime: Some(Duration::from_hours(24)),
        refusal: reddit_refusal,
        ..SERVICE
    },
    Vendor {
        name: "zoom",
        wire_name: "ZoomOauth2",
        label: "Zoom",
        endpoints: Endpoints {
            account: Some("api.zoom.us/v2/users/me"),
            revoke: Some("zoom.us/oauth/revoke"),
            ..Endpoints::new("zoom.us", "zoom.us/oauth/authorize", "zoom.us/oauth/token")
        },
        client: ClientRule::Basic,
        renewal: Renewal::Rotates,
        ..SERVICE
    },
    Vendor {
        name: "twitch",
        wire_name: "TwitchOauth2",
        label: "Twitch",
        endpoints: Endpoints {
            account: Some("api.twitch.tv/helix/users"),
            revoke: Some("id.twitch.tv/oauth2/revoke"),
            keys: Some("id.twitch.tv/oauth2/keys"),
            ..Endpoints::new(
                "id.twitch.tv/oauth2",
                "id.twitch.tv/oauth2/authorize",
                "id.twitch.tv/oauth2/token",
            )
        },
        client: ClientRule::Post,
        lifetime: Some(Duration::from_hours(4)),
        renewal: Renewal::Repeats,
        answer: twitch,
        account: AccountRule {
            client_header: Some("client-id"),
            body: twitch_account,
            ..GET
        },
        ..SERVICE
    },
    Vendor {
        name: "spotify",
        wire_name: "SpotifyOauth2",
        label: "Spotify",
        endpoints: Endpoints {
            account: Some("api.spotify.com/v1/me"),
            ..Endpoints::new(
                "accounts.spotify.com",
                "accounts.spotify.com/authorize",
                "accounts.spotify.com/api/token",
            )
        },
        client: ClientRule::Basic,
        revocation: RevocationRule::None,
        ..SERVICE
    },
    Vendor {
        name: "dropbox",
        wire_name: "DropboxOauth2",
        label: "Dropbox",
        endpoints: Endpoints {
            account: Some("api.dropboxapi.com/2/users/get_current_account"),
            revoke: Some("api.dropboxapi.com/2/auth/token/revoke"),
            ..Endpoints::new(
                "www.dropbox.com",
                "www.dropbox.com/oauth2/authorize",
                "api.dropboxapi.com/oauth2/token",
            )
        },
        rules: Rules {
            offline: Offline::Parameters(&[("token_access_type", "offline")]),
            ..RULES
        },
        lifetime: Some(Duration::from_hours(4)),
        account: AccountRule {
            call: AccountCall::Post,
            body: dropbox_account,
            ..GET
        },
        revocation: RevocationRule::Bearer,
        ..SERVICE
    },
    Vendor {
        name: "notion",
        wire_name: "NotionOauth2",
        label: "Notion",
        endpoints: Endpoints {
            revoke: Some("api.notion.com/v1/oauth/revoke"),
            ..Endpoints::new(
                "api.notion.com",
                "api.notion.com/v1/oauth/authorize",
                "api.notion.com/v1/oauth/token",
            )
        },
        rules: Rules {
            required: &[("owner", "user")],
            ..NO_PKCE
        },
        client: ClientRule::Basic,
        json_requests: true,
        refuses: &["code_verifier"],
        lifetime: None,
        renewal: Renewal::Rotates,
        answer: notion,
        revocation: RevocationRule::Json,
        ..SERVICE
    },
    Vendor {
        name: "hubspot",
        wire_name: "HubspotOauth2",
        label: "HubSpot",
        endpoints: Endpoints {
            account: Some("api.hubapi.com/oauth/2026-03/token/introspect"),
            revoke: Some("api.hubapi.com/oauth/2026-03/token/revoke"),
            ..Endpoints::new(
                "app.hubspot.com",
                "app.hubspot.com/oauth/authorize",
                "api.hubapi.com/oauth/2026-03/token",
            )
        },
        rules: NO_PKCE,
        client: ClientRule::Post,
        refuses: &["code_verifier"],
        lifetime: Some(Duration::from_mins(30)),
        renewal: Renewal::Repeats,
        answer: hubspot,
        refusal: hubspot_refusal,
        account: AccountRule {
            call: AccountCall::Introspection,
            body: hubspot_account,
            ..GET
        },
        ..SERVICE
    },
    Vendor {
        name: "cyberark",
        wire_name: "CyberArkOauth2",
        label: "CyberArk",
        endpoints: Endpoints {
            account: Some("acme.id.cyberark.cloud/OAuth2/UserInfo/app"),
            revoke: Some("acme.id.cyberark.cloud/OAuth2/Revoke/app"),
            keys: Some("acme.id.cyberark.cloud/OAuth2/Keys/app"),
            customers: true,
            ..Endpoints::new(
                "acme.id.cyberark.cloud/app",
                "acme.id.cyberark.cloud/OAuth2/Authorize/app",
                "acme.id.cyberark.cloud/OAuth2/Token/app",
            )
        },
        client: ClientRule::Basic,
        ..OPENID
    },
    Vendor {
        name: "fusionauth",
        wire_name: "FusionAuthOauth2",
        label: "FusionAuth",
        endpoints: Endpoints {
            account: Some("acme.fusionauth.io/oauth2/userinfo"),
            keys: Some("acme.fusionauth.io/.well-known/jwks.json"),
            customers: true,
            ..Endpoints::new(
                "acme.fusionauth.io",
                "acme.fusionauth.io/oauth2/authorize",
                "acme.fusionauth.io/oauth2/token",
            )
        },
        renewal: Renewal::Omits,
        revocation: RevocationRule::None,
        ..OPENID
    },
    Vendor {
        name: "auth0",
        wire_name: "Auth0Oauth2",
        label: "Auth0",
        endpoints: Endpoints {
            account: Some("acme.auth0.com/userinfo"),
            revoke: Some("acme.auth0.com/oauth/revoke"),
            keys: Some("acme.auth0.com/.well-known/jwks.json"),
            customers: true,
            // The slash is part of it.
            ..Endpoints::new(
                "acme.auth0.com/",
                "acme.auth0.com/authorize",
                "acme.auth0.com/oauth/token",
            )
        },
        revocation: RevocationRule::RefreshTokens,
        ..OPENID
    },
    Vendor {
        name: "cognito",
        wire_name: "CognitoOauth2",
        label: "Amazon Cognito",
        endpoints: Endpoints {
            account: Some("acme.auth.us-east-1.amazoncognito.com/oauth2/userInfo"),
            revoke: Some("acme.auth.us-east-1.amazoncognito.com/oauth2/revoke"),
            keys: Some("cognito-idp.us-east-1.amazonaws.com/us-east-1_Acme/.well-known/jwks.json"),
            customers: true,
            ..Endpoints::new(
                "cognito-idp.us-east-1.amazonaws.com/us-east-1_Acme",
                "acme.auth.us-east-1.amazoncognito.com/oauth2/authorize",
                "acme.auth.us-east-1.amazoncognito.com/oauth2/token",
            )
        },
        rules: RULES,
        renewal: Renewal::Omits,
        answer: scopeless,
        revocation: RevocationRule::RefreshTokens,
        ..OPENID
    },
];

/// The vendor of this name, short or as the wire has it; case does not matter.
pub(crate) fn find(name: &str) -> Option<&'static Vendor> {
    VENDORS
        .iter()
        .find(|vendor| vendor.name.eq_ignore_ascii_case(name) || vendor.wire_name.eq_ignore_ascii_case(name))
}
