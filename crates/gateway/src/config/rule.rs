//! Rules as they are written down, and the rules of our own path table. The words and the limits are those
//! of the Elastic Load Balancing API (`CreateRule`), in snake case.

use ipnet::IpNet;
use serde::Deserialize;
use url::Url;

/// Conditions, and what to do where all of them hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// 1 to 50000, unique on its listener; lower is evaluated first.
    pub priority: u16,
    /// All must hold.
    #[serde(default)]
    pub conditions: Conditions,
    /// What is changed in a request before it is forwarded.
    #[serde(default)]
    pub transforms: Transforms,
    /// At most one `authenticate-oidc` or `jwt-validation` first, then exactly one of the others.
    pub actions: Vec<Action>,
}

/// Conditions of a rule. An empty list is no condition; a list holds where one of its values matches.
/// At most 3 values a condition and 5 altogether; `*` stands for any text and `?` for any character.
/// The `_regex` lists are regular expressions of at most 128 characters, without look-around or
/// back-references, that may match anywhere in the text: write `^` and `$`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Conditions {
    /// Patterns of the host name, without port, case-insensitive.
    pub host_header: Vec<String>,
    /// Regular expressions of the host name, without port, case-insensitive.
    pub host_header_regex: Vec<String>,
    /// Patterns of the path as sent, without query, case-sensitive.
    pub path_pattern: Vec<String>,
    /// Regular expressions of the path as sent, without query, case-sensitive.
    pub path_pattern_regex: Vec<String>,
    /// Header fields; each entry is a condition of its own.
    pub http_header: Vec<HttpHeaderCondition>,
    /// Methods, case-sensitive, without wildcards.
    pub http_request_method: Vec<String>,
    /// Query parameters; each entry is a condition of its own.
    pub query_string: Vec<QueryStringCondition>,
    /// Networks that the connection may come from; never what `X-Forwarded-For` says.
    pub source_ip: Vec<IpNet>,
}

/// One header field.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpHeaderCondition {
    /// Its name, at most 40 characters; never `Host`.
    pub name: String,
    /// Patterns of its value, case-insensitive. Every line of the field is tried.
    #[serde(default)]
    pub values: Vec<String>,
    /// Regular expressions of its value, case-sensitive.
    #[serde(default)]
    pub regex_values: Vec<String>,
}

/// Alternatives of which one must be in the query string.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryStringCondition {
    /// The alternatives.
    pub values: Vec<QueryStringPair>,
}

/// One query parameter, as it was sent (percent-encoding included), case-insensitive. A backslash before
/// `*`, `?` or a backslash takes it literally.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QueryStringPair {
    /// Pattern of its name; absent: any name.
    #[serde(default)]
    pub key: Option<String>,
    /// Pattern of its value.
    pub value: String,
}

/// Rewrites of a request on its way to a target. Conditions and login have seen the original. Where a
/// regular expression does not match, nothing is changed.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transforms {
    /// Rewrites the host name that the target sees.
    pub host_header_rewrite: Option<Rewrite>,
    /// Rewrites path and query, which it sees as one text: `/a?b=c`.
    pub url_rewrite: Option<Rewrite>,
}

/// One rewrite: the first match is replaced.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The regular expression, at most 1024 characters.
    pub regex: String,
    /// What is put in place of the match, at most 1024 characters; `$1` to `$9` are its groups.
    pub replace: String,
}

/// One action of a rule.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Find out who is asking.
    AuthenticateOidc {
        /// Name in `applications`. Absent: the provider of the app and account origins.
        #[serde(default)]
        application: Option<String>,
        /// What happens to a request without a session.
        #[serde(default)]
        on_unauthenticated_request: OnUnauthenticatedRequest,
    },
    /// Let only requests pass that carry a valid access token.
    JwtValidation(JwtValidation),
    /// Send the request to a target group.
    Forward(Forward),
    /// Answer with a redirect.
    Redirect(Redirect),
    /// Answer with a fixed text.
    FixedResponse(FixedResponse),
}

/// Where a request is sent: one target group, or several by weight.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Forward {
    /// Name in `target_groups`; the short form of one entry of `target_groups` below.
    pub target_group: Option<String>,
    /// At most 5, which share requests in proportion to their weights.
    pub target_groups: Vec<WeightedTargetGroup>,
    /// Seconds that a browser stays with the group it was given, by the cookie `AWSALBTG`: 1 to 604800.
    /// Absent: each request is dealt anew.
    pub target_group_stickiness_seconds: Option<u32>,
}

impl Forward {
    /// To one target group.
    #[must_use]
    pub fn to(target_group: &str) -> Self {
        Self {
            target_group: Some(target_group.to_owned()),
            ..Self::default()
        }
    }

    /// The target groups with their weights, in either form.
    pub(crate) fn weighted(&self) -> impl Iterator<Item = (&str, u16)> {
        let one = self.target_group.as_deref().map(|name| (name, 1));
        let many = self
            .target_groups
            .iter()
            .map(|group| (group.name.as_str(), group.weight));
        one.into_iter().chain(many)
    }
}

/// One of several target groups.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightedTargetGroup {
    /// Name in `target_groups`.
    pub name: String,
    /// 0 to 999; a group of weight 0 gets no new requests.
    #[serde(default = "one")]
    pub weight: u16,
}

