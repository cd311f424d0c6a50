//! Bodies of requests as JSON, read strictly: no name twice in an object, no nesting that only means
//! harm, and no value of the body in an error.
//!
//! Knows nothing of what the members mean; members that nobody asks for are checked and dropped.

use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};

/// Why a body is not what was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum JsonError {
    /// It is no JSON, or no JSON that can be relied on.
    Malformed(String),
    /// It is JSON, and a member has another type than it should.
    WrongType(String),
}

/// Reads `body` as a `T`.
///
/// # Errors
///
/// [`JsonError`], with the place and never with a value.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    // A reader of bytes would pass over texts without looking at their encoding.
    let text =
        std::str::from_utf8(body).map_err(|error| JsonError::Malformed(error.to_string()))?;
    serde_json::from_str::<Checked>(text).map_err(|error| JsonError::Malformed(plain(&error)))?;
    check_object(body)?;
    serde_json::from_str(text).map_err(|error| JsonError::WrongType(plain(&error)))
}

/// Reads a few members of `body` without looking at the others, which are to be read afterwards.
///
/// # Errors
///
/// [`JsonError`], with the place and never with a value.
pub(super) fn peek<T: DeserializeOwned>(body: &[u8]) -> Result<T, JsonError> {
    check_object(body)?;
    serde_json::from_slice(body).map_err(|error| JsonError::Malformed(plain(&error)))
}

/// What we read are objects. A list of the members' values would be taken for one.
fn check_object(body: &[u8]) -> Result<(), JsonError> {
    match body.trim_ascii_start().first() {
        Some(b'{') | None => Ok(()),
        Some(_) => Err(JsonError::WrongType("expected an object".to_owned())),
    }
}

/// Reads a member that is an object or null. Without this a list of its members' values would do.
pub(super) fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_any(Object(PhantomData))
}

struct Object<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Option<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members)).map(Some)
    }
}

/// What is wrong and where. A value that has the wrong type may be a secret, so it is left out.
pub(super) fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let Some((start, expected)) = text.rsplit_once(", expected ") else {
        return text;
    };
    if start.starts_with("invalid type") || start.starts_with("invalid value") {
        format!("expected {expected}")
    } else {
        text
    }
}

/// Any JSON, looked through and not kept.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Look)
    }
}

struct Look;

impl<'de> Visitor<'de> for Look {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_str<E: de::Error>(self, _: &str) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Checked, E> {
        Ok(Checked)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Checked, A::Error> {
        while items.next_element::<Checked>()?.is_some() {}
        Ok(Checked)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Checked, A::Error> {
        let mut names: HashSet<String> = HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if let Some(name) = names.replace(name) {
                return Err(A::Error::custom(format!(
                    "the name `{name}` stands twice in an object"
                )));
            }
            members.next_value::<Checked>()?;
        }
        Ok(Checked)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Inner {
        deep: Option<u32>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Wanted {
        #[serde(default, deserialize_with = "object")]
        inner: Option<Inner>,
        #[serde(default)]
        size: Option<u32>,
        #[serde(default)]
        map: BTreeMap<String, String>,
    }

    fn wanted(body: &[u8]) -> Result<Wanted, JsonError> {
        read(body)
    }

    #[test]
    fn members_that_are_not_known_or_null_are_nothing() {
        let read = wanted(br#"{"other": [1, {"a": null}], "size": null}"#).unwrap();
        let nothing = Wanted {
            inner: None,
            size: None,
            map: BTreeMap::new(),
        };
        assert_eq!(read, nothing);
    }

    #[test]
    fn harmful_json_is_malformed() {
        let deep = format!(
            "{{\"other\": {}{}}}",
            "[".repeat(1_000_000),
            "]".repeat(1_000_000)
        );
        let bodies: [&[u8]; 9] = [
            br#"{"size": 1, "size": 2}"#,
            br#"{"other": {"a": 1, "a": 1}}"#,
            br#"{"map": {"a": "1", "\u0061": "2"}}"#,
            b"\xef\xbb\xbf{}",
            br#"{"size": 1e999}"#,
            b"{\"map\": {\"a\": \"\xff\"}}",
            b"{} {}",
            b"{",
            deep.as_bytes(),
        ];
        for body in bodies {
            let error = wanted(body).unwrap_err();
            assert!(matches!(error, JsonError::Malformed(_)), "{error:?}");
        }
    }

    #[test]
    fn a_list_is_no_object() {
        let inner = |text: &str| wanted(format!("{{\"inner\": {text}}}").as_bytes());
        assert_eq!(inner("null").unwrap().inner, None);
        let deep = inner("{\"deep\": 3}").unwrap().inner;
        assert_eq!(deep, Some(Inner { deep: Some(3) }));
        for other in ["[3]", "[]", "3", "\"deep\"", "true"] {
            let error = inner(other).unwrap_err();
            let JsonError::WrongType(reason) = error else {
                panic!("{other}: {error:?}");
            };
            assert!(
                reason.starts_with("expected an object at line 1"),
                "{reason}"
            );
        }
    }

    #[test]
    fn a_wrong_type_is_told_without_its_value() {
        let error = wanted(br#"{"size": "the secret, expected nothing"}"#).unwrap_err();
        let JsonError::WrongType(reason) = error else {
            panic!("{error:?}");
        };
        assert!(reason.starts_with("expected u32 at line 1"), "{reason}");
        assert!(matches!(
            wanted(b"[1]").unwrap_err(),
            JsonError::WrongType(_)
        ));
    }
}
