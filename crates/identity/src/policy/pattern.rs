//! What policies compare with: texts with wildcards (`*` is any run of characters, `?` is any one) and policy
//! variables (`${aws:PrincipalTag/team}`, `${aws:username, 'nobody'}`).
//!
//! Everything is compiled when the policy is. A variable's value is compared as it is: a `*` in it is no wildcard.

use std::borrow::Cow;

use countersign_api::Arn;

use super::context::Facts;
use super::key::Key;

/// `*`, or `service:action` where only the action has wildcards, as IAM requires.
#[derive(Debug, Clone)]
pub(super) enum ActionPattern {
    Any,
    Of { service: String, action: Vec<Glyph> },
}

/// `*`, or an ARN whose six parts are matched one by one, so that no wildcard reaches over a colon of the
/// first five.
#[derive(Debug, Clone)]
pub(super) enum ResourcePattern {
    Any,
    Of(Box<[Template; 5]>),
}

/// Whether `text` is as `pattern` says, where only `*` and `?` mean more than themselves.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let mut glyphs = Vec::new();
    push(&mut glyphs, pattern, true);
    wildcard(&glyphs, text, |byte| byte)
}

/// One position of a pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Glyph {
    Byte(u8),
    AnyOne,
    AnyRun,
}

/// A text with wildcards and variables.
#[derive(Debug, Clone)]
pub(super) enum Template {
    /// Without either: compared as a whole.
    Literal(String),
    /// With wildcards only.
    Pattern(Vec<Glyph>),
    /// With variables.
    Variable(Vec<Part>),
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Glyphs(Vec<Glyph>),
    Variable { key: Key, default: Option<String> },
}

/// Why a text is not a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TemplateError {
    /// `${` without its end, or something else than a key between them.
    Malformed,
    /// A key that nothing here supplies.
    UnknownKey,
    /// A key that may have several values.
    Multivalued,
}

impl TemplateError {
    pub(super) const fn rule(self) -> &'static str {
        match self {
            Self::Malformed => "has a malformed policy variable: must be ${key} or ${key, 'default'}",
            Self::UnknownKey => "has a policy variable of a key that is not supported by this server",
            Self::Multivalued => "has a policy variable of a key that may have several values",
        }
    }
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
            service: service.to_owned(),
            action: glyphs(&action.to_ascii_lowercase()),
        })
    }

    /// Action names are compared without case, as in IAM.
    pub(super) fn matches(&self, action: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Of {
                service,
                action: pattern,
            } => action.split_once(':').is_some_and(|(of, name)| {
                of.eq_ignore_ascii_case(service) && wildcard(pattern, name, |byte| byte.to_ascii_lowercase())
            }),
        }
    }
}

impl ResourcePattern {
    /// `None` for what is neither `*` nor an ARN.
    pub(super) fn parse(text: &str) -> Option<Result<Self, TemplateError>> {
        if text == "*" {
            return Some(Ok(Self::Any));
        }
        if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
            return None;
        }
        let parts: [&str; 6] = split_arn(text)?.try_into().ok()?;
        let ["arn", partition, service, region, account, resource] = parts else {
            return None;
        };
        if [partition, service, resource].contains(&"") {
            return None;
        }
        let parts = [partition, service, region, account, resource].map(|part| Template::parse(part, true));
        let [Ok(partition), Ok(service), Ok(region), Ok(account), Ok(resource)] = parts else {
            return parts.into_iter().find_map(Result::err).map(Err);
        };
        Some(Ok(Self::Of(Box::new([
            partition, service, region, account, resource,
        ]))))
    }

    /// `None` when a variable has no value.
    pub(super) fn matches(&self, arn: &Arn, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::Any => Some(true),
            Self::Of(templates) => {
                let parts: [&str; 5] = [
                    &arn.partition,
                    &arn.service,
                    &arn.region,
                    &arn.account,
                    &arn.resource,
                ];
                let mut all = true;
                for (template, part) in templates.iter().zip(parts) {
                    all &= template.matches(part, facts)?;
                }
                Some(all)
            }
        }
    }

    pub(super) const fn is_any(&self) -> bool {
        matches!(self, Self::Any)
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &Key> {
        let templates: &[Template] = match self {
            Self::Any => &[],
            Self::Of(templates) => &templates[..],
        };
        templates.iter().flat_map(Template::variables)
    }
}

