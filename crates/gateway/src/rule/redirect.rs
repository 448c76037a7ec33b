//! The `redirect` action.

use http::{HeaderValue, StatusCode};

use crate::config;
use crate::reason::Reason;

/// Longest `Location`, in bytes; over it 507, as at an ALB.
const MAX_LOCATION: usize = 8_192;
/// Longest template of one part.
const MAX_TEMPLATE: usize = 128;

/// Where a request was sent, in the parts that templates name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct From<'a> {
    /// `http` or `https`.
    pub(crate) scheme: &'a str,
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
}

/// A redirect, its templates taken apart.
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: StatusCode,
    protocol: Template,
    host: Template,
    port: Template,
    path: Template,
    query: Template,
}

#[derive(Debug)]
struct Template(Vec<Piece>);

#[derive(Clone, Debug, Eq, PartialEq)]
enum Piece {
    Literal(String),
    Protocol,
    Host,
    Port,
    Path,
    Query,
}

impl Redirect {
    /// The error says what cannot be.
    pub(super) fn compile(config: &config::Redirect, listener_is_https: bool) -> Result<Self, String> {
        use Piece::{Host, Path, Port, Protocol};
        let status = match config.status_code {
            301 => StatusCode::MOVED_PERMANENTLY,
            302 => StatusCode::FOUND,
            _ => return Err("a redirect is 301 or 302".to_owned()),
        };
        let redirect = Self {
            status,
            protocol: Template::parse(&config.protocol.to_ascii_lowercase(), &[Protocol])?,
            host: Template::parse(&config.host, &[Host])?,
            port: Template::parse(&config.port, &[Port])?,
            path: Template::parse(&config.path, &[Host, Port, Path])?,
            query: Template::parse(&config.query, &[Protocol, Host, Port, Path, Piece::Query])?,
        };
        match redirect.protocol.literal() {
            None if redirect.protocol.0 == [Protocol] => {}
            Some("https") => {}
            Some("http") if !listener_is_https => {}
            Some("http") => return Err("a redirect never goes from HTTPS to HTTP".to_owned()),
            _ => return Err("protocol is HTTP, HTTPS or #{protocol}".to_owned()),
        }
        let port = redirect.port.literal();
        if !(redirect.port.0 == [Port] || port.is_some_and(|port| port.parse::<u16>().is_ok_and(|p| p > 0))) {
            return Err("port is 1 to 65535 or #{port}".to_owned());
        }
        if !host_like(&config.host) {
            return Err("host has other characters than those of a name".to_owned());
        }
        if !config.path.starts_with('/') || config.path.starts_with("//") || config.path.contains(['?', '\\'])
        {
            return Err("path begins with one slash and has no query".to_owned());
        }
        let changes = redirect.protocol.0 != [Protocol]
            || redirect.host.0 != [Host]
            || redirect.port.0 != [Port]
            || redirect.path.0 != [Piece::Literal("/".to_owned()), Path];
        if !changes {
            return Err("the redirect leads to itself: change protocol, host, port or path".to_owned());
        }
        Ok(redirect)
    }

    /// The `Location` for a request.
    pub(crate) fn location(&self, from: &From<'_>) -> Result<HeaderValue, Reason> {
        let scheme = self.protocol.fill(from);
        let port = self.port.fill(from);
        let query = self.query.fill(from);
        let mut location = format!("{scheme}://{}", self.host.fill(from));
        // The scheme's own port is left out, as browsers would.
        if !matches!(
            (scheme.as_str(), port.as_str()),
            ("http", "80") | ("https", "443")
        ) {
            location.push(':');
            location.push_str(&port);
        }
        location.push_str(&self.path.fill(from));
        if !query.is_empty() {
            location.push('?');
            location.push_str(&query);
        }
        if location.len() > MAX_LOCATION {
            return Err(Reason::RedirectUrlTooLong);
        }
        HeaderValue::try_from(location).map_err(|_| Reason::InvalidRequestTarget)
    }
}

fn host_like(template: &str) -> bool {
    let literal = template.replace("#{host}", "");
    literal
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'[' | b']' | b':'))
        && !template.is_empty()
}

