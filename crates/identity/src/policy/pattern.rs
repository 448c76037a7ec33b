//! Wildcards of IAM policies: `*` is any run of characters, `?` is any one.

use countersign_api::Arn;

/// `*`, or `service:action` where only the action has wildcards, as IAM requires.
#[derive(Debug, Clone)]
pub(super) enum ActionPattern {
    Any,
    Of { service: String, action: String },
}

/// `*`, or an ARN whose six parts are matched one by one, so that no wildcard reaches over a colon of the
/// first five.
#[derive(Debug, Clone)]
pub(super) enum ResourcePattern {
    Any,
    Of([String; 5]),
}

impl ActionPattern {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        let (service, action) = text.split_once(':')?;
        let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let service_holds = !service.is_empty() && service.bytes().all(name);
        let action_holds = !action.is_empty()
            && action
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"*?".contains(&byte));
        (service_holds && action_holds).then(|| Self::Of {
            service: service.to_ascii_lowercase(),
            action: action.to_ascii_lowercase(),
        })
    }

    /// Action names are compared without case, as in IAM.
    pub(super) fn matches(&self, action: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of {
                service,
                action: pattern,
            } => action
                .to_ascii_lowercase()
                .split_once(':')
                .is_some_and(|(of, name)| of == service && wildcard(pattern, name)),
        }
    }
}

impl ResourcePattern {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Any);
        }
        // `${…}` is a policy variable, which would have to be replaced before matching.
        if text.contains("${") || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts[..] else {
            return None;
        };
        let filled = ![partition, service, resource].contains(&"");
        filled.then(|| Self::Of([partition, service, region, account, resource].map(str::to_owned)))
    }

    pub(super) fn matches(&self, arn: &Arn) -> bool {
        match self {
            Self::Any => true,
            Self::Of(patterns) => {
                let parts = [
                    &arn.partition,
                    &arn.service,
                    &arn.region,
                    &arn.account,
                    &arn.resource,
                ];
                patterns
                    .iter()
                    .zip(parts)
                    .all(|(pattern, part)| wildcard(pattern, part))
            }
        }
    }

    pub(super) const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }
}

/// Whether the whole of `text` matches, in time proportional to the product of the lengths at most.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by recursion.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|taken| reference(rest, &text[taken..])),
            (Some((b'?', pattern)), Some((_, text))) => reference(pattern, text),
            (Some((a, pattern)), Some((b, text))) if a == b => reference(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_they_say(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(wildcard(&pattern, &text), reference(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_wildcard_stays_in_its_part() {
        let grant = Arn::grant("us-east-1", "000000000000", "1");
        let matches = |text: &str| ResourcePattern::parse(text).expect(text).matches(&grant);
        assert!(matches("arn:aws:countersign:us-east-1:000000000000:grant/*"));
        assert!(matches("arn:*:*:*:*:*"));
        assert!(!matches("arn:aws:bedrock-*:us-east-1:000000000000:*"));
        assert!(!matches("arn:aws:*:us-east-2:000000000000:grant/1"));
        assert!(!matches("arn:aws:countersign:us-east-1:111111111111:grant/1"));
        assert!(!matches("arn:aws:countersign:us-east-1:000000000000:GRANT/1"));
    }

    #[test]
    fn what_iam_refuses_is_refused() {
        for text in [
            "",
            "*:Get*",
            "bedrock-*:Get",
            "GetX",
            "bedrock-agentcore:",
            ":Get",
            "bedrock-agentcore:Get X",
        ] {
            assert!(ActionPattern::parse(text).is_none(), "{text}");
        }
        for text in [
            "",
            "**",
            "arn:aws:s3",
            "arn:aws:s3:::",
            "grant/1",
            "arn:aws:s3:::${aws:username}",
            "a b",
        ] {
            assert!(ResourcePattern::parse(text).is_none(), "{text}");
        }
    }
}
