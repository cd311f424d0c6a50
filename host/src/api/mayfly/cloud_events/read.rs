//! From a request to the CloudEvents in it, each as the JSON that a function gets.
//!
//! The form is that of the structured mode, whichever mode an event came in; one that came so is passed
//! on as it is. Knows nothing of functions and queues.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use domain::routing::decode_percent;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::attributes::{Attributes, Value, check, check_name, essence, is_json, shown, text};
use crate::answer::parse_json;
use crate::api::json::plain;

/// Most events of a batch.
const BATCH_EVENTS_MAX: usize = 1_000;

const STRUCTURED: &str = "application/cloudevents";
const BATCHED: &str = "application/cloudevents-batch";

/// What headers of attributes begin with.
const PREFIX: &str = "ce-";

const HINT: &str = "send a CloudEvent: one as application/cloudevents+json, a list as application/cloudevents-batch+json, or its data with the headers ce-specversion, ce-id, ce-source and ce-type";

/// An event on its way in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Incoming {
    /// Where it says that it comes from.
    pub(super) source: String,
    /// What the function gets.
    pub(super) event: Bytes,
}

/// What a request brings.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read {
    One(Incoming),
    Batch(Vec<Incoming>),
}

/// Why a request brings nothing. Each text says what is wrong and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotTaken {
    /// Nothing says that it is a CloudEvent, or it is in a form that is not read.
    MediaType(String),
    /// It is none.
    Wrong(String),
    /// A batch of more events than are taken at once.
    TooMany(String),
}

/// Reads a request in whichever mode it is in.
///
/// # Errors
///
/// [`NotTaken`].
pub(super) fn read(headers: &HeaderMap, body: &Bytes) -> Result<Read, NotTaken> {
    let content_type = content_type(headers)?;
    let media_type = content_type.as_deref().map(essence).unwrap_or_default();
    if let Some(format) = media_type.strip_prefix(BATCHED) {
        check_format(format, content_type.as_deref())?;
        return batch(body).map(Read::Batch);
    }
    if let Some(format) = media_type.strip_prefix(STRUCTURED) {
        check_format(format, content_type.as_deref())?;
        let text = utf8(body)?;
        let event = structured(text).map_err(NotTaken::Wrong)?;
        return Ok(Read::One(event));
    }
    if headers.contains_key("ce-specversion") {
        let event = binary(headers, content_type, body).map_err(NotTaken::Wrong)?;
        return Ok(Read::One(event));
    }
    if headers.keys().any(|name| name.as_str().starts_with(PREFIX)) {
        return Err(NotTaken::Wrong(
            "the header ce-specversion is missing; it is 1.0".to_owned(),
        ));
    }
    let what = match content_type {
        Some(content_type) => format!("`{}` is no CloudEvent", shown(&content_type)),
        None => "there is no content-type".to_owned(),
    };
    Err(NotTaken::MediaType(format!("{what}; {HINT}")))
}

fn content_type(headers: &HeaderMap) -> Result<Option<String>, NotTaken> {
    let value = headers.get(CONTENT_TYPE).map(http::HeaderValue::to_str);
    let value = value
        .transpose()
        .map_err(|_| NotTaken::Wrong("the header content-type is not ASCII text".to_owned()))?;
    Ok(value.map(str::to_owned))
}

/// Checks what follows the name of the mode, and the encoding.
fn check_format(format: &str, content_type: Option<&str>) -> Result<(), NotTaken> {
    let content_type = content_type.unwrap_or_default();
    let mut parameters = content_type.split(';').skip(1);
    let is_other = |parameter: &str| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8")
    };
    if format != "+json" || parameters.any(is_other) {
        return Err(NotTaken::MediaType(format!(
            "`{}` is not read, only JSON in UTF-8; {HINT}",
            shown(content_type)
        )));
    }
    Ok(())
}

fn utf8(body: &[u8]) -> Result<&str, NotTaken> {
    std::str::from_utf8(body)
        .map_err(|error| NotTaken::Wrong(format!("the body is not JSON: {error}")))
}

