//! Descriptions, written in Markdown (`CommonMark` with tables and strikethrough), as HTML that can do no harm.
//!
//! Nothing of the text becomes HTML but what is written here: tags without attributes, and links to a few schemes, which search engines do not
//! follow. HTML in the text is shown as it was typed. A picture becomes a link, for pages load nothing from elsewhere. A line
//! end stays one, so that plain text looks as it was typed.

use std::fmt::Write as _;

use askama::filters::{Escaper, Html};
use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag};
use url::Url;

/// Tags within each other, at most. What lies deeper keeps its words alone.
const MAX_DEPTH: usize = 32;

/// Schemes that a link may have.
const SCHEMES: [&str; 4] = ["http", "https", "magnet", "mailto"];

/// Bytes of a text that are read for its first words.
const BEGINNING: usize = 4 * 1024;

/// A description as HTML.
pub(super) fn to_html(text: &str) -> String {
    let mut html = Renderer::default();
    for event in parse(text) {
        html.handle(event);
    }
    html.out
}

/// The words of a description's beginning, a line for each of its blocks.
pub(super) fn beginning(text: &str) -> String {
    let mut words = String::new();
    let text = text.get(..text.floor_char_boundary(BEGINNING));
    for event in parse(text.unwrap_or_default()) {
        match event {
            Event::Text(text) | Event::Code(text) | Event::Html(text) | Event::InlineHtml(text) => {
                words.push_str(&text);
            }
            Event::SoftBreak | Event::HardBreak => words.push('\n'),
            Event::End(tag) if is_block(tag) => words.push('\n'),
            _ => {}
        }
    }
    words
}

fn parse(text: &str) -> Parser<'_> {
    Parser::new_ext(text, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH)
}

const fn is_block(tag: pulldown_cmark::TagEnd) -> bool {
    use pulldown_cmark::TagEnd;
    !matches!(
        tag,
        TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Link
            | TagEnd::Image
            | TagEnd::TableCell
    )
}

#[derive(Default)]
struct Renderer {
    out: String,
    open: Vec<Open>,
    is_in_table_head: bool,
}

/// A tag that is to be closed.
struct Open {
    closing: &'static str,
    /// Where a link goes, and where its words begin.
    link: Option<(Url, usize)>,
}

