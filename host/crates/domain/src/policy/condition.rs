//! Conditions: what else must be so for a statement to apply.
//!
//! Operators, and the keys of an operator, must all hold; of the values of a key, one must fit. The
//! negated operators ask that none does. A key that the request does not have fits nothing, so a
//! negated operator holds; `...IfExists` holds then in any case.
//!
//! A value of the request that an operator can't read (a number that is no number), a key of a
//! service that is not here and one that nobody looks at leave the condition [`Truth::Unknown`].

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::json::Json;
use super::keys::{self, KeyKind};
use super::pattern::{Case, Meaning, Pattern};
use super::{Request, Truth};

/// All conditions of a statement.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conditions(Vec<Condition>);

/// One operator on one key.
#[derive(Debug, Clone, PartialEq)]
struct Condition {
    quantifier: Quantifier,
    negated: bool,
    if_exists: bool,
    /// Lower case.
    key: String,
    test: Test,
}

/// How the values that a request has for the key are taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quantifier {
    /// One value is expected; of several any may fit.
    One,
    Any,
    All,
}

/// What a value is compared with.
#[derive(Debug, Clone, PartialEq)]
enum Test {
    Text(Vec<Pattern>, Case),
    Number(Order, Vec<f64>),
    /// Unix microseconds.
    Date(Order, Vec<i64>),
    Bool(Vec<bool>),
    Ip(Vec<Network>),
    /// Whether the key is absent.
    Null(Vec<bool>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn holds<T: PartialOrd>(self, value: &T, bound: &T) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::Less => value < bound,
            Self::LessOrEqual => value <= bound,
            Self::Greater => value > bound,
            Self::GreaterOrEqual => value >= bound,
        }
    }
}

/// Addresses with a common beginning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix_bits: u32,
}

impl Conditions {
    /// Reads the value of a member `Condition`.
    ///
    /// # Errors
    ///
    /// What is wrong, as the end of a sentence about the statement.
    pub(super) fn parse(value: &Json, variables: bool) -> Result<Self, String> {
        let Json::Object(operators) = value else {
            return Err("has a Condition that is not an object".to_owned());
        };
        let mut all = Vec::new();
        for (operator, keys) in operators {
            let Json::Object(keys) = keys else {
                return Err(format!(
                    "has a condition `{}` that is not an object of keys",
                    operator.escape_debug()
                ));
            };
            for (key, values) in keys {
                all.push(Condition::parse(operator, key, values, variables)?);
            }
        }
        Ok(Self(all))
    }

    pub(super) fn holds(&self, request: &Request<'_>) -> Truth {
        Truth::all(self.0.iter().map(|condition| condition.holds(request)))
    }
}

impl Condition {
    fn parse(operator: &str, key: &str, values: &Json, variables: bool) -> Result<Self, String> {
        let unknown = || {
            format!(
                "has the unknown condition operator `{}`",
                operator.escape_debug()
            )
        };
        let (quantifier, rest) = match operator.split_once(':') {
            None => (Quantifier::One, operator),
            Some(("ForAnyValue", rest)) => (Quantifier::Any, rest),
            Some(("ForAllValues", rest)) => (Quantifier::All, rest),
            Some(_) => return Err(unknown()),
        };
        let (name, if_exists) = match rest.strip_suffix("IfExists") {
            Some(name) => (name, true),
            None => (rest, false),
        };
        if name == "Null" && (if_exists || quantifier != Quantifier::One) {
            return Err(unknown());
        }
        let lower = key.to_ascii_lowercase();
        if keys::kind(&lower) == KeyKind::Unknown {
            return Err(format!(
                "has the unknown condition key `{}`",
                key.escape_debug()
            ));
        }
        let texts = scalars(values).ok_or_else(|| {
            format!(
                "has no values for the condition key `{}` of `{operator}`",
                key.escape_debug()
            )
        })?;
        let (negated, kind) = kind(name).ok_or_else(unknown)?;
        let test = Test::parse(kind, &texts, variables).map_err(|(value, reason)| {
            format!(
                "has the value `{}` for `{operator}` of `{}`, which {reason}",
                value.escape_debug(),
                key.escape_debug()
            )
        })?;
        Ok(Self {
            quantifier,
            negated,
            if_exists,
            key: lower,
            test,
        })
    }

