//! When a schedule is due: `rate(…)`, `cron(…)` and `at(…)` as AWS writes them, in a time zone.
//!
//! Pure: instants in, instants out. Times of a clock are those of the zone, by the rules of EventBridge
//! Scheduler: a `cron` time that the clock leaps over is left out, one that it shows twice counts once,
//! at the first. An `at` time that the clock leaps over is as much later as the leap is long, so that it
//! is not lost. A rate counts from its anchor and knows nothing of clocks.
//!
//! Knows nothing of what is scheduled, of where schedules are kept, and of what time it is.

mod cron;
mod error;
mod plan;
#[cfg(test)]
mod tests;
mod zone;

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::AmbiguousOffset;
use sha2::{Digest as _, Sha256};

use self::cron::Cron;
use self::error::{AT_EXAMPLE, RATE_EXAMPLE, fail};

pub use self::error::ScheduleError;
pub use self::plan::{AHEAD_US_MAX, LATE_US_MAX, Missed, Overlap, Plan, Timing};
pub use self::zone::{ZONE_CHARS_MAX, Zone, ZoneError};

/// Longest expression, in characters. The rule of Scheduler's `ScheduleExpression`.
pub const EXPRESSION_CHARS_MAX: usize = 256;

/// Largest number in a rate.
pub const RATE_MAX: i64 = 1_000_000;

const MINUTE_US: i64 = 60_000_000;

/// Times of a clock that are left out or repeated one after the other, at most: more than a change of
/// the clock has minutes.
const REPEATED_MAX: usize = 10_000;

/// How far back a clock was ever set since 1970 goes into this, in hours.
const CLOCK_BACK_HOURS: i64 = 3;

/// When something is due. Prints as it was written.
#[derive(Debug, Clone)]
pub struct Expression {
    text: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// Every so many microseconds.
    Rate(i64),
    Cron(Cron),
    At(DateTime),
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Expression {}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// [`ScheduleError`] with the column, what was found there, and an example. A `cron` that no day
    /// ever fits, such as 31 February, is an error too; times that are past are not.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let chars = text.chars().count();
        if chars > EXPRESSION_CHARS_MAX {
            let problem = format!(
                "the expression has {chars} characters; at most {EXPRESSION_CHARS_MAX} are allowed"
            );
            return Err(fail(EXPRESSION_CHARS_MAX + 1, problem, RATE_EXAMPLE));
        }
        if let Some((at, c)) = text
            .chars()
            .enumerate()
            .find(|(_, c)| !(c.is_ascii_graphic() || *c == ' '))
        {
            let problem = format!("the character {c:?} has no meaning here");
            return Err(fail(at + 1, problem, RATE_EXAMPLE));
        }
        // From here on a byte is a column.
        let opened = text
            .split_once('(')
            .map(|(word, rest)| (word, word.len() + 1, rest));
        let (word, start, rest) = match opened {
            Some(found) if matches!(found.0, "rate" | "cron" | "at") => found,
            _ => {
                let word = text.split('(').next().unwrap_or_default();
                let problem = format!(
                    "expected `rate(`, `cron(` or `at(`, found {}",
                    error::found(word)
                );
                return Err(fail(1, problem, RATE_EXAMPLE));
            }
        };
        let Some(body) = rest.strip_suffix(')') else {
            let problem = format!("expected `)` at the end of `{word}(`");
            return Err(fail(text.len() + 1, problem, RATE_EXAMPLE));
        };
        let kind = match word {
            "rate" => Kind::Rate(rate(body, start)?),
            "cron" => Kind::Cron(Cron::parse(body, start)?),
            _ => Kind::At(at(body, start)?),
        };
        Ok(Self {
            text: text.to_owned(),
            kind,
        })
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is due once only: `at(…)`.
    #[must_use]
    pub fn is_once(&self) -> bool {
        matches!(self.kind, Kind::At(_))
    }

    /// Whether it counts from its anchor: `rate(…)`.
    #[must_use]
    pub fn is_rate(&self) -> bool {
        matches!(self.kind, Kind::Rate(_))
    }

    /// Whether it is ever due in this zone: a `cron` that names only times that the clock leaps over is
    /// not.
    #[must_use]
    pub fn is_ever_due(&self, zone: &Zone) -> bool {
        match self.kind {
            // No year before 1970 can be named; no zone is a day from UTC.
            Kind::Cron(_) => self.next_after(-24 * 60 * MINUTE_US, zone, 0).is_some(),
            Kind::Rate(_) | Kind::At(_) => true,
        }
    }

    /// The first time that it is due after `after_us`, in Unix microseconds. A rate is due at
    /// `anchor_us` and then again and again; for others the anchor makes no difference. `None` when it
    /// is never due any more.
    #[must_use]
    pub fn next_after(&self, after_us: i64, zone: &Zone, anchor_us: i64) -> Option<i64> {
        match &self.kind {
            Kind::Rate(period_us) => {
                if after_us < anchor_us {
                    return Some(anchor_us);
                }
                let periods = after_us.checked_sub(anchor_us)?.div_euclid(*period_us) + 1;
                anchor_us.checked_add(periods.checked_mul(*period_us)?)
            }
            Kind::Cron(cron) => {
                let mut clock = zone.clock(after_us)?;
                for _ in 0..REPEATED_MAX {
                    clock = cron.next_after(clock)?;
                    match instant_us(zone, clock) {
                        Some(us) if us > after_us => return Some(us),
                        _ => {}
                    }
                }
                None
            }
            Kind::At(clock) => at_us(zone, *clock).filter(|us| *us > after_us),
        }
    }

