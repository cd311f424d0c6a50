//! The parameters of an operation of IAM or STS: flat names and texts, as a form or as JSON.
//!
//! A list is `NAME.member.1`, `NAME.member.2`; in JSON it may be a list.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use http::StatusCode;
use serde_json::Value;

use super::checks::Checks;
use super::error::ApiError;
use super::json;
use super::query::Query;

/// Items of a list that are looked at.
const ITEMS_MAX: usize = 1_000;

/// What IAM and STS call a parameter that breaks a rule.
pub(super) const VALIDATION: &str = "ValidationError";

/// How a request is written, and so how it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Form,
    Json,
}

/// Parameters.
#[derive(Debug, Default)]
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    ///
    /// 400 when it is not what its content type says, or a name is there twice.
    pub(super) fn parse(body: &[u8], encoding: Encoding) -> Result<Self, ApiError> {
        let pairs = match encoding {
            Encoding::Form => {
                let text = std::str::from_utf8(body)
                    .map_err(|_| malformed("the body is not UTF-8".to_owned()))?;
                Query::parse(text)?.into_pairs()
            }
            Encoding::Json => json_pairs(body)?,
        };
        let mut form = BTreeMap::new();
        for (name, value) in pairs {
            if let Some(_earlier) = form.insert(name.clone(), value) {
                return Err(malformed(format!(
                    "parameter `{}` is there twice",
                    name.escape_debug()
                )));
            }
        }
        Ok(Self(form))
    }

    /// That there are no parameters but these, lists among them, and those of every operation.
    ///
    /// # Errors
    ///
    /// 400 that names the first other.
    pub(super) fn only(&self, operation: &str, known: &[&str]) -> Result<(), ApiError> {
        let is_known = |name: &str| {
            let first = name.split_once(".member.").map_or(name, |(list, _)| list);
            matches!(first, "Action" | "Version") || known.contains(&first)
        };
        match self.0.keys().find(|name| !is_known(name)) {
            None => Ok(()),
            Some(other) => Err(validation(format!(
                "parameter `{}` of {operation} is not offered here; offered are: {}",
                other.escape_debug(),
                known.join(", ")
            ))),
        }
    }

    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// # Errors
    ///
    /// 400 when it is not there.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        let found = self.text(name);
        let mut checks = Checks::default();
        checks.required(&lower_first(name), found.as_ref());
        checks.done_as(VALIDATION)?;
        Ok(found.unwrap_or_default())
    }

    /// # Errors
    ///
    /// 400 when it is not a number in the range.
    pub(super) fn number(
        &self,
        name: &str,
        range: RangeInclusive<u32>,
    ) -> Result<Option<u32>, ApiError> {
        let Some(text) = self.text(name) else {
            return Ok(None);
        };
        let mut checks = Checks::default();
        match text.parse() {
            Ok(number) => {
                let range = i64::from(*range.start())..=i64::from(*range.end());
                checks.range(&lower_first(name), Some(number), &range);
            }
            Err(_) => checks.breach(&lower_first(name), text, "be a number"),
        }
        checks.done_as(VALIDATION)?;
        Ok(text.parse().ok())
    }

    /// One of `known`.
    ///
    /// # Errors
    ///
    /// 400 when it is another.
    pub(super) fn one_of(&self, name: &str, known: &[&str]) -> Result<Option<&str>, ApiError> {
        let found = self.text(name);
        let mut checks = Checks::default();
        checks.one_of(&lower_first(name), found, known);
        checks.done_as(VALIDATION)?;
        Ok(found)
    }

    /// All parameters but those in `without`, as one text: the same for the same parameters only.
    pub(super) fn others(&self, without: &[&str]) -> String {
        let others = self.0.iter();
        let others = others.filter(|(name, _)| !without.contains(&name.as_str()));
        format!("{:?}", others.collect::<Vec<_>>())
    }

    /// The texts of a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        (1..=ITEMS_MAX)
            .map_while(|number| self.text(&format!("{name}.member.{number}")))
            .collect()
    }

    /// The tags in a list `Tags`.
    ///
    /// # Errors
    ///
    /// 400 when one has no value, when a key is there twice, or when there are more than 50.
    pub(super) fn tags(&self) -> Result<Vec<(String, String)>, ApiError> {
        const TAGS_MAX: usize = 50;
        let mut tags: Vec<(String, String)> = Vec::new();
        while let Some(key) = self.text(&format!("Tags.member.{}.Key", tags.len() + 1)) {
            let value = self.required(&format!("Tags.member.{}.Value", tags.len() + 1))?;
            let is_long = key.chars().count() > 128 || value.chars().count() > 256;
            if key.is_empty() || is_long {
                return Err(validation(format!(
                    "tag `{}` must have a key of 1 to 128 and a value of up to 256 characters",
                    key.escape_debug()
                )));
            }
            if tags.iter().any(|(known, _)| known == key) {
                return Err(ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "InvalidInput",
                    format!("Duplicate tag key `{}` found.", key.escape_debug()),
                ));
            }
            if tags.len() == TAGS_MAX {
                return Err(validation(format!("at most {TAGS_MAX} tags are allowed")));
            }
            tags.push((key.to_owned(), value.to_owned()));
        }
        Ok(tags)
    }
}

fn json_pairs(body: &[u8]) -> Result<Vec<(String, String)>, ApiError> {
    let wrong =
        || malformed("the body must be a JSON object of texts and lists of texts".to_owned());
    let members: BTreeMap<String, Value> = json::read(body).map_err(|_| wrong())?;
    let mut pairs = Vec::new();
    for (name, value) in members {
        match value {
            Value::String(text) => pairs.push((name, text)),
            Value::Array(items) => {
                for (number, item) in (1..).zip(items) {
                    let Value::String(text) = item else {
                        return Err(wrong());
                    };
                    pairs.push((format!("{name}.member.{number}"), text));
                }
            }
            _ => return Err(wrong()),
        }
    }
    Ok(pairs)
}

fn lower_first(name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    first.into_iter().chain(chars).collect()
}

fn malformed(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, "MalformedQueryString", message)
}

/// 400 for a parameter that breaks a rule.
pub(super) fn validation(message: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, VALIDATION, message)
}
