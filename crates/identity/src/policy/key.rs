//! Condition keys: what a policy can ask about a request.

use std::fmt;

/// A condition key that this server supplies. Names are compared without case, as in IAM; what follows the slash of
/// a tag key too, the name of a claim exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// `bedrock-agentcore:userid`: the user id that the caller states.
    UserId,
    /// `bedrock-agentcore:InboundJwtClaim/<claim>`: of the user token that is presented, or that the workload access
    /// token was made from.
    InboundJwtClaim(String),
    /// `countersign:scopes`: the scopes asked of a provider.
    Scopes,
    /// `aws:SourceIp`.
    SourceIp,
    /// `aws:SecureTransport`: whether the connection is TLS.
    SecureTransport,
    /// `aws:CurrentTime`.
    CurrentTime,
    /// `aws:EpochTime`.
    EpochTime,
    /// `aws:ResourceTag/<key>`: of the resource that is being decided.
    ResourceTag(String),
    /// `aws:RequestTag/<key>`: a tag that the request sets.
    RequestTag(String),
    /// `aws:PrincipalTag/<key>`.
    PrincipalTag(String),
    /// `aws:TagKeys`: the keys of the tags that the request sets or removes.
    TagKeys,
    /// `aws:PrincipalArn`.
    PrincipalArn,
    /// `aws:PrincipalAccount`.
    PrincipalAccount,
    /// `aws:username`: the principal's name.
    Username,
    /// `aws:RequestedRegion`.
    RequestedRegion,
}

/// Longest name of a tag or claim.
const MAX_NAME: usize = 128;

impl Key {
    /// `None` for a key that nothing here supplies.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (name, part) = match text.split_once('/') {
            Some((name, part)) => (name, Some(part)),
            None => (text, None),
        };
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        if let Some(part) = part {
            if part.is_empty() || part.len() > MAX_NAME {
                return None;
            }
            return match () {
                () if is("bedrock-agentcore:InboundJwtClaim") => Some(Self::InboundJwtClaim(part.to_owned())),
                () if is("aws:ResourceTag") => Some(Self::ResourceTag(part.to_owned())),
                () if is("aws:RequestTag") => Some(Self::RequestTag(part.to_owned())),
                () if is("aws:PrincipalTag") => Some(Self::PrincipalTag(part.to_owned())),
                () => None,
            };
        }
        let known = [
            ("bedrock-agentcore:userid", Self::UserId),
            ("countersign:scopes", Self::Scopes),
            ("aws:SourceIp", Self::SourceIp),
            ("aws:SecureTransport", Self::SecureTransport),
            ("aws:CurrentTime", Self::CurrentTime),
            ("aws:EpochTime", Self::EpochTime),
            ("aws:TagKeys", Self::TagKeys),
            ("aws:PrincipalArn", Self::PrincipalArn),
            ("aws:PrincipalAccount", Self::PrincipalAccount),
            ("aws:username", Self::Username),
            ("aws:RequestedRegion", Self::RequestedRegion),
        ];
        known.into_iter().find(|(name, _)| is(name)).map(|(_, key)| key)
    }

    /// Whether a request may have several values of it.
    pub(super) const fn is_multivalued(&self) -> bool {
        matches!(self, Self::Scopes | Self::TagKeys | Self::InboundJwtClaim(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UserId => f.write_str("bedrock-agentcore:userid"),
            Self::InboundJwtClaim(claim) => write!(f, "bedrock-agentcore:InboundJwtClaim/{claim}"),
            Self::Scopes => f.write_str("countersign:scopes"),
            Self::SourceIp => f.write_str("aws:SourceIp"),
            Self::SecureTransport => f.write_str("aws:SecureTransport"),
            Self::CurrentTime => f.write_str("aws:CurrentTime"),
            Self::EpochTime => f.write_str("aws:EpochTime"),
            Self::ResourceTag(tag) => write!(f, "aws:ResourceTag/{tag}"),
            Self::RequestTag(tag) => write!(f, "aws:RequestTag/{tag}"),
            Self::PrincipalTag(tag) => write!(f, "aws:PrincipalTag/{tag}"),
            Self::TagKeys => f.write_str("aws:TagKeys"),
            Self::PrincipalArn => f.write_str("aws:PrincipalArn"),
            Self::PrincipalAccount => f.write_str("aws:PrincipalAccount"),
            Self::Username => f.write_str("aws:username"),
            Self::RequestedRegion => f.write_str("aws:RequestedRegion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_unknown_ones_are_none() {
        for text in [
            "bedrock-agentcore:userid",
            "bedrock-agentcore:InboundJwtClaim/sub",
            "countersign:scopes",
            "aws:SourceIp",
            "aws:ResourceTag/Team",
            "aws:TagKeys",
            "aws:username",
        ] {
            assert_eq!(Key::parse(text).expect(text).to_string(), text);
        }
        assert_eq!(Key::parse("AWS:sourceIP"), Some(Key::SourceIp));
        for text in [
            "",
            "aws:",
            "aws:sourcevpce",
            "aws:ResourceTag",
            "aws:ResourceTag/",
            "aws:SourceIp/1",
            "countersign:scope",
            "saml:aud",
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
