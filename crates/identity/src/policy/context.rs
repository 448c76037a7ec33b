//! The request context: what conditions and policy variables are compared with.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::OnceLock;

use base64::Engine as _;
use countersign_api::{Arn, Sensitive};
use countersign_crypto::{Timestamp, parse_strict_json};
use serde_json::Value;

use super::key::Key;

/// Tags of a resource, a request or a principal.
pub(crate) type Tags = BTreeMap<String, String>;

/// What the request itself says. An operation sets what it has before it asks for authorization; what is not set is
/// absent for every condition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Context {
    /// The user id that the caller states.
    pub(crate) user_id: Option<String>,
    /// The user token that is presented, or that the workload access token was made from. Its claims may be compared
    /// before it is verified: an operation that then finds it unverifiable refuses all the same.
    pub(crate) inbound_jwt: Option<Sensitive>,
    /// The scopes asked of a provider, as [`asked_scopes`] reads them.
    pub(crate) scopes: Option<Vec<String>>,
    /// The tags that the request sets.
    pub(crate) request_tags: Option<Tags>,
    /// The keys of the tags that the request removes; of those it sets they are known.
    pub(crate) tag_keys: Option<Vec<String>>,
    /// Where the caller is.
    pub(crate) source_ip: Option<IpAddr>,
    /// Whether the connection is TLS.
    pub(crate) secure_transport: bool,
    /// The claims of `inbound_jwt`, read once a policy asks for one; set outright in a simulation.
    pub(crate) claims: OnceLock<BTreeMap<String, Vec<String>>>,
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Principal<'a> {
    pub(crate) arn: &'a Arn,
    pub(crate) name: &'a str,
    pub(crate) tags: &'a Tags,
}

/// One decision's facts: who, when, in which region, what the request says, and the tags of the resource in question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts<'a> {
    pub(crate) principal: Principal<'a>,
    pub(crate) region: &'a str,
    pub(crate) now: Timestamp,
    pub(crate) context: &'a Context,
    pub(crate) resource_tags: Option<&'a Tags>,
}

/// The values of a key in a request. An empty list is absence, as in IAM.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    Absent,
    One(Datum<'a>),
    Texts(&'a [String]),
    Keys(&'a Tags),
}

/// One value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Datum<'a> {
    Text(&'a str),
    Arn(&'a Arn),
    Ip(IpAddr),
    Flag(bool),
    Time(Timestamp),
    Epoch(Timestamp),
}

impl<'a> Datum<'a> {
    pub(super) fn text(self) -> Cow<'a, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Arn(arn) => arn.to_string().into(),
            Self::Ip(address) => address.to_string().into(),
            Self::Flag(flag) => Cow::Borrowed(if flag { "true" } else { "false" }),
            Self::Time(at) => Timestamp::from_secs(at.as_secs()).to_rfc3339().into(),
            Self::Epoch(at) => at.as_secs().to_string().into(),
        }
    }
}

impl<'a> Values<'a> {
    fn text(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, |text| Self::One(Datum::Text(text)))
    }

    pub(super) fn is_absent(self) -> bool {
        match self {
            Self::Absent => true,
            Self::One(_) => false,
            Self::Texts(texts) => texts.is_empty(),
            Self::Keys(tags) => tags.is_empty(),
        }
    }

    pub(super) fn any(self, mut test: impl FnMut(Datum<'a>) -> bool) -> bool {
        match self {
            Self::Absent => false,
            Self::One(datum) => test(datum),
            Self::Texts(texts) => texts.iter().any(|text| test(Datum::Text(text))),
            Self::Keys(tags) => tags.keys().any(|key| test(Datum::Text(key))),
        }
    }

    pub(super) fn all(self, mut test: impl FnMut(Datum<'a>) -> bool) -> bool {
        !self.any(|datum| !test(datum))
    }
}

impl<'a> Facts<'a> {
    pub(super) fn values(&self, key: &Key) -> Values<'a> {
        let context = self.context;
        match key {
            Key::UserId => Values::text(context.user_id.as_deref()),
            Key::InboundJwtClaim(claim) => {
                let values = context.claims().get(claim);
                values.map_or(Values::Absent, |values| Values::Texts(values))
            }
            Key::Scopes => context
                .scopes
                .as_ref()
                .map_or(Values::Absent, |scopes| Values::Texts(scopes)),
            Key::SourceIp => context.source_ip.map_or(Values::Absent, |address| {
                Values::One(Datum::Ip(address.to_canonical()))
            }),
            Key::SecureTransport => Values::One(Datum::Flag(context.secure_transport)),
            Key::CurrentTime => Values::One(Datum::Time(self.now)),
            Key::EpochTime => Values::One(Datum::Epoch(self.now)),
            Key::ResourceTag(tag) => Values::text(self.resource_tags.and_then(|tags| tag_value(tags, tag))),
            Key::RequestTag(tag) => Values::text(
                context
                    .request_tags
                    .as_ref()
                    .and_then(|tags| tag_value(tags, tag)),
            ),
            Key::PrincipalTag(tag) => Values::text(tag_value(self.principal.tags, tag)),
            Key::TagKeys => match (&context.tag_keys, &context.request_tags) {
                (Some(keys), _) => Values::Texts(keys),
                (None, Some(tags)) => Values::Keys(tags),
                (None, None) => Values::Absent,
            },
            Key::PrincipalArn => Values::One(Datum::Arn(self.principal.arn)),
            Key::PrincipalAccount => Values::One(Datum::Text(&self.principal.arn.account)),
            Key::Username => Values::One(Datum::Text(self.principal.name)),
            Key::RequestedRegion => Values::One(Datum::Text(self.region)),
        }
    }
}

/// The tag of this key; keys that differ only in case are one to IAM's conditions.
fn tag_value<'a>(tags: &'a Tags, key: &str) -> Option<&'a str> {
    let exact = tags.get(key);
    let folded = || {
        tags.iter()
            .find(|(present, _)| present.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    };
    exact.or_else(folded).map(String::as_str)
}

