//! Answers as trees, written as XML or as JSON.
//!
//! IAM and STS answer in XML; our own command line asks the same operations in JSON.

use std::fmt::Write as _;

use bytes::Bytes;
use domain::RequestId;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::Value;

use super::form::Encoding;
use crate::http::error::{HttpResponse, json_response};

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Text(String),
    /// As XML each is in `<member>`.
    List(Vec<Self>),
    Fields(Vec<(&'static str, Self)>),
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// Writes what is inside of an element.
    pub(super) fn write_xml(&self, xml: &mut String) {
        match self {
            Self::Text(text) => xml.push_str(&escaped(text)),
            Self::List(items) => {
                for item in items {
                    element("member", item, xml);
                }
            }
            Self::Fields(fields) => {
                for (name, value) in fields {
                    element(name, value, xml);
                }
            }
        }
    }

    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::from(text.as_str()),
            Self::List(items) => items.iter().map(Self::to_json).collect(),
            Self::Fields(fields) => fields
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.to_json()))
                .collect(),
        }
    }
}

/// The answer to an operation of IAM or STS. Without a `result` there is no element for one.
pub(super) fn reply(
    operation: &str,
    namespace: &str,
    result: Option<&Node>,
    encoding: Encoding,
    id: RequestId,
) -> HttpResponse {
    if encoding == Encoding::Json {
        let json = result.map_or_else(|| Value::Object(serde_json::Map::new()), Node::to_json);
        return json_response(StatusCode::OK, json.to_string());
    }
    let mut xml = format!("<{operation}Response xmlns=\"{namespace}\">");
    if let Some(result) = result {
        element(&format!("{operation}Result"), result, &mut xml);
    }
    let _written = write!(
        xml,
        "<ResponseMetadata><RequestId>{id}</RequestId></ResponseMetadata></{operation}Response>"
    );
    let mut response = Response::new(Full::new(Bytes::from(xml)));
    let content_type = HeaderValue::from_static("text/xml");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

fn element(name: &str, value: &Node, xml: &mut String) {
    let _written = write!(xml, "<{name}>");
    value.write_xml(xml);
    let _written = write!(xml, "</{name}>");
}

/// Text as XML writes it. What XML has no way to write is left out.
pub(super) fn escaped(text: &str) -> String {
    let mut xml = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            '\r' => xml.push_str("&#xD;"),
            '\t' | '\n' => xml.push(c),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_written_both_ways_and_text_stays_text() {
        let tree = Node::Fields(vec![
            ("Name", Node::text("a <b> & \"c\"\u{1}\r\n")),
            (
                "Tags",
                Node::List(vec![
                    Node::Fields(vec![("Key", Node::text("k"))]),
                    Node::text("v"),
                ]),
            ),
            ("None", Node::List(Vec::new())),
        ]);
        let mut xml = String::new();
        tree.write_xml(&mut xml);
        assert_eq!(
            xml,
            "<Name>a &lt;b&gt; &amp; &quot;c&quot;&#xD;\n</Name><Tags><member><Key>k</Key></member><member>v</member></Tags><None></None>"
        );
        assert_eq!(
            tree.to_json(),
            serde_json::json!({"Name": "a <b> & \"c\"\u{1}\r\n", "Tags": [{"Key": "k"}, "v"], "None": []})
        );
    }
}