/// Six parts at the first five colons that are not inside a variable.
pub(super) fn split_arn(text: &str) -> Option<Vec<&str>> {
    let mut parts = Vec::with_capacity(6);
    let (mut from, mut at) = (0, 0);
    while parts.len() < 5 {
        match text.as_bytes().get(at)? {
            b'$' if text[at..].starts_with("${") => at += text[at..].find('}')?,
            b':' => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    parts.push(&text[from..]);
    Some(parts)
}

impl Template {
    /// `wildcards`: whether `*` and `?` mean more than themselves. `${*}`, `${?}` and `${$}` are the characters.
    pub(super) fn parse(text: &str, wildcards: bool) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut glyphs_so_far = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            push(&mut glyphs_so_far, &rest[..at], wildcards);
            let inside = &rest[at + 2..];
            let end = inside.find('}').ok_or(TemplateError::Malformed)?;
            match &inside[..end] {
                special @ ("*" | "?" | "$") => push(&mut glyphs_so_far, special, false),
                variable => {
                    if !glyphs_so_far.is_empty() {
                        parts.push(Part::Glyphs(std::mem::take(&mut glyphs_so_far)));
                    }
                    parts.push(parse_variable(variable)?);
                }
            }
            rest = &inside[end + 1..];
        }
        push(&mut glyphs_so_far, rest, wildcards);
        if !parts.is_empty() {
            if !glyphs_so_far.is_empty() {
                parts.push(Part::Glyphs(glyphs_so_far));
            }
            return Ok(Self::Variable(parts));
        }
        Ok(match literal(&glyphs_so_far) {
            Some(text) => Self::Literal(text),
            None => Self::Pattern(glyphs_so_far),
        })
    }

    /// Whether the whole of `text` matches; `None` when a variable has no value.
    pub(super) fn matches(&self, text: &str, facts: &Facts<'_>) -> Option<bool> {
        match self {
            Self::Literal(literal) => Some(literal == text),
            Self::Pattern(pattern) => Some(wildcard(pattern, text, |byte| byte)),
            Self::Variable(_) => self
                .resolve(facts)
                .map(|pattern| wildcard(&pattern, text, |byte| byte)),
        }
    }

    /// As [`Self::matches`], without case.
    pub(super) fn matches_ignoring_case(&self, text: &str, facts: &Facts<'_>) -> Option<bool> {
        let own = self.resolve(facts)?;
        let own = literal(&own)?;
        Some(
            own.chars()
                .flat_map(char::to_lowercase)
                .eq(text.chars().flat_map(char::to_lowercase)),
        )
    }

    fn resolve(&self, facts: &Facts<'_>) -> Option<Cow<'_, [Glyph]>> {
        let parts = match self {
            Self::Literal(text) => {
                let mut resolved = Vec::with_capacity(text.len());
                push(&mut resolved, text, false);
                return Some(resolved.into());
            }
            Self::Pattern(pattern) => return Some(Cow::Borrowed(pattern)),
            Self::Variable(parts) => parts,
        };
        let mut resolved = Vec::new();
        for part in parts {
            match part {
                Part::Glyphs(glyphs) => resolved.extend_from_slice(glyphs),
                Part::Variable { key, default } => {
                    let mut value = None;
                    facts.values(key).any(|datum| {
                        value = Some(datum.text());
                        true
                    });
                    let value = value.or_else(|| default.as_deref().map(Cow::Borrowed))?;
                    push(&mut resolved, &value, false);
                }
            }
        }
        Some(resolved.into())
    }

    pub(super) fn variables(&self) -> impl Iterator<Item = &Key> {
        let parts: &[Part] = match self {
            Self::Variable(parts) => parts,
            _ => &[],
        };
        parts.iter().filter_map(|part| match part {
            Part::Variable { key, .. } => Some(key),
            Part::Glyphs(_) => None,
        })
    }
}

/// `key` or `key, 'default'`.
fn parse_variable(text: &str) -> Result<Part, TemplateError> {
    let (key, default) = match text.split_once(',') {
        None => (text, None),
        Some((key, default)) => {
            let quoted = default
                .trim()
                .strip_prefix('\'')
                .and_then(|rest| rest.strip_suffix('\''))
                .ok_or(TemplateError::Malformed)?;
            (key, Some(quoted.to_owned()))
        }
    };
    let key = Key::parse(key.trim()).ok_or(TemplateError::UnknownKey)?;
    if key.is_multivalued() && !matches!(key, Key::InboundJwtClaim(_)) {
        return Err(TemplateError::Multivalued);
    }
    Ok(Part::Variable { key, default })
}

fn glyphs(text: &str) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(text.len());
    push(&mut glyphs, text, true);
    glyphs
}

