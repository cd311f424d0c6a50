//! Where things are: the flags that every command understands, and the configuration they lead to.
//!
//! The variables of these flags are read with all the others, by `config`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::client::Client;
use crate::config::{Config, FILE_NAME, Flags};

const HEADING: &str = "Places";

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

    /// Configuration file, or MAYFLY_CONFIG [default: mayfly.toml, if it is here]
    #[arg(long, global = true, value_name = "FILE", help_heading = HEADING)]
    pub(super) config: Option<PathBuf>,
}

impl Places {
    /// Everything that file, environment and flags say.
    pub(super) fn config(&self) -> anyhow::Result<Config> {
        let variable = |name: &str| std::env::var(name).ok();
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
        };
        Ok(Config::resolve(
            named.or_else(here).as_deref(),
            variable,
            flags,
        )?)
    }

    /// A client of the server that the configuration names.
    pub(super) fn client(config: &Config) -> anyhow::Result<Client> {
        anyhow::ensure!(
            config.control.port() != 0,
            "port 0 is any free port, so nobody can be asked there; say which one the server printed with --control"
        );
        Client::new(config.control).context("no connection")
    }
}
