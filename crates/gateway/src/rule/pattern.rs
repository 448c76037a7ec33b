//! Texts of conditions: patterns with wildcards, and regular expressions that take linear time.

use regex::{Regex, RegexBuilder};

/// Memory a compiled expression may take, in bytes.
const MAX_COMPILED: usize = 256 * 1024;
/// Depth of groups in an expression.
const MAX_NESTING: u32 = 50;

/// One value of a condition.
#[derive(Debug)]
pub(super) enum Text {
    Pattern(Pattern),
    Regex(Regex),
}

impl Text {
    pub(super) fn matches(&self, text: &str) -> bool {
        match self {
            Self::Pattern(pattern) => pattern.matches(text.as_bytes()),
            Self::Regex(regex) => regex.is_match(text),
        }
    }
}

/// How letters are compared.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Case {
    Sensitive,
    /// ASCII letters in either case are one.
    Insensitive,
}

/// Compiles an expression. Look-around and back-references do not exist in this dialect, so that the time
/// is linear in the text (<https://docs.rs/regex/latest/regex/#untrusted-input>).
pub(super) fn regex(text: &str, case: Case) -> Result<Regex, String> {
    RegexBuilder::new(text)
        .case_insensitive(case == Case::Insensitive)
        .size_limit(MAX_COMPILED)
        .nest_limit(MAX_NESTING)
        .build()
        .map_err(|error| format!("{text:?} is not a regular expression: {error}"))
}

/// A pattern in which `*` is any text and `?` any one character.
#[derive(Debug)]
pub(super) struct Pattern {
    tokens: Vec<Token>,
    case: Case,
}

#[derive(Clone, Copy, Debug)]
enum Token {
    AnyText,
    AnyOne,
    Byte(u8),
}

impl Pattern {
    pub(super) fn new(text: &str, case: Case) -> Self {
        let tokens = text.bytes().map(Token::of).collect();
        Self::of_tokens(tokens, case)
    }

    /// As [`Self::new`], but a backslash takes the character behind it literally.
    pub(super) fn with_escapes(text: &str, case: Case) -> Self {
        let mut bytes = text.bytes();
        let mut tokens = Vec::with_capacity(text.len());
        while let Some(byte) = bytes.next() {
            tokens.push(match byte {
                b'\\' => Token::Byte(bytes.next().unwrap_or(b'\\')),
                byte => Token::of(byte),
            });
        }
        Self::of_tokens(tokens, case)
    }

    fn of_tokens(mut tokens: Vec<Token>, case: Case) -> Self {
        for token in &mut tokens {
            if let (Token::Byte(byte), Case::Insensitive) = (token, case) {
                byte.make_ascii_lowercase();
            }
        }
        Self { tokens, case }
    }

    /// Goes back to the last star only, hence at most `pattern × text` steps.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let (mut p, mut t) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        while t < text.len() {
            let byte = match self.case {
                Case::Sensitive => text[t],
                Case::Insensitive => text[t].to_ascii_lowercase(),
            };
            match self.tokens.get(p) {
                Some(Token::AnyText) => {
                    star = Some((p, t));
                    p += 1;
                }
                Some(Token::AnyOne) => {
                    p += 1;
                    t += 1;
                }
                Some(Token::Byte(expected)) if *expected == byte => {
                    p += 1;
                    t += 1;
                }
                _ => {
                    let Some((at, seen)) = star else { return false };
                    star = Some((at, seen + 1));
                    p = at + 1;
                    t = seen + 1;
                }
            }
        }
        self.tokens[p..]
            .iter()
            .all(|token| matches!(token, Token::AnyText))
    }
}

impl Token {
    fn of(byte: u8) -> Self {
        match byte {
            b'*' => Self::AnyText,
            b'?' => Self::AnyOne,
            byte => Self::Byte(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("/a", "/a", true),
            ("/a", "/A", false),
            ("/a*", "/a", true),
            ("/a/*", "/a", false),
            ("/a/*", "/a/b/c", true),
            ("*b*c", "/abxbc", true),
            ("/?", "/", false),
            ("/?", "/x", true),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*a*b*c", "abababababababababab", false),
            // The path patterns of the ELB user guide.
            ("/img/*", "/img/picture.jpg", true),
            ("/img/*/pics", "/img/a/b/pics", true),
            ("/img/*/pics", "/img/pics", false),
        ] {
            let matches = Pattern::new(pattern, Case::Sensitive).matches(text.as_bytes());
            assert_eq!(matches, expected, "{pattern} {text}");
        }
        assert!(Pattern::new("*.EXAMPLE.com", Case::Insensitive).matches(b"test.Example.COM"));
    }

    #[test]
    fn a_backslash_takes_wildcards_literally() {
        for (pattern, text, expected) in [
            (r"\*", "*", true),
            (r"\*", "x", false),
            (r"a\?*", "a?b", true),
            (r"a\?*", "abb", false),
            (r"\\", r"\", true),
            (r"x\", r"x\", true),
        ] {
            let matches = Pattern::with_escapes(pattern, Case::Insensitive).matches(text.as_bytes());
            assert_eq!(matches, expected, "{pattern} {text}");
        }
    }

    #[test]
    fn expressions_are_bounded() {
        assert!(regex("^/a(/.*)?$", Case::Sensitive).is_ok());
        for bad in ["(", "(?=a)", r"(a)\1", "(a{1000}){1000}", &"(".repeat(60)] {
            assert!(regex(bad, Case::Sensitive).is_err(), "{bad}");
        }
    }
}
