//! One column of a table, seen value by value.
//!
//! Knows nothing of rows and lines. The mean and the deviation are Welford's running ones, which
//! stay exact where a sum of squares would lose every digit.

use std::borrow::Cow;

use serde::{Serialize, Serializer};

/// A column and what is known of it so far.
#[derive(Debug, Serialize)]
pub(crate) struct Column {
    name: String,
    /// Values that are not empty.
    count: u64,
    /// Null for a column of text.
    numeric: Kind,
}

/// What a column holds. Undecided until its first value.
#[derive(Debug)]
enum Kind {
    Undecided,
    Text,
    Numeric(Numbers),
}

/// A field that fits its column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value {
    Empty,
    Text,
    Number(f64),
}

impl Column {
    pub(crate) fn new(name: Cow<'_, str>) -> Self {
        Self {
            name: name.trim().to_owned(),
            count: 0,
            numeric: Kind::Undecided,
        }
    }

    /// Reads a field as this column's kind of value, or says why it is none.
    pub(crate) fn read(&self, field: &[u8]) -> Result<Value, String> {
        let field = field.trim_ascii();
        if field.is_empty() {
            return Ok(Value::Empty);
        }
        match (&self.numeric, number(field)) {
            (Kind::Text, _) | (Kind::Undecided, None) => Ok(Value::Text),
            (Kind::Undecided | Kind::Numeric(_), Some(number)) => Ok(Value::Number(number)),
            (Kind::Numeric(_), None) => {
                let field = String::from_utf8_lossy(field);
                Err(format!(
                    "`{field}` in column `{}` is not a number",
                    self.name
                ))
            }
        }
    }

    /// Takes in a value that [`Column::read`] gave.
    pub(crate) fn add(&mut self, value: Value) {
        match value {
            Value::Empty => return,
            Value::Text => self.numeric = Kind::Text,
            Value::Number(number) => match &mut self.numeric {
                Kind::Numeric(numbers) => numbers.add(number),
                kind => *kind = Kind::Numeric(Numbers::new(number)),
            },
        }
        self.count += 1;
    }
}

/// A finite number; `NaN` and `inf` are text.
fn number(field: &[u8]) -> Option<f64> {
    str::from_utf8(field)
        .ok()?
        .parse()
        .ok()
        .filter(|number: &f64| number.is_finite())
}

#[derive(Debug)]
struct Numbers {
    /// As a float, since it is only ever divided by. Exact up to 2^53.
    count: f64,
    min: f64,
    max: f64,
    mean: f64,
    /// Sum of the squared distances from the mean.
    spread: f64,
}

impl Numbers {
    fn new(first: f64) -> Self {
        Self {
            count: 1.0,
            min: first,
            max: first,
            mean: first,
            spread: 0.0,
        }
    }

    fn add(&mut self, number: f64) {
        self.count += 1.0;
        self.min = self.min.min(number);
        self.max = self.max.max(number);
        let distance = number - self.mean;
        self.mean += distance / self.count;
        self.spread += distance * (number - self.mean);
    }

    /// The deviation of a sample; one number has none.
    fn stddev(&self) -> Option<f64> {
        (self.count > 1.0).then(|| (self.spread / (self.count - 1.0)).sqrt())
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Wire {
            min: f64,
            max: f64,
            mean: f64,
            stddev: Option<f64>,
        }
        let numbers = match self {
            Self::Undecided | Self::Text => None,
            Self::Numeric(numbers) => Some(numbers),
        };
        numbers
            .map(|numbers| Wire {
                min: numbers.min,
                max: numbers.max,
                mean: numbers.mean,
                stddev: numbers.stddev(),
            })
            .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> Numbers {
        let mut numbers = Numbers::new(values[0]);
        values[1..].iter().for_each(|value| numbers.add(*value));
        numbers
    }

    #[test]
    fn a_large_offset_does_not_cost_the_deviation() {
        let numbers = numbers(&[1e9 + 4.0, 1e9 + 7.0, 1e9 + 13.0, 1e9 + 16.0]);
        assert!((numbers.stddev().unwrap() - 30.0_f64.sqrt()).abs() < 1e-9);
        assert!((numbers.mean - (1e9 + 10.0)).abs() < 1e-6);
    }

    #[test]
    fn one_number_has_no_deviation() {
        assert_eq!(numbers(&[3.0]).stddev(), None);
    }

    #[test]
    fn what_is_not_finite_is_text() {
        for text in ["NaN", "inf", "-infinity", "1e999", "", "0x10"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
        assert_eq!(number(b"-1.5e3"), Some(-1500.0));
    }
}
