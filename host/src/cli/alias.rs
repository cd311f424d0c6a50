//! `mayfly alias`: where an alias leads, through the control API.

use std::fmt;
use std::process::ExitCode;
use std::str::FromStr;

use domain::{AliasName, FunctionName};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{answer, one_line};
use super::places::Places;
use crate::client::{Client, ClientError, FUNCTIONS};

/// Points an alias at a version; makes the alias if there is none.
///
/// With --canary a part of the events goes to a second version: 0.1 is one of ten. Without it all go to
/// VERSION. `mayfly rollback` leads back to what it was before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly alias hello live 3
  mayfly alias hello live 3 --canary 4=0.1     one of ten events goes to version 4
  mayfly rollback hello --alias live           back to what it was")]
pub(super) struct Alias {
    /// Function whose alias it is
    name: FunctionName,

    /// The alias
    alias: AliasName,

    /// Version that it leads to; $LATEST is one
    version: String,

    /// A second version, and its part of the events, 0 to 1
    #[arg(long, value_name = "VERSION=WEIGHT")]
    canary: Option<Canary>,

    /// What it is for
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
}

/// A second version and its part of the events.
#[derive(Debug, Clone, PartialEq)]
struct Canary {
    version: String,
    /// 0 to 1.
    weight: f64,
}

impl FromStr for Canary {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (version, weight) = text
            .split_once('=')
            .ok_or("it must be VERSION=WEIGHT, such as 4=0.1")?;
        let weight = weight.parse().ok();
        let weight = weight.filter(|weight| (0.0..=1.0).contains(weight));
        Ok(Self {
            version: version.to_owned(),
            weight: weight.ok_or("its weight must be a number from 0 to 1, such as 0.1")?,
        })
    }
}

/// An alias, as the server shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    function_version: String,
}

/// Points.
pub(super) fn run(command: &Alias, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let shown = point(&client, command)?;
    let done = Done { command, shown };
    answer(format!("{}\n", one_line(&done.to_string())))?;
    Ok(ExitCode::SUCCESS)
}

/// Changes the alias, or makes it when it is not there.
fn point(client: &Client, command: &Alias) -> Result<Shown, ClientError> {
    let mut weights = json!({});
    if let Some(canary) = &command.canary {
        weights[&canary.version] = canary.weight.into();
    }
    let mut request = json!({
        "FunctionVersion": command.version,
        "RoutingConfig": { "AdditionalVersionWeights": weights },
    });
    if let Some(description) = &command.description {
        request["Description"] = description.as_str().into();
    }
    let aliases = format!("{FUNCTIONS}/{}/aliases", command.name);
    let path = format!("{aliases}/{}", command.alias);
    match client.send_json(&Method::PUT, &path, &request) {
        Err(ClientError::Refused {
            status: StatusCode::NOT_FOUND,
            message,
        }) if message.starts_with("Alias not found") => {
            request["Name"] = Value::from(command.alias.as_str());
            client.send_json(&Method::POST, &aliases, &request)
        }
        done => done,
    }
}

struct Done<'a> {
    command: &'a Alias,
    shown: Shown,
}

impl fmt::Display for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, alias) = (&self.command.name, &self.command.alias);
        write!(f, "{name}:{alias} is {}", self.shown.function_version)?;
        match &self.command.canary {
            Some(canary) => {
                let percent = format!("{:.2}", canary.weight * 100.0);
                let percent = percent.trim_end_matches('0').trim_end_matches('.');
                write!(f, ", and {percent} % {}", canary.version)
            }
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_a_version_and_a_part_of_the_events() {
        let canary = |text: &str| text.parse::<Canary>();
        let found = canary("4=0.25").unwrap();
        assert_eq!((found.version.as_str(), found.weight), ("4", 0.25));
        for other in ["4", "4=", "4=10%", "4=1.1", "4=-0.1", "4=NaN", "4=inf"] {
            canary(other).unwrap_err();
        }
    }
}
