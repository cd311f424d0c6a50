//! The attributes of a CloudEvent: their names, and what each may say.
//!
//! Knows nothing of how an event travels.

use std::collections::BTreeMap;

use jiff::Timestamp;

/// Longest name of an attribute, in characters.
const NAME_CHARS_MAX: usize = 20;

/// Longest value of an attribute that an error repeats, in characters.
const SHOWN_CHARS_MAX: usize = 80;

/// Longest `source`, in bytes: it is kept beside the event and shown in lists.
const SOURCE_BYTES_MAX: usize = 2_048;

/// What an event must have.
const REQUIRED: [&str; 4] = ["specversion", "id", "source", "type"];

/// The only version that is taken.
const SPEC_VERSION: &str = "1.0";

/// What an attribute says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    /// An integer or a boolean, as JSON writes it. Only in events that come as JSON.
    Other(String),
}

/// Attributes by name.
pub(super) type Attributes = BTreeMap<String, Value>;

/// Checks the name of an attribute.
///
/// # Errors
///
/// The rule that it breaks.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let chars = name.chars().count();
    if (1..=NAME_CHARS_MAX).contains(&chars) && name.chars().all(is_allowed) {
        Ok(())
    } else {
        Err(format!(
            "`{}` is no name of an attribute: those have 1 to {NAME_CHARS_MAX} lower-case letters and digits",
            shown(name)
        ))
    }
}

/// Checks what all attributes say.
///
/// # Errors
///
/// The attribute and the rule that it breaks.
pub(super) fn check(attributes: &Attributes) -> Result<(), String> {
    for name in REQUIRED {
        if !attributes.contains_key(name) {
            return Err(format!("the attribute `{name}` is missing"));
        }
    }
    for (name, value) in attributes {
        check_one(name, value)?;
    }
    Ok(())
}

/// The text of an attribute.
pub(super) fn text<'a>(attributes: &'a Attributes, name: &str) -> Option<&'a str> {
    match attributes.get(name)? {
        Value::Text(text) => Some(text),
        Value::Other(_) => None,
    }
}

/// Whether data of this media type is JSON.
pub(super) fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.ends_with("/json") || essence.ends_with("+json")
}

/// The media type alone, in lower case.
pub(super) fn essence(content_type: &str) -> String {
    let essence = content_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn check_one(name: &str, value: &Value) -> Result<(), String> {
    let wrong = |rule: &str| {
        let (Value::Text(text) | Value::Other(text)) = value;
        Err(format!(
            "the attribute `{name}` is `{}`; it must be {rule}",
            shown(text)
        ))
    };
    let is_known = REQUIRED.contains(&name)
        || ["datacontenttype", "dataschema", "subject", "time"].contains(&name);
    let text = match value {
        Value::Text(text) => text,
        Value::Other(_) if is_known => return wrong("text"),
        Value::Other(_) => return Ok(()),
    };
    if text.chars().any(is_control) {
        return wrong("text without control characters");
    }
    match name {
        "specversion" if text != SPEC_VERSION => wrong("1.0"),
        "id" | "type" | "subject" if text.is_empty() => wrong("a text that is not empty"),
        "source" if !is_uri_reference(text) => {
            wrong("a URI or the path of one, such as /orders or https://example.com/orders")
        }
        "source" if text.len() > SOURCE_BYTES_MAX => {
            wrong(&format!("at most {SOURCE_BYTES_MAX} bytes long"))
        }
        "dataschema" if !is_uri(text) => {
            wrong("a URI with its scheme, such as https://example.com/order.json")
        }
        "datacontenttype" if !is_media_type(text) => wrong("a media type such as application/json"),
        "time" if !is_rfc3339(text) => wrong("an RFC 3339 instant such as 2026-11-22T16:53:00Z"),
        _ => Ok(()),
    }
}

/// Control characters and what Unicode keeps for nobody: no text of a CloudEvent has them.
fn is_control(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// Whether a text may be a URI reference. Letters beyond ASCII are let through: they are often left as
/// they are.
fn is_uri_reference(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let is_fine = match byte {
            b'%' => after
                .get(..2)
                .is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            b' ' | b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' => false,
            byte => !byte.is_ascii_control(),
        };
        if !is_fine {
            return false;
        }
    }
    !text.is_empty() && text.matches('#').count() <= 1 && !text.contains(char::is_whitespace)
}

fn is_uri(text: &str) -> bool {
    let scheme = text.split_once(':').map(|(scheme, _)| scheme);
    let is_scheme = |scheme: &str| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    };
    scheme.is_some_and(is_scheme) && is_uri_reference(text)
}

fn is_media_type(text: &str) -> bool {
    let is_token = |token: &str| {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !token.is_empty() && token.chars().all(is_allowed)
    };
    let essence = essence(text);
    let parts = essence.split_once('/');
    parts.is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
}