fn batch(body: &Bytes) -> Result<Vec<Incoming>, NotTaken> {
    let text = utf8(body)?;
    let mut list = List::default();
    let mut json = serde_json::Deserializer::from_str(text);
    let parsed = json.deserialize_seq(&mut list).and_then(|()| json.end());
    if list.is_too_long {
        return Err(NotTaken::TooMany(format!(
            "the batch has more than {BATCH_EVENTS_MAX} events; so many are taken at once"
        )));
    }
    parsed.map_err(|error| {
        NotTaken::Wrong(format!("the body is no list of events: {}", plain(&error)))
    })?;
    let read = list.events.iter().enumerate().map(|(at, event)| {
        structured(event.get())
            .map_err(|reason| NotTaken::Wrong(format!("event {} of the batch: {reason}", at + 1)))
    });
    read.collect()
}

/// The elements of a list, no further than they are taken: what comes after is not looked at.
#[derive(Default)]
struct List {
    events: Vec<Box<RawValue>>,
    is_too_long: bool,
}

impl<'de> Visitor<'de> for &mut List {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while let Some(event) = list.next_element()? {
            if self.events.len() == BATCH_EVENTS_MAX {
                self.is_too_long = true;
                return Err(A::Error::custom("the list is too long"));
            }
            self.events.push(event);
        }
        Ok(())
    }
}

/// The members of an object, none of them twice.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Take)
    }
}

struct Take;

impl<'de> Visitor<'de> for Take {
    type Value = Members;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members: Vec<(String, Box<RawValue>)> = Vec::new();
        while let Some(name) = map.next_key::<String>()? {
            if members.iter().any(|(known, _)| *known == name) {
                let name = shown(&name);
                return Err(A::Error::custom(format!("`{name}` stands twice")));
            }
            members.push((name, map.next_value()?));
            // A CloudEvent has few; an object with thousands of names would be compared for ever.
            if members.len() > MEMBERS_MAX {
                return Err(A::Error::custom(format!(
                    "there are more than {MEMBERS_MAX} attributes"
                )));
            }
        }
        Ok(Members(members))
    }
}

/// Most members of an event.
const MEMBERS_MAX: usize = 200;

/// An event that is JSON.
fn structured(text: &str) -> Result<Incoming, String> {
    let Members(members) = serde_json::from_str(text)
        .map_err(|error| format!("it is no event in JSON: {}", plain(&error)))?;
    let mut attributes = Attributes::new();
    let (mut has_data, mut has_base64) = (false, false);
    for (name, raw) in members {
        match name.as_str() {
            "data" => has_data = true,
            "data_base64" => {
                has_base64 = true;
                let base64 = serde_json::from_str::<String>(raw.get()).ok();
                let decoded = base64.and_then(|text| STANDARD.decode(text).ok());
                if decoded.is_none() {
                    return Err("`data_base64` must be text in Base64".to_owned());
                }
            }
            _ => {
                check_name(&name)?;
                if let Some(value) = value(&name, raw.get())? {
                    attributes.insert(name, value);
                }
            }
        }
    }
    if has_data && has_base64 {
        return Err("`data` and `data_base64` are both there".to_owned());
    }
    check(&attributes)?;
    Ok(Incoming {
        source: source(&attributes),
        event: Bytes::copy_from_slice(text.trim().as_bytes()),
    })
}

/// What an attribute says in JSON; null says nothing.
fn value(name: &str, raw: &str) -> Result<Option<Value>, String> {
    let value = match serde_json::from_str::<serde_json::Value>(raw) {
        Ok(serde_json::Value::Null) => return Ok(None),
        Ok(serde_json::Value::String(text)) => Some(Value::Text(text)),
        Ok(serde_json::Value::Bool(value)) => Some(Value::Other(value.to_string())),
        Ok(serde_json::Value::Number(number)) => number
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .map(|number| Value::Other(number.to_string())),
        Ok(serde_json::Value::Array(_) | serde_json::Value::Object(_)) | Err(_) => None,
    };
    value.map(Some).ok_or_else(|| {
        format!("the attribute `{name}` must be text, true, false or an integer of 32 bits")
    })
}

