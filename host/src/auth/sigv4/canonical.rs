//! The canonical form of a request: one text for all spellings that mean the same.
//!
//! Everything here works on what was sent. The path is normalised (dot segments, repeated slashes) and
//! encoded once more; the query is decoded, encoded in one way and sorted; headers lose spaces.

use std::cmp::Ordering;

use domain::routing::decode_percent;
use http::HeaderMap;
use http::request::Parts;

/// The canonical request up to the hash of the body, with the line break before it. `None` when the
/// query is not percent-encoded or a header of `signed_headers` is not there.
pub(super) fn head(
    parts: &Parts,
    signed_headers: &[&str],
    without: Option<&str>,
) -> Option<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    head.extend_from_slice(parts.method.as_str().as_bytes());
    head.push(b'\n');
    path(parts.uri.path(), &mut head);
    head.push(b'\n');
    head.extend_from_slice(query(parts.uri.query().unwrap_or(""), without)?.as_bytes());
    head.push(b'\n');
    for name in signed_headers {
        header(&parts.headers, name, &mut head)?;
    }
    head.push(b'\n');
    head.extend_from_slice(signed_headers.join(";").as_bytes());
    head.push(b'\n');
    Some(head)
}

/// Writes the path, which is encoded already, normalised and encoded again.
pub(super) fn path(raw: &str, out: &mut Vec<u8>) {
    let mut segments = Vec::new();
    for segment in raw.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            segment => segments.push(segment),
        }
    }
    let ends_open = ["/", "/.", "/.."].iter().any(|end| raw.ends_with(end));
    for segment in &segments {
        out.push(b'/');
        encode(segment.as_bytes(), out);
    }
    if segments.is_empty() || ends_open {
        out.push(b'/');
    }
}

/// The pairs of a query, decoded; `None` when it is not percent-encoded. `+` is a space, as it is
/// for whoever reads the query afterwards.
pub(super) fn pairs(raw: &str) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let decode = |text: &str| decode_percent(text.replace('+', " ").as_bytes());
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The canonical query, without the pairs of one name.
fn query(raw: &str, without: Option<&str>) -> Option<String> {
    let mut encoded: Vec<(Vec<u8>, Vec<u8>)> = pairs(raw)?
        .into_iter()
        .filter(|(name, _)| without.is_none_or(|without| name != without.as_bytes()))
        .map(|(name, value)| (encoded(&name), encoded(&value)))
        .collect();
    encoded.sort_by(|(a, x), (b, y)| match a.cmp(b) {
        Ordering::Equal => x.cmp(y),
        order => order,
    });
    let joined: Vec<Vec<u8>> = encoded
        .iter()
        .map(|(name, value)| [name.as_slice(), b"=", value.as_slice()].concat())
        .collect();
    String::from_utf8(joined.join(&b'&')).ok()
}

/// Writes `name:value` of all headers of a name, their values joined.
fn header(headers: &HeaderMap, name: &str, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(name.as_bytes());
    out.push(b':');
    let mut values = headers.get_all(name).iter();
    trimmed(values.next()?.as_bytes(), out);
    for value in values {
        out.push(b',');
        trimmed(value.as_bytes(), out);
    }
    out.push(b'\n');
    Some(())
}

/// Writes a value without spaces around it, and with single ones inside.
fn trimmed(value: &[u8], out: &mut Vec<u8>) {
    let start = out.len();
    for byte in value {
        let is_double = *byte == b' ' && out.len() > start && out.last() == Some(&b' ');
        let is_leading = *byte == b' ' && out.len() == start;
        if !is_double && !is_leading {
            out.push(*byte);
        }
    }
    if out.len() > start && out.last() == Some(&b' ') {
        out.pop();
    }
}

fn encoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    encode(bytes, &mut out);
    out
}

/// Writes everything but `A-Z a-z 0-9 - . _ ~` as `%XX`.
fn encode(bytes: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(*byte),
            _ => {
                let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}