impl Renderer {
    fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.begin(&tag),
            Event::End(_) => self.end(),
            Event::Text(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Html(text) => {
                for line in text.split_inclusive('\n') {
                    self.text(line.trim_end());
                    self.out.push_str("<br>\n");
                }
            }
            Event::Code(text) => {
                self.out.push_str("<code>");
                self.text(&text);
                self.out.push_str("</code>");
            }
            Event::SoftBreak | Event::HardBreak => self.out.push_str("<br>\n"),
            Event::Rule => self.out.push_str("<hr>\n"),
            // Extensions that are not turned on.
            Event::InlineMath(_)
            | Event::DisplayMath(_)
            | Event::FootnoteReference(_)
            | Event::TaskListMarker(_) => {}
        }
    }

    fn begin(&mut self, tag: &Tag<'_>) {
        if self.open.len() >= MAX_DEPTH {
            return self.push("", "");
        }
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.push("<p>", "</p>\n"),
            Tag::Heading { level, .. } => self.begin_heading(*level),
            Tag::BlockQuote(_) => self.push("<blockquote>\n", "</blockquote>\n"),
            Tag::CodeBlock(_) => self.push("<pre><code>", "</code></pre>\n"),
            Tag::List(None) => self.push("<ul>\n", "</ul>\n"),
            Tag::List(Some(1)) => self.push("<ol>\n", "</ol>\n"),
            Tag::List(Some(first)) => {
                self.push("<ol", "</ol>\n");
                // Writing to a string cannot fail.
                let _ = writeln!(self.out, " start=\"{first}\">");
            }
            Tag::Item => self.push("<li>", "</li>\n"),
            Tag::Table(_) => self.push("<table>\n", "</table>\n"),
            Tag::TableHead => {
                self.is_in_table_head = true;
                self.push("<thead><tr>", "</tr></thead>\n");
            }
            Tag::TableRow => {
                self.is_in_table_head = false;
                self.push("<tr>", "</tr>\n");
            }
            Tag::TableCell if self.is_in_table_head => self.push("<th>", "</th>"),
            Tag::TableCell => self.push("<td>", "</td>"),
            Tag::Emphasis => self.push("<em>", "</em>"),
            Tag::Strong => self.push("<strong>", "</strong>"),
            Tag::Strikethrough => self.push("<del>", "</del>"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.begin_link(dest_url),
            // Extensions that are not turned on.
            _ => self.push("", ""),
        }
    }

    /// The page has the first level for its own title.
    fn begin_heading(&mut self, level: HeadingLevel) {
        match level {
            HeadingLevel::H1 => self.push("<h2>", "</h2>\n"),
            HeadingLevel::H2 => self.push("<h3>", "</h3>\n"),
            HeadingLevel::H3 => self.push("<h4>", "</h4>\n"),
            HeadingLevel::H4 => self.push("<h5>", "</h5>\n"),
            HeadingLevel::H5 | HeadingLevel::H6 => self.push("<h6>", "</h6>\n"),
        }
    }

    /// A link that may not be followed, or lies in another one, keeps its words alone.
    fn begin_link(&mut self, to: &str) {
        let is_in_link = self.open.iter().any(|open| open.link.is_some());
        let url = Url::parse(to).ok();
        let url = url.filter(|url| !is_in_link && SCHEMES.contains(&url.scheme()));
        let Some(url) = url else {
            return self.push("", "");
        };
        self.out.push_str("<a href=\"");
        self.text(url.as_str());
        self.out.push_str("\" rel=\"nofollow ugc noopener\">");
        let link = Some((url, self.out.len()));
        let closing = "</a>";
        self.open.push(Open { closing, link });
    }

    fn push(&mut self, opening: &str, closing: &'static str) {
        self.out.push_str(opening);
        self.open.push(Open {
            closing,
            link: None,
        });
    }

    fn end(&mut self) {
        let Some(Open { closing, link }) = self.open.pop() else {
            return;
        };
        // A link without words could not be seen.
        if let Some((url, begins)) = link
            && self.out.len() == begins
        {
            self.text(url.as_str());
        }
        self.out.push_str(closing);
    }

    fn text(&mut self, text: &str) {
        // Writing to a string cannot fail.
        let _ = Html.write_escaped_str(&mut self.out, text);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_what_it_is() {
        for (text, html) in [
            ("", ""),
            ("One\nTwo", "<p>One<br>\nTwo</p>\n"),
            ("One\n\nTwo", "<p>One</p>\n<p>Two</p>\n"),
            ("1 < 2 & \"x\"", "<p>1 &#60; 2 &#38; &#34;x&#34;</p>\n"),
            ("a_b_c 2 * 3 C:\\dir", "<p>a_b_c 2 * 3 C:\\dir</p>\n"),
        ] {
            assert_eq!(to_html(text), html, "{text}");
        }
    }

    #[test]
    fn markdown_is_marked_up() {
        let text = "# Soil\n\n- *a*\n- **b**\n\n3. `c`\n\n> d\n\n| x | y |\n|--:|---|\n| 1 | 2 |\n\n```sh\nrm <all>\n```\n";
        assert_eq!(
            to_html(text),
            "<h2>Soil</h2>\n<ul>\n<li><em>a</em></li>\n<li><strong>b</strong></li>\n</ul>\n<ol start=\"3\">\n<li><code>c</code></li>\n</ol>\n\
             <blockquote>\n<p>d</p>\n</blockquote>\n<table>\n<thead><tr><th>x</th><th>y</th></tr></thead>\n<tr><td>1</td><td>2</td></tr>\n</table>\n\
             <pre><code>rm &#60;all&#62;\n</code></pre>\n"
        );
    }

    #[test]
    fn links_go_where_they_say_and_search_engines_do_not_follow() {
        assert_eq!(
            to_html("[a](https://example.org/?x=\"&y 'title') <https://b.example>"),
            "<p><a href=\"https://example.org/?x=%22&#38;y\" rel=\"nofollow ugc noopener\">a</a> \
             <a href=\"https://b.example/\" rel=\"nofollow ugc noopener\">https://b.example</a></p>\n"
        );
    }

    #[test]
    fn pictures_are_links_and_no_link_is_empty() {
        let link = |words| {
            format!(
                "<p><a href=\"https://x.example/\" rel=\"nofollow ugc noopener\">{words}</a></p>\n"
            )
        };
        assert_eq!(to_html("![a map](https://x.example/)"), link("a map"));
        let named_by_itself = link("https://x.example/");
        assert_eq!(to_html("![](https://x.example/)"), named_by_itself);
        assert_eq!(to_html("[](https://x.example/)"), named_by_itself);
        assert_eq!(
            to_html("[![a map](https://y.example/z.png)](https://x.example/)"),
            link("a map")
        );
    }

    #[test]
    fn nothing_that_could_run_comes_through() {
        for text in [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "<div\nonclick=alert(1)>\n\n*x*",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt&colon;alert(1))",
            "[x](<java\tscript:alert(1)>)",
            "[x](data:text/html,<script>alert(1)</script>)",
            "[x](vbscript:x) ![x](data:image/svg+xml,x)",
            "<javascript:alert(1)>",
            "[x]: javascript:alert(1)\n\n[x]",
            "```\"><script>\n</code><script>alert(1)</script>\n```",
            "| <script> |\n|---|\n| <b onload=x> |",
            "[\"><script>](https://x.example/\"><script>)",
            "&lt;script&gt;alert(1)&lt;/script&gt;",
        ] {
            let html = to_html(text);
            let mut rest = html.as_str();
            while let Some((_, tag)) = rest.split_once('<') {
                let (tag, after) = tag.split_once('>').expect("every tag is closed");
                let name = tag.trim_start_matches('/');
                let is_ours = name.starts_with("a href=\"https://x.example/")
                    || [
                        "a", "p", "br", "em", "pre", "code", "table", "thead", "tr", "th", "td",
                    ]
                    .contains(&name);
                assert!(is_ours, "{text}: <{tag}> in {html}");
                rest = after;
            }
        }
    }

    #[test]
    fn what_is_nested_without_end_stays_small() {
        for text in [
            ">".repeat(60_000),
            "* ".repeat(30_000),
            "[".repeat(60_000),
            "*a **b ".repeat(9_000),
            "![".repeat(30_000),
            "<".repeat(60_000),
            "`a".repeat(30_000),
        ] {
            let html = to_html(&text);
            assert!(html.len() < 20 * text.len(), "{} bytes", html.len());
            let open = html.matches("<blockquote>").count();
            assert!(open <= MAX_DEPTH, "{open} quotes within each other");
        }
    }

    #[test]
    fn the_beginning_is_words_alone() {
        assert_eq!(
            beginning("# Soil *survey*\n\n<b>x</b> [y](https://z.example)\nz"),
            "Soil survey\n<b>x</b> y\nz\n"
        );
        assert!(beginning(&"é".repeat(100_000)).len() <= BEGINNING + 1);
    }
}