fn push(glyphs: &mut Vec<Glyph>, text: &str, wildcards: bool) {
    glyphs.extend(text.bytes().map(|byte| match byte {
        b'*' if wildcards => Glyph::AnyRun,
        b'?' if wildcards => Glyph::AnyOne,
        byte => Glyph::Byte(byte),
    }));
}

/// The text of a pattern without wildcards.
fn literal(glyphs: &[Glyph]) -> Option<String> {
    let byte = |glyph: &Glyph| match glyph {
        Glyph::Byte(byte) => Some(*byte),
        Glyph::AnyOne | Glyph::AnyRun => None,
    };
    let bytes: Vec<u8> = glyphs.iter().map(byte).collect::<Option<_>>()?;
    String::from_utf8(bytes).ok()
}

/// Whether the whole of `text` matches, in time proportional to the product of the lengths at most. `fold` is
/// applied to the text's bytes.
fn wildcard(pattern: &[Glyph], text: &str, fold: impl Fn(u8) -> u8) -> bool {
    let bytes = text.as_bytes();
    let (mut p, mut t) = (0, 0);
    // Where the last `*` stood, and how much of the text it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < bytes.len() {
        let step = match pattern.get(p) {
            Some(Glyph::AnyRun) => {
                star = Some((p, t));
                p += 1;
                continue;
            }
            Some(Glyph::AnyOne) => text
                .get(t..)
                .and_then(|rest| rest.chars().next())
                .map(char::len_utf8),
            Some(Glyph::Byte(byte)) => (*byte == fold(bytes[t])).then_some(1),
            None => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += 1;
                t += step;
            }
            (None, Some((at, taken))) => {
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|glyph| *glyph == Glyph::AnyRun)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, by recursion over characters.
    fn reference(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some(('*', rest)), _) => (0..=text.len()).any(|taken| reference(rest, &text[taken..])),
            (Some(('?', pattern)), Some((_, text))) => reference(pattern, text),
            (Some((a, pattern)), Some((b, text))) if a == b => reference(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn wildcards_mean_what_they_say(pattern in "[aé*?]{0,8}", text in "[aé]{0,8}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(
                wildcard(&glyphs(&pattern), &text, |byte| byte),
                reference(&chars(&pattern), &chars(&text))
            );
        }
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
            "a b",
            "arn:aws:s3:::\u{e9}",
        ] {
            assert!(ResourcePattern::parse(text).is_none(), "{text}");
        }
        for (text, error) in [
            ("arn:aws:s3:::${aws:username", TemplateError::Malformed),
            ("arn:aws:s3:::${aws:username, nobody}", TemplateError::Malformed),
            ("arn:aws:s3:::${saml:sub}", TemplateError::UnknownKey),
            ("arn:aws:s3:::${countersign:scopes}", TemplateError::Multivalued),
        ] {
            assert_eq!(
                ResourcePattern::parse(text).expect("an ARN").err(),
                Some(error),
                "{text}"
            );
        }
    }

    #[test]
    fn escaped_wildcards_are_characters() {
        let template = Template::parse("a${*}b${?}c${$}d*", true).expect("a template");
        let Template::Pattern(pattern) = &template else {
            panic!("{template:?}");
        };
        let matches = |text| wildcard(pattern, text, |byte| byte);
        assert!(matches("a*b?c$dxyz"));
        assert!(!matches("axb?c$d"));
        assert!(matches!(Template::parse("a*", false), Ok(Template::Literal(text)) if text == "a*"));
    }
}
