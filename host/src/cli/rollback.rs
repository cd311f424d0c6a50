//! `mayfly rollback`: an alias leads to what it led to before it was last changed.

use std::fmt;
use std::process::ExitCode;

use domain::{AliasName, FunctionName};
use serde::Deserialize;

use super::output::{answer, one_line};
use super::places::Places;
use crate::client::query;

/// Points an alias at what it pointed at before.
///
/// One step back is kept for each alias; once more leads forward again. Versions never change, so what
/// answered before answers again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly rollback hello                 its only alias
  mayfly rollback hello --alias live")]
pub(super) struct Rollback {
    /// Function whose alias it is
    name: FunctionName,

    /// Alias to roll back [default: the only one]
    #[arg(long, value_name = "ALIAS")]
    alias: Option<AliasName>,
}

#[derive(Debug, Deserialize)]
struct RolledBack {
    alias: String,
    now: Target,
    before: Option<Target>,
}

/// What an alias leads to: a version, and perhaps a second one for a part of the events.
#[derive(Debug, Deserialize)]
pub(super) struct Target {
    version: String,
    additional: Option<Additional>,
}

#[derive(Debug, Deserialize)]
struct Additional {
    version: String,
    /// 0 to 1.
    weight: f64,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.version)?;
        let Some(second) = &self.additional else {
            return Ok(());
        };
        let percent = format!("{:.2}", second.weight * 100.0);
        let percent = percent.trim_end_matches('0').trim_end_matches('.');
        write!(f, " and {percent} % {}", second.version)
    }
}

/// Rolls back.
pub(super) fn run(command: &Rollback, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let alias = command.alias.as_ref().map(ToString::to_string);
    let path = format!(
        "/mayfly/functions/{}/rollback{}",
        command.name,
        query(&[("alias", alias)])
    );
    let done: RolledBack = client.post(&path)?;
    answer(said(&command.name, &done))?;
    Ok(ExitCode::SUCCESS)
}

fn said(name: &FunctionName, done: &RolledBack) -> String {
    let before = done
        .before
        .as_ref()
        .map_or_else(String::new, |before| format!("; it was {before}"));
    let line = format!("{name}:{} is {} again{before}", done.alias, done.now);
    format!("{}\n", one_line(&line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_says_what_it_is_and_was() {
        let name = FunctionName::parse("hello").unwrap();
        let done = |text| said(&name, &serde_json::from_str(text).unwrap());
        assert_eq!(
            done(
                r#"{"alias":"live","now":{"version":"1"},
                     "before":{"version":"2","additional":{"version":"3","weight":0.07}}}"#
            ),
            "hello:live is 1 again; it was 2 and 7 % 3\n"
        );
        assert_eq!(
            done(r#"{"alias":"live","now":{"version":"$LATEST"}}"#),
            "hello:live is $LATEST again\n"
        );
    }
}
