//! What was written: the tree of the file, the environment over it, the flags over both.
//!
//! A [`Section`] answers for one key at a time with the value of the highest layer that has it. The
//! layers below are checked as well, so that a bad line does not hide until a variable is unset.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::billing::PicoUsd;
use domain::billing::budget::parse_usd;

use super::{ConfigError, Flags};
use crate::manifest::document::{self, At, Table, integer_rule, quoted, usd_rule};

/// File, environment and flags, and what is wrong with them.
pub(super) struct Layers<'a> {
    file: Option<&'a Path>,
    env: &'a dyn Fn(&str) -> Option<String>,
    flags: Flags,
    /// Of environment and flags; the file's are the document's.
    problems: RefCell<Vec<String>>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(
        file: Option<&'a Path>,
        env: &'a dyn Fn(&str) -> Option<String>,
        flags: Flags,
    ) -> Self {
        Self {
            file,
            env,
            flags,
            problems: RefCell::default(),
        }
    }

    /// Reads the file's `text` with `reader`, which meets the other layers on the way.
    pub(super) fn read<T>(
        self,
        text: &str,
        reader: impl FnOnce(&Section<'_>) -> T,
    ) -> Result<T, ConfigError> {
        let outcome = document::read(text, |root| {
            reader(&Section {
                layers: &self,
                table: Some(root),
                name: "",
            })
        });
        let mut problems = Vec::new();
        let made = match outcome {
            Ok(made) => Some(made),
            Err(in_file) => {
                let file = self
                    .file
                    .map_or_else(|| super::FILE_NAME.into(), Path::to_string_lossy);
                problems.extend(in_file.iter().map(|problem| format!("{file}:{problem}")));
                None
            }
        };
        problems.extend(self.problems.into_inner());
        match made {
            Some(made) if problems.is_empty() => Ok(made),
            _ => Err(ConfigError::Invalid(problems)),
        }
    }

    fn wrong(&self, place: &str, rule: &str) {
        self.problems.borrow_mut().push(format!("{place} {rule}"));
    }

    /// What a command line said of a key that is a text.
    fn flag(&self, key: &str) -> Option<String> {
        match key {
            "listen" => self.flags.listen.clone(),
            "control" => self.flags.control.clone(),
            _ => None,
        }
    }
}

/// The keys of one table, through all layers.
pub(super) struct Section<'a> {
    layers: &'a Layers<'a>,
    table: Option<&'a Table<'a>>,
    name: &'static str,
}

