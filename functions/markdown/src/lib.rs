//! Renders Markdown as HTML.
//!
//! The text may come from anybody, so nothing in it becomes active: raw HTML is shown as the text
//! it is, and a link or image whose address could run a script points nowhere.

use mayfly_sdk::handler;
use mayfly_sdk::http::{Request, Response, header};
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

/// What an unsafe address is replaced by.
const NOWHERE: &str = "#";
/// Schemes that a link may have. One without a scheme stays on the site.
const SCHEMES: [&str; 4] = ["http", "https", "mailto", "tel"];

/// Answers with a fragment of HTML.
#[handler]
fn markdown(request: Request<String>) -> Response<String> {
    let mut response = Response::new(render(request.body()));
    let content_type = header::HeaderValue::from_static("text/html; charset=utf-8");
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

fn render(text: &str) -> String {
    let extensions = Options::ENABLE_TABLES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_FOOTNOTES;
    let mut output = String::with_capacity(text.len() * 3 / 2);
    html::push_html(&mut output, Parser::new_ext(text, extensions).map(harmless));
    output
}

fn harmless(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Link {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Link {
            link_type,
            dest_url: safe(dest_url),
            title,
            id,
        }),
        Event::Start(Tag::Image {
            link_type,
            dest_url,
            title,
            id,
        }) => Event::Start(Tag::Image {
            link_type,
            dest_url: safe(dest_url),
            title,
            id,
        }),
        other => other,
    }
}

fn safe(address: CowStr<'_>) -> CowStr<'_> {
    if has_safe_scheme(&address) {
        address
    } else {
        CowStr::Borrowed(NOWHERE)
    }
}

/// Whether a browser could only follow the address, not run it. Browsers drop spaces and control
/// characters before and inside a scheme, so any of them there is suspect.
fn has_safe_scheme(address: &str) -> bool {
    let head = address.split(['/', '?', '#']).next().unwrap_or(address);
    let Some((scheme, _)) = head.split_once(':') else {
        return true;
    };
    SCHEMES.iter().any(|safe| scheme.eq_ignore_ascii_case(safe))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        assert_eq!(render(text), expected);
    }

    #[test]
    fn markdown_becomes_html() {
        check(
            "# Title\n\n*a* & **b**",
            "<h1>Title</h1>\n<p><em>a</em> &amp; <strong>b</strong></p>\n",
        );
        check("~~gone~~", "<p><del>gone</del></p>\n");
        assert!(render("|a|b|\n|-|-|\n|1|2|").starts_with("<table>"));
    }

    #[test]
    fn raw_html_is_shown_and_not_run() {
        check("a <b>c</b>", "<p>a &lt;b&gt;c&lt;/b&gt;</p>\n");
        check(
            "<script>\nalert(1)\n</script>",
            "&lt;script&gt;\nalert(1)\n&lt;/script&gt;",
        );
        check("`<i>`", "<p><code>&lt;i&gt;</code></p>\n");
    }

    #[test]
    fn links_that_could_run_a_script_point_nowhere() {
        for address in [
            "javascript:alert(1)",
            "JaVaScript:x",
            "data:text/html,x",
            "vbscript:x",
        ] {
            check(&format!("[x](<{address}>)"), "<p><a href=\"#\">x</a></p>\n");
        }
        check(
            "![x](<javascript:x>)",
            "<p><img src=\"#\" alt=\"x\" /></p>\n",
        );
        check("[x](<java&#10;script:x>)", "<p><a href=\"#\">x</a></p>\n");
    }

    #[test]
    fn ordinary_links_stay() {
        for address in [
            "https://example.org/a?b=c:d",
            "/page",
            "a/b:c",
            "#top",
            "mailto:a@b.c",
        ] {
            check(
                &format!("[x]({address})"),
                &format!("<p><a href=\"{address}\">x</a></p>\n"),
            );
        }
    }

    #[test]
    fn the_answer_is_typed() {
        let response = markdown(Request::post("/markdown").body("hi".into()).unwrap());
        assert_eq!(
            response.headers()["content-type"],
            "text/html; charset=utf-8"
        );
        assert_eq!(response.body(), "<p>hi</p>\n");
    }
}