impl Context {
    fn claims(&self) -> &BTreeMap<String, Vec<String>> {
        self.claims.get_or_init(|| {
            self.inbound_jwt
                .as_ref()
                .and_then(|token| claims_of(token.expose()))
                .unwrap_or_default()
        })
    }
}

/// The scopes that a request asks of a provider, as conditions compare them: those of `scopes`, every one by itself,
/// and what custom parameters ask for beside them. Where a provider may see two scopes in one text (some separate by
/// commas, and by spaces that RFC 6749 has not), each of the parts is compared as well as the whole.
pub(crate) fn asked_scopes<'a>(
    scopes: &'a [String],
    custom_parameters: impl Iterator<Item = (&'a str, &'a str)>,
) -> Vec<String> {
    let parts = |text: &'a str| text.split(separates_scopes).filter(|part| !part.is_empty());
    let mut asked = scopes.to_vec();
    for scope in scopes.iter().filter(|scope| scope.contains(separates_scopes)) {
        asked.extend(parts(scope).map(str::to_owned));
    }
    for (_, value) in custom_parameters.filter(|(name, _)| asks_for_scopes(name)) {
        asked.extend(parts(value).map(str::to_owned));
    }
    asked
}

/// What is no character of a scope (RFC 6749 section 3.3), and the comma.
fn separates_scopes(character: char) -> bool {
    !matches!(character, '\u{21}' | '\u{23}'..='\u{5b}' | '\u{5d}'..='\u{7e}') || character == ','
}

/// Slack's `user_scope`, `optional_scope` of Yandex and `HubSpot`, Auth0's `connection_scope`, Google's
/// `include_granted_scopes`; and the rights of RFC 9396.
fn asks_for_scopes(parameter: &str) -> bool {
    let parameter = parameter.to_ascii_lowercase();
    parameter.contains("scope") || parameter == "authorization_details"
}

/// The claims of a JWT as texts, unverified. `None` for what is not a JWT.
fn claims_of(token: &str) -> Option<BTreeMap<String, Vec<String>>> {
    let payload = token.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(payload)
        .ok()?;
    let Value::Object(claims) = parse_strict_json(&payload).ok()? else {
        return None;
    };
    Some(
        claims
            .into_iter()
            .map(|(name, value)| (name, texts(value)))
            .collect(),
    )
}

/// A list as several values; what is neither text, number nor boolean as none.
fn texts(value: Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text],
        Value::Number(number) => vec![number.to_string()],
        Value::Bool(flag) => vec![flag.to_string()],
        Value::Array(items) => items.into_iter().flat_map(texts).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}