    /// The last time that it is due up to `until_us`, in Unix microseconds.
    #[must_use]
    pub fn last_until(&self, until_us: i64, zone: &Zone, anchor_us: i64) -> Option<i64> {
        match &self.kind {
            Kind::Rate(period_us) => {
                let since = until_us
                    .checked_sub(anchor_us)
                    .filter(|since| *since >= 0)?;
                Some(anchor_us + since.div_euclid(*period_us) * period_us)
            }
            Kind::Cron(cron) => {
                // While an hour is repeated, all of its times were there already.
                let ahead = jiff::Span::new().hours(CLOCK_BACK_HOURS);
                let mut clock = zone.clock(until_us)?.checked_add(ahead).ok()?;
                for _ in 0..REPEATED_MAX {
                    clock = cron.last_before(clock)?;
                    match instant_us(zone, clock) {
                        Some(us) if us <= until_us => return Some(us),
                        _ => {}
                    }
                }
                None
            }
            Kind::At(clock) => at_us(zone, *clock).filter(|us| *us <= until_us),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// How much later than due a schedule runs, 0 up to `window_s` seconds, in microseconds: as good as
/// random, and always the same for the same schedule and due time.
#[must_use]
pub fn jitter_us(key: &str, due_us: i64, window_s: u32) -> i64 {
    let window_us = i64::from(window_s) * 1_000_000;
    if window_us == 0 {
        return 0;
    }
    let mut hash = Sha256::new();
    hash.update(due_us.to_be_bytes());
    hash.update(key.as_bytes());
    let digest = hash.finalize();
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest[..8]);
    (i64::from_be_bytes(bytes) & i64::MAX) % window_us
}

/// The instant that a clock shows this, the first of two; `None` if it never does.
fn instant_us(zone: &Zone, clock: DateTime) -> Option<i64> {
    let ambiguous = zone.time_zone().to_ambiguous_timestamp(clock);
    match ambiguous.offset() {
        AmbiguousOffset::Gap { .. } => None,
        AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
            ambiguous.earlier().ok().map(Timestamp::as_microsecond)
        }
    }
}

/// The same; what the clock leaps over is moved by the leap.
fn at_us(zone: &Zone, clock: DateTime) -> Option<i64> {
    let ambiguous = zone.time_zone().to_ambiguous_timestamp(clock);
    ambiguous.compatible().ok().map(Timestamp::as_microsecond)
}

/// `N minutes`; `start` bytes stand before it.
fn rate(body: &str, start: usize) -> Result<i64, ScheduleError> {
    let (number, unit) = body.split_once(' ').unwrap_or((body, ""));
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let value = number
        .parse::<i64>()
        .ok()
        .filter(|value| is_number && (1..=RATE_MAX).contains(value));
    let Some(value) = value else {
        let problem = format!(
            "expected a whole number from 1 to {RATE_MAX}, found {}",
            error::found(number)
        );
        return Err(fail(start + 1, problem, RATE_EXAMPLE));
    };
    let one = match unit.strip_suffix('s').unwrap_or(unit) {
        "minute" => MINUTE_US,
        "hour" => 60 * MINUTE_US,
        "day" => 24 * 60 * MINUTE_US,
        _ => {
            let problem = format!(
                "expected minutes, hours or days, found {}",
                error::found(unit)
            );
            let at = start + (number.len() + 2).min(body.len() + 1);
            return Err(fail(at, problem, RATE_EXAMPLE));
        }
    };
    if unit.ends_with('s') == (value == 1) {
        let right = if value == 1 {
            unit.trim_end_matches('s').to_owned()
        } else {
            format!("{unit}s")
        };
        let problem = format!("{value} goes with `{right}`, found `{unit}`");
        return Err(fail(start + number.len() + 2, problem, RATE_EXAMPLE));
    }
    Ok(value * one)
}

/// `yyyy-mm-ddThh:mm:ss`; `start` bytes stand before it.
fn at(body: &str, start: usize) -> Result<DateTime, ScheduleError> {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let fits = |(byte, shape): (u8, &u8)| match shape {
        b'd' => byte.is_ascii_digit(),
        other => byte == *other,
    };
    let is_shaped = body.len() == SHAPE.len() && body.bytes().zip(SHAPE).all(fits);
    let parsed = is_shaped
        .then(|| DateTime::strptime("%Y-%m-%dT%H:%M:%S", body).ok())
        .flatten()
        // A clock never shows a 61st second here.
        .filter(|_| !body.ends_with(":60"));
    parsed.ok_or_else(|| {
        let found = error::found(body);
        let problem = format!("expected a date and time `yyyy-mm-ddThh:mm:ss`, found {found}");
        fail(start + 1, problem, AT_EXAMPLE)
    })
}