impl Template {
    fn parse(text: &str, allowed: &[Piece]) -> Result<Self, String> {
        if text.len() > MAX_TEMPLATE || text.bytes().any(|byte| !byte.is_ascii_graphic()) {
            return Err(format!(
                "{text:?}: a part of a redirect has at most {MAX_TEMPLATE} visible ASCII characters"
            ));
        }
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once("#{") {
            let (name, after) = after
                .split_once('}')
                .ok_or_else(|| format!("{text:?}: `#{{` is not closed"))?;
            let piece = match name {
                "protocol" => Piece::Protocol,
                "host" => Piece::Host,
                "port" => Piece::Port,
                "path" => Piece::Path,
                "query" => Piece::Query,
                _ => return Err(format!("{text:?}: there is no #{{{name}}}")),
            };
            if !allowed.contains(&piece) {
                return Err(format!("{text:?}: #{{{name}}} cannot stand here"));
            }
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(Self(pieces))
    }

    /// The text of a template without any name in it.
    fn literal(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    fn fill(&self, from: &From<'_>) -> String {
        self.0.iter().fold(String::new(), |mut text, piece| {
            match piece {
                Piece::Literal(literal) => text.push_str(literal),
                Piece::Protocol => text.push_str(from.scheme),
                Piece::Host => text.push_str(from.host),
                Piece::Port => text.push_str(&from.port.to_string()),
                Piece::Path => text.push_str(from.path.strip_prefix('/').unwrap_or(from.path)),
                Piece::Query => text.push_str(from.query),
            }
            text
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: From<'_> = From {
        scheme: "http",
        host: "example.com",
        port: 80,
        path: "/a/b%20c",
        query: "x=1&y=%23",
    };

    fn redirect(change: impl FnOnce(&mut config::Redirect)) -> Result<Redirect, String> {
        let mut config = config::Redirect::default();
        change(&mut config);
        Redirect::compile(&config, false)
    }

    #[test]
    fn templates_are_filled_from_the_request() {
        // The first two are the examples of the ELB user guide.
        let to_https = redirect(|r| {
            r.protocol = "HTTPS".to_owned();
            r.port = "443".to_owned();
            r.status_code = 301;
        })
        .expect("a redirect");
        assert_eq!(
            to_https.location(&FROM).expect("a location"),
            "https://example.com/a/b%20c?x=1&y=%23"
        );
        assert_eq!(to_https.status, StatusCode::MOVED_PERMANENTLY);
        let to_prefix = redirect(|r| r.path = "/new/#{path}".to_owned()).expect("a redirect");
        assert_eq!(
            to_prefix.location(&FROM).expect("a location"),
            "http://example.com/new/a/b%20c?x=1&y=%23"
        );
        let all = redirect(|r| {
            r.host = "www.#{host}".to_owned();
            r.port = "8443".to_owned();
            r.path = "/#{host}/#{port}/#{path}".to_owned();
            r.query = "#{query}&was=#{protocol}:#{host}:#{port}/#{path}".to_owned();
        })
        .expect("a redirect");
        assert_eq!(
            all.location(&FROM).expect("a location"),
            "http://www.example.com:8443/example.com/80/a/b%20c?x=1&y=%23&was=http:example.com:80/a/b%20c"
        );
        let bare = redirect(|r| {
            r.path = "/help".to_owned();
            r.query = String::new();
        })
        .expect("a redirect");
        assert_eq!(
            bare.location(&FROM).expect("a location"),
            "http://example.com/help"
        );
    }

    #[test]
    fn redirects_that_cannot_be_are_refused() {
        let set = |change: fn(&mut config::Redirect, String), text: &str| {
            redirect(|r| change(r, text.to_owned())).err().unwrap_or_default()
        };
        assert!(redirect(|_| ()).expect_err("a loop").contains("itself"));
        assert!(redirect(|r| r.status_code = 307).is_err());
        for text in ["ftp", "#{host}", "#{port}", ""] {
            assert!(!set(|r, t| r.protocol = t, text).is_empty(), "{text}");
        }
        for text in ["0", "65536", "x", "#{path}", "8#{port}"] {
            assert!(!set(|r, t| r.port = t, text).is_empty(), "{text}");
        }
        for text in ["a/b", "", "a b", "#{query}", "user@host"] {
            assert!(!set(|r, t| r.host = t, text).is_empty(), "{text}");
        }
        for text in [
            "a",
            "//evil.example/",
            "/#{query}",
            "/#{nothing}",
            "/#{path",
            "/a?b",
            "/a\\b",
        ] {
            assert!(!set(|r, t| r.path = t, text).is_empty(), "{text}");
        }
        let config = config::Redirect {
            protocol: "HTTP".to_owned(),
            ..config::Redirect::default()
        };
        assert!(
            Redirect::compile(&config, true)
                .expect_err("a downgrade")
                .contains("never")
        );
    }

    #[test]
    fn a_location_has_an_end() {
        let long = "a".repeat(9_000);
        let path = format!("/{long}");
        let from = From { path: &path, ..FROM };
        let redirect = redirect(|r| r.port = "81".to_owned()).expect("a redirect");
        assert_eq!(
            redirect.location(&from).expect_err("too long"),
            Reason::RedirectUrlTooLong
        );
    }
}