    fn holds(&self, request: &Request<'_>) -> Truth {
        if keys::kind(&self.key) == KeyKind::Unseen {
            return Truth::Unknown;
        }
        let values = request
            .context
            .get(&self.key)
            .filter(|values| !values.is_empty());
        if let Test::Null(absent) = &self.test {
            return absent.contains(&values.is_none()).into();
        }
        let Some(values) = values else {
            let holds = self.if_exists
                || match self.quantifier {
                    Quantifier::One => self.negated,
                    Quantifier::Any => false,
                    Quantifier::All => true,
                };
            return holds.into();
        };
        let mut fits = values.iter().map(|value| {
            let fits = self.test.fits(value, request);
            if self.negated { fits.not() } else { fits }
        });
        match (self.quantifier, self.negated) {
            (Quantifier::Any, _) | (Quantifier::One, false) => Truth::any(&mut fits),
            (Quantifier::All, _) | (Quantifier::One, true) => Truth::all(&mut fits),
        }
    }
}

/// The texts of a scalar or of a list of scalars that is not empty.
fn scalars(value: &Json) -> Option<Vec<&str>> {
    match value {
        Json::Scalar(_, text) => Some(vec![text]),
        Json::List(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Json::Scalar(_, text) => Some(text.as_str()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

/// What an operator compares with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text { wildcards: bool, case: Case },
    Number(Order),
    Date(Order),
    Bool,
    Ip,
    Null,
}

/// Whether an operator is negated, and what it compares with.
fn kind(name: &str) -> Option<(bool, Kind)> {
    let text = |wildcards, case| Kind::Text { wildcards, case };
    Some(match name {
        "StringEquals" => (false, text(false, Case::Sensitive)),
        "StringNotEquals" => (true, text(false, Case::Sensitive)),
        "StringEqualsIgnoreCase" => (false, text(false, Case::Ignored)),
        "StringNotEqualsIgnoreCase" => (true, text(false, Case::Ignored)),
        // The two of each pair mean the same for names of resources.
        "StringLike" | "ArnLike" | "ArnEquals" => (false, text(true, Case::Sensitive)),
        "StringNotLike" | "ArnNotLike" | "ArnNotEquals" => (true, text(true, Case::Sensitive)),
        "Bool" => (false, Kind::Bool),
        "IpAddress" => (false, Kind::Ip),
        "NotIpAddress" => (true, Kind::Ip),
        "Null" => (false, Kind::Null),
        _ => {
            if let Some(order) = name.strip_prefix("Numeric") {
                let (negated, order) = order_named(order)?;
                (negated, Kind::Number(order))
            } else {
                let (negated, order) = order_named(name.strip_prefix("Date")?)?;
                (negated, Kind::Date(order))
            }
        }
    })
}

fn order_named(name: &str) -> Option<(bool, Order)> {
    Some(match name {
        "Equals" => (false, Order::Equal),
        "NotEquals" => (true, Order::Equal),
        "LessThan" => (false, Order::Less),
        "LessThanEquals" => (false, Order::LessOrEqual),
        "GreaterThan" => (false, Order::Greater),
        "GreaterThanEquals" => (false, Order::GreaterOrEqual),
        _ => return None,
    })
}

impl Test {
    /// Reads the values of a policy; an error is the value and what is wrong with it.
    fn parse(kind: Kind, texts: &[&str], variables: bool) -> Result<Self, (String, String)> {
        fn each<T>(
            texts: &[&str],
            what: &str,
            read: impl Fn(&str) -> Option<T>,
        ) -> Result<Vec<T>, (String, String)> {
            let read =
                |text: &&str| read(text).ok_or_else(|| ((*text).to_owned(), format!("is {what}")));
            texts.iter().map(read).collect()
        }
        Ok(match kind {
            Kind::Text { wildcards, case } => {
                let meaning = Meaning {
                    wildcards,
                    variables,
                };
                let pattern = |text: &&str| {
                    Pattern::parse(text, meaning).map_err(|reason| ((*text).to_owned(), reason))
                };
                Self::Text(texts.iter().map(pattern).collect::<Result<_, _>>()?, case)
            }
            Kind::Number(order) => Self::Number(order, each(texts, "not a number", number)?),
            Kind::Date(order) => {
                let what = "neither an ISO 8601 date nor a number of seconds since 1970";
                Self::Date(order, each(texts, what, instant_us)?)
            }
            Kind::Bool => Self::Bool(each(texts, "neither true nor false", boolean)?),
            Kind::Ip => {
                let what = "neither an IP address nor a range such as 10.0.0.0/8";
                Self::Ip(each(texts, what, Network::parse)?)
            }
            Kind::Null => Self::Null(each(texts, "neither true nor false", boolean)?),
        })
    }

    /// Whether one of the policy's values fits one of the request's.
    fn fits(&self, value: &str, request: &Request<'_>) -> Truth {
        fn any<T: Copy>(value: Option<T>, known: &[T], fits: impl Fn(&T, &T) -> bool) -> Truth {
            value.map_or(Truth::Unknown, |value| {
                known.iter().any(|known| fits(&value, known)).into()
            })
        }
        match self {
            Self::Text(patterns, case) => Truth::any(patterns.iter().map(|pattern| {
                pattern
                    .matches(value, *case, request)
                    .map_or(Truth::Unknown, Truth::from)
            })),
            Self::Number(order, bounds) => any(number(value), bounds, |a, b| order.holds(a, b)),
            Self::Date(order, bounds) => any(instant_us(value), bounds, |a, b| order.holds(a, b)),
            Self::Bool(known) => any(boolean(value), known, |a, b| a == b),
            Self::Ip(networks) => match value.parse::<IpAddr>() {
                Err(_) => Truth::Unknown,
                Ok(address) => networks.iter().any(|network| network.holds(address)).into(),
            },
            Self::Null(_) => Truth::Unknown,
        }
    }
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

fn boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

/// An instant in Unix microseconds: `2026-11-22T00:00:00Z`, `2026-11-22` or seconds since 1970.
fn instant_us(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<i64>() {
        return seconds.checked_mul(1_000_000);
    }
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at.as_microsecond());
    }
    let date: Date = text.parse().ok()?;
    let at = date.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_microsecond())
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            None => (text, None),
            Some((address, bits)) => (address, Some(bits)),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits_max = if address.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => bits_max,
            Some(bits) => bits.parse().ok().filter(|prefix: &u32| {
                *prefix <= bits_max && bits.bytes().all(|b| b.is_ascii_digit())
            })?,
        };
        Some(Self {
            address,
            prefix_bits,
        })
    }

    /// Whether an address is in here. One of version 4 that came in clothes of version 6 counts as what
    /// it is.
    fn holds(self, address: IpAddr) -> bool {
        let (address, own): (u128, u128) = match (address.to_canonical(), self.address) {
            (IpAddr::V4(address), IpAddr::V4(own)) => (
                u128::from(address.to_bits()) << 96,
                u128::from(own.to_bits()) << 96,
            ),
            (IpAddr::V6(address), IpAddr::V6(own)) => (address.to_bits(), own.to_bits()),
            _ => return false,
        };
        let mask = u128::MAX.checked_shl(128 - self.prefix_bits).unwrap_or(0);
        address & mask == own & mask
    }
}
