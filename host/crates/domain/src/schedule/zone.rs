//! Time zones by their names in the IANA database, which is compiled in.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::error::shown;

/// Longest name, in characters. The rule of Scheduler's `ScheduleExpressionTimezone`.
pub const ZONE_CHARS_MAX: usize = 50;

/// Changes of letters by which a near name may differ.
const NEAR_MAX: usize = 3;

/// A time zone. Prints as it was named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

/// A name that no time zone has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone `{name}`{}", hint(near.as_deref()))]
pub struct ZoneError {
    /// The name.
    pub name: String,
    /// One that is much like it.
    pub near: Option<String>,
}

fn hint(near: Option<&str>) -> String {
    match near {
        Some(near) => format!("; did you mean `{near}`?"),
        None => {
            "; names are those of the IANA database, such as `Europe/Berlin` or `UTC`".to_owned()
        }
    }
}

impl Zone {
    /// Coordinated universal time.
    #[must_use]
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// The zone of a name, in capital or small letters.
    ///
    /// # Errors
    ///
    /// [`ZoneError`].
    pub fn named(name: &str) -> Result<Self, ZoneError> {
        let is_short = name.chars().count() <= ZONE_CHARS_MAX;
        match TimeZone::get(name) {
            Ok(zone) if is_short && !zone.is_unknown() => Ok(Self {
                name: name.to_owned(),
                zone,
            }),
            _ => Err(ZoneError {
                name: shown(name),
                near: if is_short { near(name) } else { None },
            }),
        }
    }

    /// As it was named.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.zone
    }

    /// What clocks show; `None` thousands of years from now.
    pub(super) fn clock(&self, unix_us: i64) -> Option<DateTime> {
        let at = Timestamp::from_microsecond(unix_us).ok()?;
        Some(self.zone.to_datetime(at))
    }

    /// An instant as clocks of the zone show it, with the offset, such as
    /// `2026-03-29T03:00:00+02:00`.
    #[must_use]
    pub fn show(&self, unix_us: i64) -> String {
        match Timestamp::from_microsecond(unix_us) {
            Ok(at) => {
                let zoned = at.to_zoned(self.zone.clone());
                zoned.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
            }
            Err(_) => String::new(),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// The name of a zone whose city is this one, or that differs by a slip of the pen.
fn near(name: &str) -> Option<String> {
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    let city = wanted.rsplit('/').next().unwrap_or(&wanted);
    // Of a short name every other one is a few letters away.
    let most = NEAR_MAX.min(wanted.chars().count() / 2);
    let mut best: Option<(usize, String)> = None;
    for known in jiff::tz::db().available() {
        let lower = known.as_str().to_ascii_lowercase();
        let is_city = !city.is_empty() && lower.rsplit('/').next() == Some(city);
        let distance = if is_city {
            0
        } else {
            distance(&wanted, &lower)
        };
        if distance <= most && best.as_ref().is_none_or(|(least, _)| distance < *least) {
            best = Some((distance, known.to_string()));
        }
    }
    best.map(|(_, name)| name)
}

/// Letters to put in, take out or change, to come from one text to the other.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in to.iter().enumerate() {
            let change = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}