fn source(attributes: &Attributes) -> String {
    text(attributes, "source").unwrap_or_default().to_owned()
}

/// An event whose attributes are headers, and whose data is the body.
fn binary(
    headers: &HeaderMap,
    content_type: Option<String>,
    body: &Bytes,
) -> Result<Incoming, String> {
    let mut attributes = Attributes::new();
    for header in headers.keys() {
        let header = header.as_str();
        let Some(name) = header.strip_prefix(PREFIX) else {
            continue;
        };
        check_name(name).map_err(|reason| format!("header {header}: {reason}"))?;
        if name == "datacontenttype" {
            return Err(format!("header {header}: content-type says that"));
        }
        if name == "data" {
            return Err(format!("header {header}: the data is the body"));
        }
        let mut values = headers.get_all(header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return Err(format!("header {header} stands twice"));
        };
        let value = decoded(value.as_bytes()).ok_or_else(|| {
            format!(
                "header {header}: it must be UTF-8, percent-encoded where it is not plain ASCII"
            )
        })?;
        attributes.insert(name.to_owned(), Value::Text(value));
    }
    if let Some(content_type) = content_type {
        attributes.insert("datacontenttype".to_owned(), Value::Text(content_type));
    }
    check(&attributes)?;
    Ok(Incoming {
        event: json_form(&attributes, body)?,
        source: source(&attributes),
    })
}

/// The text of a header: out of its quotes, and percent-decoded once.
fn decoded(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let inner = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    let plain = match inner {
        None => value.to_vec(),
        Some(inner) => {
            let mut plain = Vec::with_capacity(inner.len());
            let mut bytes = inner.iter();
            while let Some(byte) = bytes.next() {
                plain.push(if *byte == b'\\' {
                    *bytes.next()?
                } else {
                    *byte
                });
            }
            plain
        }
    };
    String::from_utf8(decode_percent(&plain)?).ok()
}

/// Attributes and data as one object.
fn json_form(attributes: &Attributes, body: &Bytes) -> Result<Bytes, String> {
    let mut json = Vec::with_capacity(body.len() + 512);
    for (name, value) in attributes {
        json.push(if json.is_empty() { b'{' } else { b',' });
        json.extend_from_slice(format!("\"{name}\":").as_bytes());
        match value {
            Value::Text(text) => json.extend_from_slice(quoted(text).as_bytes()),
            Value::Other(text) => json.extend_from_slice(text.as_bytes()),
        }
    }
    if !body.is_empty() {
        push_data(&mut json, text(attributes, "datacontenttype"), body)?;
    }
    json.push(b'}');
    Ok(Bytes::from(json))
}

/// JSON stays what it is, text becomes a string, everything else Base64.
fn push_data(json: &mut Vec<u8>, content_type: Option<&str>, body: &[u8]) -> Result<(), String> {
    let parsed = parse_json(body);
    let is_inline = match content_type {
        Some(content_type) => is_json(content_type),
        None => parsed.is_ok(),
    };
    if is_inline {
        if let Err(error) = parsed {
            return Err(format!(
                "the body is not JSON, as content-type says: {error}"
            ));
        }
        json.extend_from_slice(b",\"data\":");
        json.extend_from_slice(body.trim_ascii());
        return Ok(());
    }
    match std::str::from_utf8(body) {
        Ok(text) if content_type.is_some_and(is_text) => {
            json.extend_from_slice(b",\"data\":");
            json.extend_from_slice(quoted(text).as_bytes());
        }
        _ => {
            json.extend_from_slice(b",\"data_base64\":\"");
            json.extend_from_slice(STANDARD.encode(body).as_bytes());
            json.push(b'"');
        }
    }
    Ok(())
}

fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