impl Section<'_> {
    /// A table of this one, read by `reader` even when the file has none.
    pub(super) fn section<T>(
        &self,
        name: &'static str,
        reader: impl FnOnce(&Section<'_>) -> T,
    ) -> T {
        let table = self.table.and_then(|table| table.table(name));
        reader(&Section {
            layers: self.layers,
            table: table.as_ref(),
            name,
        })
    }

    /// A whole number in `range`.
    pub(super) fn integer(&self, key: &'static str, range: RangeInclusive<u64>) -> Option<u64> {
        let below = self.table.and_then(|table| table.integer(key, &range));
        let Some((variable, text)) = self.variable(key) else {
            return below;
        };
        let number = text
            .trim()
            .parse()
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let rule = format!(
                "must be {}, not \"{}\"",
                integer_rule(&range),
                quoted(&text)
            );
            self.layers.wrong(&variable, &rule);
        }
        number
    }

    pub(super) fn optional_u32(
        &self,
        key: &'static str,
        range: RangeInclusive<u32>,
    ) -> Option<u32> {
        let range = u64::from(*range.start())..=u64::from(*range.end());
        self.integer(key, range)
            .and_then(|number| u32::try_from(number).ok())
    }

    pub(super) fn u32(&self, key: &'static str, range: RangeInclusive<u32>, default: u32) -> u32 {
        self.optional_u32(key, range).unwrap_or(default)
    }

    /// Dollars, in `range` of pico-dollars.
    pub(super) fn usd(&self, key: &'static str, range: RangeInclusive<PicoUsd>) -> Option<PicoUsd> {
        let below = self.table.and_then(|table| table.usd(key, &range));
        let Some((variable, text)) = self.variable(key) else {
            return below;
        };
        let amount = parse_usd(text.trim()).filter(|amount| range.contains(amount));
        if amount.is_none() {
            let rule = format!("must be {}, not \"{}\"", usd_rule(&range), quoted(&text));
            self.layers.wrong(&variable, &rule);
        }
        amount
    }

    /// Tables of this one, which only the file has.
    pub(super) fn tables(&self, key: &'static str) -> Option<Vec<Table<'_>>> {
        self.table.and_then(|table| table.tables(key))
    }

    /// Notes a problem that is this whole section's.
    pub(super) fn wrong(&self, rule: &str) {
        self.layers.wrong(&format!("`{}`", self.name), rule);
    }

    /// One line of words.
    pub(super) fn words(&self, key: &'static str) -> Option<String> {
        const CHARS_MAX: usize = 200;
        let rule = |text: &str| {
            let good = !text.trim().is_empty()
                && text.chars().count() <= CHARS_MAX
                && !text.chars().any(char::is_control);
            (!good).then(|| format!("must be one line of 1 to {CHARS_MAX} characters"))
        };
        self.text(key, rule).map(|(_, text)| text)
    }

    /// A time in milliseconds.
    pub(super) fn ms(
        &self,
        key: &'static str,
        range: RangeInclusive<u64>,
        default_ms: u64,
    ) -> Duration {
        Duration::from_millis(self.integer(key, range).unwrap_or(default_ms))
    }

    /// Yes or no.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let below = self.table.and_then(|table| table.boolean(key));
        let Some((variable, text)) = self.variable(key) else {
            return below;
        };
        let flag = text.trim().parse().ok();
        if flag.is_none() {
            let rule = format!("must be true or false, not \"{}\"", quoted(&text));
            self.layers.wrong(&variable, &rule);
        }
        flag
    }

    /// Two paths, of which neither is of use without the other.
    pub(super) fn paths_together(
        &self,
        first: &'static str,
        second: &'static str,
    ) -> Option<(PathBuf, PathBuf)> {
        let (one, other) = match (self.path(first), self.path(second)) {
            (Some(one), Some(other)) => return Some((one, other)),
            (None, None) => return None,
            (Some(_), None) => (first, second),
            (None, Some(_)) => (second, first),
        };
        let name = self.name;
        let rule = format!("is set, and `{name}.{other}` is not; the two belong together");
        self.layers.wrong(&format!("`{name}.{one}`"), &rule);
        None
    }

    /// A path; one in the file is relative to the file.
    pub(super) fn path(&self, key: &'static str) -> Option<PathBuf> {
        let rule = |text: &str| {
            let bad = text.is_empty() || text.contains('\0');
            bad.then(|| "must be a path".to_owned())
        };
        let folder = self.layers.file.and_then(Path::parent);
        let below = self.text(key, rule);
        let flag = match key {
            "functions" => self.layers.flags.functions.as_ref(),
            "data" => self.layers.flags.data.as_ref(),
            "credentials" => self.layers.flags.credentials.as_ref(),
            _ => None,
        };
        if let Some(path) = flag {
            return Some(path.clone());
        }
        match below? {
            (Layer::File, text) => {
                Some(folder.map_or_else(PathBuf::new, Path::to_owned).join(text))
            }
            (Layer::Above, text) => Some(PathBuf::from(text)),
        }
    }

    /// An address with a port; `localhost` is 127.0.0.1.
    pub(super) fn address(&self, key: &'static str) -> Option<SocketAddr> {
        let checked = |text: &str| {
            parse_address(text).is_none().then(|| {
                format!(
                    "must be an address with a port, such as 127.0.0.1:3000, not \"{}\"",
                    quoted(text)
                )
            })
        };
        self.text(key, checked)
            .and_then(|(_, text)| parse_address(&text))
    }

    /// The name of a region.
    pub(super) fn region(&self, key: &'static str) -> Option<String> {
        const CHARS_MAX: usize = 32;
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let rule = |text: &str| {
            let good = !text.is_empty() && text.len() <= CHARS_MAX && text.chars().all(allowed);
            (!good).then(|| {
                let shown = quoted(text);
                format!("must be 1 to {CHARS_MAX} of a-z, 0-9 and `-`, not \"{shown}\"")
            })
        };
        self.text(key, rule).map(|(_, text)| text)
    }

    /// One of a few words.
    pub(super) fn word(&self, key: &'static str, words: &[&str]) -> Option<String> {
        let rule = |text: &str| {
            let is_known = words.contains(&text);
            (!is_known).then(|| {
                let words = words
                    .iter()
                    .map(|word| format!("\"{word}\""))
                    .collect::<Vec<_>>();
                format!("must be {}, not \"{}\"", words.join(" or "), quoted(text))
            })
        };
        self.text(key, rule).map(|(_, text)| text)
    }

    /// The name of a domain.
    pub(super) fn domain(&self, key: &'static str) -> Option<String> {
        const CHARS_MAX: usize = 200;
        let is_label = |label: &str| {
            let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            !label.is_empty() && label.len() <= 63 && label.chars().all(allowed)
        };
        let rule = |text: &str| {
            let good = text.len() <= CHARS_MAX && text.split('.').all(is_label);
            (!good).then(|| {
                let shown = quoted(text);
                format!("must be a domain in lower case, such as example.com, not \"{shown}\"")
            })
        };
        self.text(key, rule).map(|(_, text)| text)
    }

    /// A list, of whose entries each is read by `reader`; in a variable with commas between. Without any
    /// layer it is empty.
    pub(super) fn list<T>(
        &self,
        key: &'static str,
        reader: impl Fn(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let mut below = Vec::new();
        if let Some(table) = self.table {
            for entry in table.text_list(key).unwrap_or_default() {
                match reader(entry.value) {
                    Ok(read) => below.push(read),
                    Err(broken) => table.wrong_at(&entry, key, &broken),
                }
            }
        }
        let Some((variable, text)) = self.variable(key) else {
            return below;
        };
        let entries = text.split(',').map(|entry| reader(entry.trim()));
        let read = entries.filter_map(|entry| {
            entry
                .inspect_err(|broken| self.layers.wrong(&variable, broken))
                .ok()
        });
        read.collect()
    }

    /// The text of the highest layer, if it keeps `rule`.
    fn text(
        &self,
        key: &'static str,
        rule: impl Fn(&str) -> Option<String>,
    ) -> Option<(Layer, String)> {
        let written = self.table.and_then(|table| table.text(key));
        if let (Some(table), Some(written)) = (self.table, &written)
            && let Some(broken) = rule(written.value)
        {
            table.wrong_at(written, key, &broken);
        }
        let flag = self.layers.flag(key).map(|text| (format!("--{key}"), text));
        if let Some((place, text)) = flag.or_else(|| self.variable(key)) {
            if let Some(broken) = rule(&text) {
                self.layers.wrong(&place, &broken);
            }
            return Some((Layer::Above, text));
        }
        written.map(|At { value, .. }| (Layer::File, value.to_owned()))
    }

    /// The variable of a key and its value; an empty one counts as not set.
    fn variable(&self, key: &str) -> Option<(String, String)> {
        let key = if self.name.is_empty() {
            key.to_owned()
        } else {
            format!("{}_{key}", self.name)
        };
        let variable = format!("MAYFLY_{}", key.to_ascii_uppercase());
        let text = (self.layers.env)(&variable).filter(|text| !text.is_empty())?;
        Some((variable, text))
    }
}

/// Where a text was written.
enum Layer {
    File,
    Above,
}

fn parse_address(text: &str) -> Option<SocketAddr> {
    let text = text.trim();
    match text.strip_prefix("localhost:") {
        Some(port) => port
            .parse()
            .ok()
            .map(|port: u16| SocketAddr::from(([127, 0, 0, 1], port))),
        None => text.parse().ok(),
    }
}
