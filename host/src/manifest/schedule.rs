//! `[[schedule]]`: when a function runs by itself.
//!
//! Knows nothing of what time it is: an expression whose times are all past is fine.

use std::collections::HashSet;

use domain::schedule::{Expression, Missed, Overlap, Zone};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::document::{At, Table, quoted};
use crate::answer::json_problem;

/// Most `[[schedule]]` entries of one function.
pub(crate) const SCHEDULES_MAX: usize = 100;

/// Longest name, in characters. The rule of Scheduler's `Name`.
pub(crate) const NAME_CHARS_MAX: usize = 64;

/// Longest input, in bytes. The largest event of EventBridge.
pub(crate) const INPUT_BYTES_MAX: usize = 262_144;

/// Longest window, in seconds: a day, as for Scheduler's flexible time window.
pub(crate) const JITTER_S_MAX: u32 = 86_400;

/// One entry, checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ManifestSchedule {
    /// Unique in the function. Key `name`.
    pub(crate) name: String,
    /// `rate(…)`, `cron(…)` or `at(…)`. Key `expression`.
    pub(crate) expression: String,
    /// A name of the IANA database, default `UTC`. Key `timezone`.
    pub(crate) timezone: String,
    /// JSON that the function gets instead of the usual event. Key `input`.
    pub(crate) input: Option<String>,
    /// Key `missed`, default `skip`.
    pub(crate) missed: Missed,
    /// Key `overlap`, default `allow`.
    pub(crate) overlap: Overlap,
    /// Runs are spread over this many seconds, default 0. Key `jitter_s`.
    pub(crate) jitter_s: u32,
    /// Key `enabled`, default true.
    pub(crate) enabled: bool,
    /// Not due before, in Unix microseconds. Key `start`, RFC 3339.
    pub(crate) start_us: Option<i64>,
    /// Not due after. Key `end`.
    pub(crate) end_us: Option<i64>,
}

/// Whether a text may be a schedule's name, in a manifest and in the API.
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=NAME_CHARS_MAX).contains(&text.len()) && text.chars().all(allowed)
}

/// The entries of a manifest.
pub(super) fn schedules(root: &Table<'_>) -> Vec<ManifestSchedule> {
    let Some(entries) = root.tables("schedule") else {
        return Vec::new();
    };
    if entries.len() > SCHEDULES_MAX {
        root.wrong(format!(
            "`schedule` has {} entries; at most {SCHEDULES_MAX} are allowed",
            entries.len()
        ));
    }
    let mut names = HashSet::new();
    let mut schedules = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Some(schedule) = schedule(entry) else {
            continue;
        };
        if !names.insert(schedule.name.clone()) {
            let name = &schedule.name;
            entry.wrong(format!(
                "there is another `[[schedule]]` with the name \"{name}\""
            ));
        }
        schedules.push(schedule);
    }
    schedules
}

fn schedule(entry: &Table<'_>) -> Option<ManifestSchedule> {
    let name = required(entry, "name", "nightly");
    if let Some(name) = &name
        && !is_name(name.value)
    {
        let rule = format!(
            "must be 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` and `.`, not \"{}\"",
            quoted(name.value)
        );
        entry.wrong_at(name, "name", &rule);
    }
    let expression = required(entry, "expression", "cron(0 9 ? * MON-FRI *)");
    let timezone = entry.text("timezone");
    let zone = Zone::named(timezone.as_ref().map_or("UTC", |zone| zone.value));
    if let Some(expression) = &expression {
        match (Expression::parse(expression.value), &zone) {
            (Err(error), _) => {
                let rule = format!("is no schedule: {error}");
                entry.wrong_at(expression, "expression", &rule);
            }
            (Ok(parsed), Ok(zone)) if !parsed.is_ever_due(zone) => {
                let rule = format!("is never due: {}", never_due(zone));
                entry.wrong_at(expression, "expression", &rule);
            }
            (Ok(_), _) => {}
        }
    }
    if let (Some(timezone), Err(error)) = (&timezone, &zone) {
        entry.wrong_at(timezone, "timezone", &format!("is unknown: {error}"));
    }
    let input = entry.text("input");
    if let Some(input) = &input
        && let Some(rule) = input_problem(input.value)
    {
        entry.wrong_at(input, "input", &rule);
    }
    let missed = [("skip", Missed::Skip), ("run_once", Missed::RunOnce)];
    let overlap = [("allow", Overlap::Allow), ("skip", Overlap::Skip)];
    let (missed, overlap) = (
        one_of(entry, "missed", missed),
        one_of(entry, "overlap", overlap),
    );
    let jitter_s = entry.integer("jitter_s", &(0..=u64::from(JITTER_S_MAX)));
    let enabled = entry.boolean("enabled");
    let (start, end) = (instant(entry, "start"), instant(entry, "end"));
    if let (Some((start, start_us)), Some((end, end_us))) = (&start, &end)
        && start_us > end_us
    {
        let rule = format!(
            "is \"{}\", which is before its `start`, \"{}\"",
            quoted(end.value),
            quoted(start.value)
        );
        entry.wrong_at(end, "end", &rule);
    }
    let (start_us, end_us) = (start.map(|(_, us)| us), end.map(|(_, us)| us));
    Some(ManifestSchedule {
        name: name?.value.to_owned(),
        expression: expression?.value.to_owned(),
        timezone: timezone.map_or_else(|| "UTC".to_owned(), |zone| zone.value.to_owned()),
        input: input.map(|input| input.value.to_owned()),
        missed,
        overlap,
        jitter_s: jitter_s.and_then(|s| u32::try_from(s).ok()).unwrap_or(0),
        enabled: enabled.unwrap_or(true),
        start_us,
        end_us,
    })
}