/// The `jwt-validation` action: for programs that send `Authorization: Bearer`. Signature (RS256), `iss`
/// and `exp` are always checked, `nbf` and `iat` where they are present; `aud` only as an additional claim.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtValidation {
    /// The key set of the issuer, at most 256 characters. It has at most 10 keys and 150 KB.
    pub jwks_endpoint: Url,
    /// Exact `iss`, at most 256 characters.
    pub issuer: String,
    /// At most 10 further claims, all of which must hold.
    #[serde(default)]
    pub additional_claims: Vec<AdditionalClaim>,
}

/// A claim that must hold.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdditionalClaim {
    /// Its name; not `iss`, `exp`, `nbf` or `iat`.
    pub name: String,
    /// How its value is written in the token.
    pub format: ClaimFormat,
    /// At most 10 values of at most 256 characters, one of which must be there.
    pub values: Vec<String>,
}

/// How a claim is written.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum ClaimFormat {
    /// One text.
    SingleString,
    /// An array of texts.
    StringArray,
    /// One text of words, such as `scope`.
    SpaceSeparatedValues,
}

/// What an `authenticate-oidc` action does without a session.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub enum OnUnauthenticatedRequest {
    /// Send the browser to log in (302). Requests that cannot be repeated by a GET get 401.
    #[default]
    Authenticate,
    /// As `authenticate` for navigations; requests of scripts get 401 with a JSON body, since a script
    /// cannot follow a login.
    AuthenticateNavigation,
    /// Forward without identity headers.
    Allow,
    /// Answer 401.
    Deny,
}

/// A redirect. Each part is a template in which `#{protocol}`, `#{host}`, `#{port}`, `#{path}` (without
/// its first slash) and `#{query}` stand for the request's own; at least one of the first four must change.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`; never from HTTPS to HTTP.
    pub protocol: String,
    /// Host name.
    pub host: String,
    /// 1 to 65535 or `#{port}`.
    pub port: String,
    /// Absolute path.
    pub path: String,
    /// Query, without `?`.
    pub query: String,
    /// 301 or 302.
    pub status_code: u16,
}

impl Default for Redirect {
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status_code: 302,
        }
    }
}

/// A fixed answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FixedResponse {
    /// 2XX, 4XX or 5XX.
    pub status_code: u16,
    /// `text/plain`, `text/html`, `text/css`, `application/javascript` or `application/json`.
    #[serde(default = "text_plain")]
    pub content_type: String,
    /// At most 1024 bytes.
    #[serde(default)]
    pub message_body: String,
}

const fn one() -> u16 {
    1
}

fn text_plain() -> String {
    "text/plain".to_owned()
}

/// The app origin: everything is the agent's and wants a login, but nothing of the identity service is
/// reachable, so that no page of the agent shares an origin with a consent button.
#[must_use]
pub fn app_rules(agent: &str) -> Vec<Rule> {
    use OnUnauthenticatedRequest::{Authenticate, AuthenticateNavigation};
    vec![
        fixed(10, &["/identities", "/identities/*"], 404),
        authenticated(20, &["/invocations"], AuthenticateNavigation, agent),
        authenticated(30, &["/*"], Authenticate, agent),
    ]
}

/// The account origin: a list of exactly what is reachable there; all else is 404.
#[must_use]
pub fn account_rules(identity: &str, binding: &str) -> Vec<Rule> {
    use OnUnauthenticatedRequest::{Allow, Authenticate};
    vec![
        // Identity decides itself whether the start needs a login: plain AgentCore clients have none.
        authenticated(10, &["/identities/oauth2/authorize"], Allow, identity),
        authenticated(
            20,
            &["/identities/oauth2/authorize/login"],
            Authenticate,
            identity,
        ),
        // The provider sends the browser here; state and the browser cookie protect it.
        rule(
            30,
            &["/identities/oauth2/callback/*"],
            vec![Action::Forward(Forward::to(identity))],
        ),
        fixed(40, &["/identities", "/identities/*"], 404),
        authenticated(
            50,
            &["/oauth2/session-binding", "/oauth2/session-binding/*"],
            Authenticate,
            binding,
        ),
        authenticated(60, &["/connections", "/connections/*"], Authenticate, identity),
        authenticated(70, &["/console", "/console/*"], Authenticate, identity),
    ]
}

fn rule(priority: u16, patterns: &[&str], actions: Vec<Action>) -> Rule {
    Rule {
        priority,
        conditions: Conditions {
            path_pattern: patterns.iter().map(|&p| p.to_owned()).collect(),
            ..Conditions::default()
        },
        transforms: Transforms::default(),
        actions,
    }
}

fn fixed(priority: u16, patterns: &[&str], status_code: u16) -> Rule {
    let answer = FixedResponse {
        status_code,
        content_type: text_plain(),
        message_body: String::new(),
    };
    rule(priority, patterns, vec![Action::FixedResponse(answer)])
}

fn authenticated(
    priority: u16,
    patterns: &[&str],
    on_unauthenticated_request: OnUnauthenticatedRequest,
    target: &str,
) -> Rule {
    let authenticate = Action::AuthenticateOidc {
        application: None,
        on_unauthenticated_request,
    };
    rule(
        priority,
        patterns,
        vec![authenticate, Action::Forward(Forward::to(target))],
    )
}
