//! Where things are: the flags that every command understands, and the configuration they lead to.
//!
//! The variables of these flags are read with all the others, by `config`.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::auth::credentials;
use crate::auth::secret::Secret;
use crate::auth::sigv4::Signer;
use crate::client::{Client, Key, Server};
use crate::config::{Config, FILE_NAME, Flags};
use crate::manifest::document::quoted;

const HEADING: &str = "Places";

/// What our variables begin with.
const PREFIX: &str = "MAYFLY_";

/// Variables that are read, but not through the configuration, or not when a flag says the same.
const READ_ELSEWHERE: [&str; 4] = [
    "MAYFLY_LOG",
    "MAYFLY_CONFIG",
    "MAYFLY_LISTEN",
    "MAYFLY_CONTROL",
];

/// Flags for all commands.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "these comments are shown as they are")]
pub(super) struct Places {
    /// Folder of the functions, or MAYFLY_FUNCTIONS [default: functions]
    #[arg(long, global = true, value_name = "DIR", help_heading = HEADING)]
    pub(super) functions: Option<PathBuf>,

    /// Folder for all that is kept, or MAYFLY_DATA [default: .mayfly beside the functions]
    #[arg(long, global = true, value_name = "DIR", help_heading = HEADING)]
    pub(super) data: Option<PathBuf>,

    /// Address that functions answer at, or MAYFLY_LISTEN [default: 127.0.0.1:3000]
    #[arg(long, global = true, value_name = "ADDR", help_heading = HEADING)]
    pub(super) listen: Option<String>,

    /// Address of the control API, or MAYFLY_CONTROL [default: 127.0.0.1:3002]
    #[arg(long, global = true, value_name = "ADDR", help_heading = HEADING)]
    pub(super) control: Option<String>,

    /// Credentials file, or MAYFLY_CREDENTIALS [default: .mayfly-credentials beside the data]
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(super) credentials: Option<PathBuf>,

    /// Configuration file, or MAYFLY_CONFIG [default: mayfly.toml, if it is here]
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(super) config: Option<PathBuf>,
}

impl Places {
    /// Everything that file, environment and flags say.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        self.config_asking(|_| {})
    }

    /// The same for a server, and a warning for each variable that looks like one of ours and is none.
    pub(super) fn config_with_warnings(&self) -> anyhow::Result<(Config, Vec<String>)> {
        let known = RefCell::new(BTreeSet::from(READ_ELSEWHERE.map(str::to_owned)));
        let config = self.config_asking(|name| {
            known.borrow_mut().insert(name.to_owned());
        })?;
        let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Ok((config, unknown_variables(set, &known.into_inner())))
    }

    fn config_asking(&self, note: impl Fn(&str)) -> anyhow::Result<Config> {
        let variable = |name: &str| {
            note(name);
            std::env::var(name).ok()
        };
        let named = self.config.clone().or_else(|| {
            variable("MAYFLY_CONFIG")
                .filter(|path| !path.is_empty())
                .map(PathBuf::from)
        });
        let here = || {
            Path::new(FILE_NAME)
                .is_file()
                .then(|| PathBuf::from(FILE_NAME))
        };
        let flags = Flags {
            functions: self.functions.clone(),
            data: self.data.clone(),
            listen: self.listen.clone(),
            control: self.control.clone(),
            credentials: self.credentials.clone(),
        };
        Ok(Config::resolve(
            named.or_else(here).as_deref(),
            variable,
            flags,
        )?)
    }

    /// A client of the server that the configuration or the credentials name.
    pub(super) fn client(config: &Config) -> anyhow::Result<Client> {
        let (key, endpoint_url) = key(config)?;
        let server = match endpoint_url {
            Some(url) if !config.control_is_named => Server::of_url(&url)?,
            _ => Server::from(config.control),
        };
        anyhow::ensure!(
            !server.is_any_port(),
            "port 0 is any free port, so nobody can be asked there; say which one the server printed with --control"
        );
        Client::new(server, key).context("no connection")
    }
}

/// A warning for each of the variables that are `set` whose name begins as ours do and is not `known`.
fn unknown_variables(set: impl Iterator<Item = String>, known: &BTreeSet<String>) -> Vec<String> {
    let warning = |name: String| {
        let near = known
            .iter()
            .map(|known| (strsim::jaro_winkler(&name, known), known))
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let near = near.map_or_else(String::new, |(_, known)| {
            format!("; the one nearest to it is {known}")
        });
        format!(
            "the variable {} is not known and not read{near}",
            quoted(&name)
        )
    };
    let set = set.filter(|name| name.starts_with(PREFIX) && !known.contains(name));
    set.map(warning).collect()
}

/// The key to sign with, and where it is good: of the file that was named, else of AWS's variables, else
/// of the file that the server writes.
fn key(config: &Config) -> anyhow::Result<(Key, Option<String>)> {
    let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
    if !config.credentials_are_named
        && let Some(access_key_id) = variable("AWS_ACCESS_KEY_ID")
        && let Some(secret) = variable("AWS_SECRET_ACCESS_KEY")
    {
        let region = variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION"));
        let signer = Signer {
            access_key_id,
            secret: Secret::new(secret),
            region: region.unwrap_or_else(|| config.region.clone()),
        };
        let found_in = "AWS_ACCESS_KEY_ID".to_owned();
        return Ok((Key { signer, found_in }, None));
    }
    let path = &config.credentials;
    let profile = credentials::read(path).with_context(|| {
        format!(
            "no key to ask the server at {} with; it writes one at its first start, beside its data directory; say where with --credentials",
            config.control
        )
    })?;
    if let Some(warning) = credentials::warning(path) {
        super::output::note(&format!("warning: {warning}"));
    }
    let signer = Signer {
        access_key_id: profile.access_key_id,
        secret: profile.secret,
        region: profile.region.unwrap_or_else(|| config.region.clone()),
    };
    let found_in = path.display().to_string();
    Ok((Key { signer, found_in }, profile.endpoint_url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_nobody_reads_is_told_with_the_nearest_one() {
        let places = Places::default();
        let known = RefCell::new(BTreeSet::new());
        places
            .config_asking(|name| {
                known.borrow_mut().insert(name.to_owned());
            })
            .unwrap();
        let known = known.into_inner();
        for name in [
            "MAYFLY_QUEUE_MB_MAX",
            "MAYFLY_DATA",
            "MAYFLY_BUDGET_THROTTLE",
        ] {
            assert!(known.contains(name), "{name}");
        }
        let set = ["MAYFLY_QUEUE_EVENT_MAX", "MAYFLY_DATA", "PATH"].map(str::to_owned);
        assert_eq!(
            unknown_variables(set.into_iter(), &known),
            [
                "the variable MAYFLY_QUEUE_EVENT_MAX is not known and not read; the one nearest to it is MAYFLY_QUEUE_EVENTS_MAX"
            ]
        );
    }
}