/// Why an expression is never due in a zone, although there are such days.
pub(crate) fn never_due(zone: &Zone) -> String {
    format!("clocks in {} leap over all of its times", zone.name())
}

fn required<'d>(entry: &Table<'d>, key: &'static str, example: &str) -> Option<At<&'d str>> {
    if !entry.has(key) {
        entry.wrong(format!(
            "`[[schedule]]` needs `{key}`, such as \"{example}\""
        ));
    }
    entry.text(key)
}

fn one_of<T: Default + Copy>(entry: &Table<'_>, key: &'static str, known: [(&str, T); 2]) -> T {
    let Some(text) = entry.text(key) else {
        return T::default();
    };
    let found = known.iter().find(|(name, _)| *name == text.value);
    if found.is_none() {
        let [(first, _), (second, _)] = known;
        let rule = format!(
            "must be \"{first}\" or \"{second}\", not \"{}\"",
            quoted(text.value)
        );
        entry.wrong_at(&text, key, &rule);
    }
    found.map_or_else(T::default, |(_, value)| *value)
}

fn input_problem(input: &str) -> Option<String> {
    if input.len() > INPUT_BYTES_MAX {
        return Some(format!(
            "has {} bytes; at most {INPUT_BYTES_MAX} are allowed",
            input.len()
        ));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(input)
        .err()
        .map(|error| {
            format!(
                "must be the text of a JSON value, such as '{{\"dry\": true}}': {}",
                json_problem(&error)
            )
        })
}

fn instant<'d>(entry: &Table<'d>, key: &'static str) -> Option<(At<&'d str>, i64)> {
    let text = entry.text(key)?;
    match text.value.parse::<Timestamp>() {
        Ok(at) => Some((text, at.as_microsecond())),
        Err(_) => {
            let rule = format!(
                "must be an RFC 3339 instant in quotes, such as \"2026-11-22T00:00:00Z\", not \"{}\"",
                quoted(text.value)
            );
            entry.wrong_at(&text, key, &rule);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Manifest;

    #[track_caller]
    fn check_refused(entry: &str, expected: &str) {
        let error = Manifest::parse(&format!("[[schedule]]\n{entry}\n")).unwrap_err();
        assert_eq!(error.to_string(), expected, "{entry}");
    }

    #[test]
    fn a_schedule_has_defaults_for_all_but_name_and_expression() {
        let text = "[[schedule]]\nname = \"a\"\nexpression = \"rate(5 minutes)\"\n[[schedule]]\nname = \"b.c\"\nexpression = \"cron(0 9 ? * MON-FRI *)\"\ntimezone = \"Europe/Berlin\"\ninput = '{\"dry\": true}'\nmissed = \"run_once\"\noverlap = \"skip\"\njitter_s = 60\nenabled = false\nstart = \"2026-11-22T00:00:00Z\"\nend = \"2026-11-23T00:00:00+01:00\"";
        let found = Manifest::parse(text).unwrap().schedules;
        let first = ManifestSchedule {
            name: "a".to_owned(),
            expression: "rate(5 minutes)".to_owned(),
            timezone: "UTC".to_owned(),
            input: None,
            missed: Missed::Skip,
            overlap: Overlap::Allow,
            jitter_s: 0,
            enabled: true,
            start_us: None,
            end_us: None,
        };
        let second = ManifestSchedule {
            name: "b.c".to_owned(),
            expression: "cron(0 9 ? * MON-FRI *)".to_owned(),
            timezone: "Europe/Berlin".to_owned(),
            input: Some("{\"dry\": true}".to_owned()),
            missed: Missed::RunOnce,
            overlap: Overlap::Skip,
            jitter_s: 60,
            enabled: false,
            start_us: Some(1_795_305_600_000_000),
            end_us: Some(1_795_388_400_000_000),
        };
        assert_eq!(found, [first, second]);
        assert_eq!(Manifest::parse("").unwrap().schedules, []);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_an_example() {
        let named = |rest: &str| format!("name = \"n\"\nexpression = \"rate(1 day)\"\n{rest}");
        check_refused(
            "",
            "1:1: `[[schedule]]` needs `name`, such as \"nightly\"; 1:1: `[[schedule]]` needs `expression`, such as \"cron(0 9 ? * MON-FRI *)\"",
        );
        check_refused(
            "name = \"n\"\nexpression = \"cron(0 25 * * ? *)\"",
            "3:14: `schedule[1].expression` is no schedule: column 8: expected an hour from 0 to 23, found `25`; an example is `cron(0 9 ? * MON-FRI *)`",
        );
        let leapt_over = "name = \"n\"\nexpression = \"cron(30 2 29 3 ? 2026)\"";
        check_refused(
            &format!("{leapt_over}\ntimezone = \"Europe/Berlin\""),
            "3:14: `schedule[1].expression` is never due: clocks in Europe/Berlin leap over all of its times",
        );
        let text = format!("[[schedule]]\n{leapt_over}\n");
        assert!(Manifest::parse(&text).is_ok(), "UTC leaps over nothing");
        check_refused(
            "name = \"a/b\"\nexpression = \"rate(1 day)\"",
            "2:8: `schedule[1].name` must be 1 to 64 letters, digits, `-`, `_` and `.`, not \"a/b\"",
        );
        check_refused(
            &named("timezone = \"Berlin\""),
            "4:12: `schedule[1].timezone` is unknown: there is no time zone `Berlin`; did you mean `Europe/Berlin`?",
        );
        check_refused(
            &named("missed = \"all\""),
            "4:10: `schedule[1].missed` must be \"skip\" or \"run_once\", not \"all\"",
        );
        check_refused(
            &named("input = \"{\""),
            "4:9: `schedule[1].input` must be the text of a JSON value, such as '{\"dry\": true}': it ends too early",
        );
        check_refused(
            &named("jitter_s = 86401"),
            "4:12: `schedule[1].jitter_s` must be a whole number from 0 to 86400, not 86401",
        );
        check_refused(
            &named("start = \"tomorrow\""),
            "4:9: `schedule[1].start` must be an RFC 3339 instant in quotes, such as \"2026-11-22T00:00:00Z\", not \"tomorrow\"",
        );
        check_refused(
            &named("start = \"2026-11-22T00:00:00Z\"\nend = \"2026-11-21T00:00:00Z\""),
            "5:7: `schedule[1].end` is \"2026-11-21T00:00:00Z\", which is before its `start`, \"2026-11-22T00:00:00Z\"",
        );
        check_refused(
            &named("timezone = \"\""),
            "4:12: `schedule[1].timezone` is unknown: there is no time zone ``; names are those of the IANA database, such as `Europe/Berlin` or `UTC`",
        );
        check_refused(
            &named("[[schedule]]\nname = \"n\"\nexpression = \"rate(1 hour)\""),
            "4:1: there is another `[[schedule]]` with the name \"n\"",
        );
        let many = "[[schedule]]\nname = \"n\"\nexpression = \"rate(1 day)\"\n".repeat(101);
        let error = Manifest::parse(&many).unwrap_err().to_string();
        assert!(
            error.contains("`schedule` has 101 entries; at most 100 are allowed"),
            "{error}"
        );
    }
}