/// Whether a text is `YYYY-MM-DDTHH:MM:SS`, perhaps a fraction, and `Z` or an offset, of a moment that
/// there is.
fn is_rfc3339(text: &str) -> bool {
    let upper = text.to_ascii_uppercase();
    let Some((start, rest)) = upper.split_at_checked(19) else {
        return false;
    };
    let has_form = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(byte, form)| match form {
                    b'0' => byte.is_ascii_digit(),
                    form => byte == form,
                })
    };
    if !has_form(start, "0000-00-00T00:00:00") {
        return false;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => (None, rest),
        Some(rest) => {
            let end = rest.find(|c: char| !c.is_ascii_digit());
            let (fraction, zone) = rest.split_at(end.unwrap_or(rest.len()));
            (Some(fraction), zone)
        }
    };
    let is_zone = zone == "Z" || has_form(zone, "+00:00") || has_form(zone, "-00:00");
    let is_fraction = fraction.is_none_or(|fraction| !fraction.is_empty());
    is_zone && is_fraction && format!("{start}{zone}").parse::<Timestamp>().is_ok()
}

/// A text from outside, for an error.
pub(super) fn shown(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).collect();
    shown = shown.escape_debug().to_string();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(changes: &[(&str, &str)]) -> Attributes {
        let base = [
            ("specversion", "1.0"),
            ("id", "1"),
            ("source", "/orders"),
            ("type", "order.created"),
        ];
        let all = base.iter().chain(changes);
        all.map(|(name, text)| ((*name).to_owned(), Value::Text((*text).to_owned())))
            .collect()
    }

    #[track_caller]
    fn check_values(name: &str, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(check(&attributes(&[(name, text)])), Ok(()), "{name} {text}");
        }
        for text in bad {
            let error = check(&attributes(&[(name, text)])).unwrap_err();
            let start = format!("the attribute `{name}` is `");
            assert!(error.starts_with(&start), "{error}");
        }
    }

    #[test]
    fn each_attribute_has_its_rule() {
        check_values("specversion", &["1.0"], &["0.3", "1", ""]);
        check_values("id", &["1", "a b", "ü"], &["", "a\nb", "\u{85}"]);
        check_values("type", &["com.example.x"], &[""]);
        check_values("subject", &["a.txt"], &[""]);
        check_values(
            "source",
            &[
                "/",
                "orders",
                "urn:uuid:1",
                "https://a.b/c?d=e#f",
                "//a/b",
                "/%C3%BC",
                "/ü",
            ],
            &["", "a b", "/%zz", "/%", "<a>", "a#b#c", "\u{fffe}"],
        );
        let long = |bytes: usize| "/".repeat(bytes);
        check_values(
            "source",
            &[&long(2_048)],
            &[&long(2_049), &"é".repeat(1_025)],
        );
        check_values(
            "dataschema",
            &["https://example.com/s.json", "urn:x"],
            &["", "/s.json", "1a:b", ":x"],
        );
        check_values(
            "datacontenttype",
            &[
                "application/json",
                "text/plain; charset=utf-8",
                "application/x+json",
            ],
            &["", "json", "a/", "/b", "a b/c"],
        );
        check_values(
            "time",
            &[
                "2026-11-22T16:53:00Z",
                "2026-11-22t16:53:00.123456789012z",
                "2026-11-22T16:53:00+05:30",
                "2016-12-31T23:59:60Z",
            ],
            &[
                "",
                "2026-11-22",
                "2026-11-22 16:53:00Z",
                "2026-11-22T16:53:00",
                "2026-13-22T16:53:00Z",
                "2026-02-30T16:53:00Z",
                "2026-11-22T16:53:00.Z",
                "2026-11-22T16:53Z",
                "2026-11-22T16:53:00Zé",
                "yesterday",
            ],
        );
        check_values("anything", &["", "x"], &["\u{7}"]);
    }

    #[test]
    fn what_must_be_there_is_named_when_it_is_not() {
        for name in REQUIRED {
            let mut all = attributes(&[]);
            all.remove(name);
            assert_eq!(
                check(&all).unwrap_err(),
                format!("the attribute `{name}` is missing")
            );
        }
    }

    #[test]
    fn names_are_short_lower_case_and_digits() {
        for name in ["a", "traceparent", "0", &"x".repeat(20)] {
            assert_eq!(check_name(name), Ok(()));
        }
        for name in ["", "Id", "my-ext", "a_b", "é", &"x".repeat(21)] {
            check_name(name).unwrap_err();
        }
    }

    #[test]
    fn only_extensions_may_be_numbers_and_booleans() {
        let mut all = attributes(&[]);
        all.insert("retries".to_owned(), Value::Other("3".to_owned()));
        assert_eq!(check(&all), Ok(()));
        all.insert("subject".to_owned(), Value::Other("3".to_owned()));
        let error = check(&all).unwrap_err();
        assert_eq!(error, "the attribute `subject` is `3`; it must be text");
    }
}
