//! Transforms: rewrites of a request on its way to a target.

use http::Uri;
use http::uri::{Authority, PathAndQuery};
use regex::{Captures, Regex};

use super::pattern::{Case, regex};
use crate::config;
use crate::reason::Reason;

const MAX_TEXT: usize = 1_024;

/// The transforms of a rule.
#[derive(Debug, Default)]
pub(crate) struct Transforms {
    host: Option<Rewrite>,
    url: Option<Rewrite>,
}

#[derive(Debug)]
struct Rewrite {
    regex: Regex,
    replace: Vec<Replacement>,
}

#[derive(Debug)]
enum Replacement {
    Text(String),
    Group(usize),
}

impl Transforms {
    /// The error says what cannot be.
    pub(super) fn compile(config: &config::Transforms) -> Result<Self, String> {
        let rewrite = |name: &str, case, config: &Option<config::Rewrite>| {
            config
                .as_ref()
                .map(|rewrite| Rewrite::compile(rewrite, case).map_err(|fault| format!("{name}: {fault}")))
                .transpose()
        };
        Ok(Self {
            host: rewrite(
                "host_header_rewrite",
                Case::Insensitive,
                &config.host_header_rewrite,
            )?,
            url: rewrite("url_rewrite", Case::Sensitive, &config.url_rewrite)?,
        })
    }

    /// The host name that the target sees; `None` for the one it would see otherwise.
    pub(crate) fn host(&self, host: &str) -> Result<Option<Authority>, Reason> {
        let Some(rewritten) = self.host.as_ref().and_then(|rewrite| rewrite.apply(host)) else {
            return Ok(None);
        };
        let authority: Authority = rewritten.parse().map_err(|_| Reason::TransformFailed)?;
        if authority.as_str().contains('@') {
            return Err(Reason::TransformFailed);
        }
        Ok(Some(authority))
    }

    /// The path and query that the target sees.
    pub(crate) fn url(&self, uri: &Uri) -> Result<Option<PathAndQuery>, Reason> {
        let Some(rewrite) = &self.url else { return Ok(None) };
        let Some(rewritten) = rewrite.apply(uri.path_and_query().map_or("/", PathAndQuery::as_str)) else {
            return Ok(None);
        };
        let rewritten: PathAndQuery = rewritten.parse().map_err(|_| Reason::TransformFailed)?;
        // What a target could resolve to another path is no better from a rule than from a client.
        crate::request_target::path(&Uri::from(rewritten.clone())).map_err(|_| Reason::TransformFailed)?;
        Ok(Some(rewritten))
    }
}

impl Rewrite {
    fn compile(config: &config::Rewrite, case: Case) -> Result<Self, String> {
        if config.regex.is_empty() || config.regex.len() > MAX_TEXT || config.replace.len() > MAX_TEXT {
            return Err(format!("regex and replace have at most {MAX_TEXT} characters"));
        }
        let regex = regex(&config.regex, case)?;
        let replace = replacements(&config.replace);
        for replacement in &replace {
            if let Replacement::Group(group) = replacement
                && *group >= regex.captures_len()
            {
                return Err(format!("replace names ${group}, which the regex does not have"));
            }
        }
        Ok(Self { regex, replace })
    }

    /// `None` when nothing matches.
    fn apply(&self, text: &str) -> Option<String> {
        let captures = self.regex.captures(text)?;
        let matched = captures.get(0)?;
        let mut rewritten = String::from(&text[..matched.start()]);
        self.fill(&captures, &mut rewritten);
        rewritten.push_str(&text[matched.end()..]);
        Some(rewritten)
    }

    fn fill(&self, captures: &Captures<'_>, text: &mut String) {
        for replacement in &self.replace {
            match replacement {
                Replacement::Text(literal) => text.push_str(literal),
                Replacement::Group(group) => {
                    text.push_str(captures.get(*group).map_or("", |group| group.as_str()));
                }
            }
        }
    }
}

/// `$1` to `$9` are groups, whatever stands behind them; all else is text.
fn replacements(text: &str) -> Vec<Replacement> {
    let mut replacements = Vec::new();
    let mut literal = String::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let group = characters
            .peek()
            .filter(|_| character == '$')
            .and_then(|next| next.to_digit(10))
            .filter(|&digit| digit > 0);
        match group {
            Some(group) => {
                characters.next();
                replacements.push(Replacement::Text(std::mem::take(&mut literal)));
                replacements.push(Replacement::Group(group as usize));
            }
            None => literal.push(character),
        }
    }
    replacements.push(Replacement::Text(literal));
    replacements
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transforms(host: Option<(&str, &str)>, url: Option<(&str, &str)>) -> Result<Transforms, String> {
        let rewrite = |pair: Option<(&str, &str)>| {
            pair.map(|(regex, replace)| config::Rewrite {
                regex: regex.to_owned(),
                replace: replace.to_owned(),
            })
        };
        Transforms::compile(&config::Transforms {
            host_header_rewrite: rewrite(host),
            url_rewrite: rewrite(url),
        })
    }

    fn url(regex: &str, replace: &str, from: &str) -> Result<Option<String>, Reason> {
        transforms(None, Some((regex, replace)))
            .expect("a transform")
            .url(&from.parse().expect("a URI"))
            .map(|rewritten| rewritten.map(|rewritten| rewritten.to_string()))
    }

    #[test]
    fn hosts_are_rewritten_as_the_documentation_shows() {
        let transforms = transforms(Some(("^mywebsite-(.+).com$", "internal.dev.$1.myweb.com")), None)
            .expect("a transform");
        let rewritten = transforms.host("mywebsite-example.com").expect("a host");
        assert_eq!(rewritten.expect("a match"), "internal.dev.example.myweb.com");
        assert_eq!(transforms.host("other.example").expect("no failure"), None);
    }

    #[test]
    fn urls_are_rewritten_as_the_documentation_shows() {
        let product = url("^/dp/([A-Za-z0-9]+)/?$", "/product.php?id=$1", "/dp/B09G3HRMW");
        assert_eq!(product, Ok(Some("/product.php?id=B09G3HRMW".to_owned())));
        assert_eq!(url("^/dp/([A-Za-z0-9]+)/?$", "/x", "/other"), Ok(None));
        assert_eq!(url("^/v1/", "/", "/v1/a?b=c"), Ok(Some("/a?b=c".to_owned())));
        assert_eq!(url("^/(.*)$", "/$1abc$$0", "/x"), Ok(Some("/xabc$$0".to_owned())));
    }

    #[test]
    fn a_rewrite_cannot_make_an_ambiguous_request() {
        for (regex, replace, from) in [
            ("^/a", "a", "/a"),
            ("^/a/(.*)$", "/$1", "/a//evil.example/"),
            ("/x/", "/../", "/a/x/b"),
            ("^/a$", "/a b", "/a"),
        ] {
            assert_eq!(url(regex, replace, from), Err(Reason::TransformFailed), "{regex}");
        }
        let hosts = transforms(Some(("^a", "user@")), None).expect("a transform");
        assert_eq!(hosts.host("a.example"), Err(Reason::TransformFailed));
        assert!(
            transforms(None, Some(("a", "$1")))
                .expect_err("no group")
                .contains("$1")
        );
        assert!(transforms(None, Some((&"a".repeat(1_025), "b"))).is_err());
    }
}
