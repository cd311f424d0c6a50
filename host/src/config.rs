//! The configuration of a process: file, then environment, then flags; checked once.
//!
//! [`Config::resolve`] is the only way to have a [`Config`], so holding one means that every value
//! is in range. What is as written lives only in [`layers`]: the tree of `mayfly.toml` with its
//! positions, and the environment over it. Each key stands once, in `Config::from_layers` or
//! in the file of its table, with its range and its default.
//!
//! The variable of a key is its name in capitals with `_` for dots, after `MAYFLY_`.
//!
//! Absent on purpose: command lines (see `cli`), and any reading of the environment by itself.

mod billing;
mod drop_folder;
mod http;
mod layers;
mod memory;
mod queue;
mod sandbox;
mod stores;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::billing::Tariff;
use domain::billing::budget::Budget;

use crate::auth::authentication::AuthConfig;

use self::layers::{Layers, Section};

pub(crate) use self::billing::InvoiceConfig;
pub(crate) use self::drop_folder::DropConfig;
pub(crate) use self::http::{CertificateFiles, HttpConfig, TlsConfig};
pub(crate) use self::queue::{DestinationsConfig, QueueConfig};
pub(crate) use self::sandbox::SandboxConfig;
pub(crate) use self::stores::{AuditConfig, LedgerConfig, LogsConfig};

/// The file that is read when it lies in the current directory and no other is named.
pub(crate) const FILE_NAME: &str = "mayfly.toml";

/// Everything that a process can be told. Immutable.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The drop folder: artifacts and function folders.
    ///
    /// Default `functions`. Key `functions`, variable `MAYFLY_FUNCTIONS`, flag `--functions`. In the
    /// file, relative to the file.
    pub(crate) functions_dir: PathBuf,

    /// Where everything durable is kept.
    ///
    /// Default `.mayfly` beside the functions. Key `data`, variable `MAYFLY_DATA`, flag `--data`. In
    /// the file, relative to the file.
    pub(crate) data_dir: PathBuf,

    /// The address of the HTTP triggers; port 0 takes any free one.
    ///
    /// Default `127.0.0.1:3000`. Key `listen`, variable `MAYFLY_LISTEN`, flag `--listen`.
    pub(crate) listen: SocketAddr,

    /// The address of the control API; port 0 takes any free one.
    ///
    /// Default `127.0.0.1:3002`. Key `control`, variable `MAYFLY_CONTROL`, flag `--control`.
    pub(crate) control: SocketAddr,

    /// Whether that address was said; commands that were told none ask where the credentials say.
    pub(crate) control_is_named: bool,

    /// The file with the root key, in the form of AWS's shared credentials, profile `mayfly`.
    ///
    /// Written at the first start. Default `.mayfly-credentials` beside the data directory. Key
    /// `credentials`, variable `MAYFLY_CREDENTIALS`, flag `--credentials`. In the file, relative to the
    /// file.
    pub(crate) credentials: PathBuf,

    /// Whether that file was said.
    pub(crate) credentials_are_named: bool,

    /// The file with the key that seals secrets in the data directory; mode 0600.
    ///
    /// Made at the first start. Default `.mayfly-key` beside the data directory. Key `key_file`,
    /// variable `MAYFLY_KEY_FILE`. In the file, relative to the file.
    pub(crate) key_file: PathBuf,

    /// Table `[auth]`.
    pub(crate) auth: AuthConfig,

    /// The region in ARNs and in the environment of functions.
    ///
    /// 1 to 32 of `a-z 0-9 -`, default `local`. Key `region`, variable `MAYFLY_REGION`.
    pub(crate) region: String,

    /// The domain below which function URLs are shown, as `ID.lambda-url.REGION.DOMAIN`; names below it
    /// must lead here. URLs below `/_url/` answer in any case.
    ///
    /// Letters, digits, `-` and `.`, default none. Key `url_domain`, variable `MAYFLY_URL_DOMAIN`.
    pub(crate) url_domain: Option<String>,

    /// How long a drain waits for what runs.
    ///
    /// In ms, range 0 to 3,600,000, default 30,000. Key `drain_timeout_ms`, variable
    /// `MAYFLY_DRAIN_TIMEOUT_MS`.
    pub(crate) drain_timeout: Duration,

    /// Table `[sandbox]`.
    pub(crate) sandbox: SandboxConfig,

    /// Table `[billing]`: `rounding_ms`, range 1 to 1,000, default 1; `gb_second_picousd`, default
    /// 16,666,700; `request_picousd`, default 200,000; both in pico-dollars, range 0 to 10¹².
    ///
    /// Variables `MAYFLY_BILLING_ROUNDING_MS`, `MAYFLY_BILLING_GB_SECOND_PICOUSD`,
    /// `MAYFLY_BILLING_REQUEST_PICOUSD`.
    pub(crate) billing: Tariff,

    /// Also of table `[billing]`: what only invoices know.
    pub(crate) invoices: InvoiceConfig,

    /// Table `[budget]`, of the whole server: `monthly_usd`, a number or text with up to 12 decimals, to
    /// 10,000,000, default none; `throttle`, default no.
    ///
    /// Variables `MAYFLY_BUDGET_MONTHLY_USD`, `MAYFLY_BUDGET_THROTTLE`.
    pub(crate) budget: Option<Budget>,

    /// Table `[ledger]`.
    pub(crate) ledger: LedgerConfig,

    /// Table `[logs]`.
    pub(crate) logs: LogsConfig,

    /// Table `[queue]`.
    pub(crate) queue: QueueConfig,

    /// Table `[destinations]`.
    pub(crate) destinations: DestinationsConfig,

    /// Table `[audit]`.
    pub(crate) audit: AuditConfig,

    /// Table `[http]`.
    pub(crate) http: HttpConfig,

    /// Table `[tls]`.
    pub(crate) tls: TlsConfig,

    /// Table `[drop]`.
    pub(crate) drop: DropConfig,
}

/// What a command line said. It outranks environment and file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flags {
    /// `--functions`.
    pub(crate) functions: Option<PathBuf>,
    /// `--data`.
    pub(crate) data: Option<PathBuf>,
    /// `--listen`.
    pub(crate) listen: Option<String>,
    /// `--control`.
    pub(crate) control: Option<String>,
    /// `--credentials`.
    pub(crate) credentials: Option<PathBuf>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("reading `{}` failed", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Values that are not known, not of the right type or out of range. Each names where it was
    /// written: file, line and column, or variable, or flag.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl Config {
    /// Puts file, environment and flags together and checks every value.
    ///
    /// # Errors
    ///
    /// [`ConfigError`]; of what is invalid it lists everything.
    pub(crate) fn resolve(
        file: Option<&Path>,
        env: impl Fn(&str) -> Option<String>,
        flags: Flags,
    ) -> Result<Self, ConfigError> {
        let text = match file {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
                path: path.to_owned(),
                source,
            })?,
        };
        let layers = Layers::new(file, &env, flags);
        layers.read(&text, Self::from_layers)
    }

    fn from_layers(root: &Section<'_>) -> Self {
        let functions_dir = root
            .path("functions")
            .unwrap_or_else(|| PathBuf::from("functions"));
        let data_dir = root
            .path("data")
            .unwrap_or_else(|| beside(&functions_dir, ".mayfly"));
        let control = root.address("control");
        let credentials = root.path("credentials");
        let (billing, invoices) = root.section("billing", |section| {
            let tariff = billing::tariff(section);
            (tariff, InvoiceConfig::from_section(section, &tariff))
        });
        Self {
            listen: root.address("listen").unwrap_or_else(|| local(3000)),
            control: control.unwrap_or_else(|| local(3002)),
            control_is_named: control.is_some(),
            credentials_are_named: credentials.is_some(),
            credentials: credentials.unwrap_or_else(|| beside(&data_dir, ".mayfly-credentials")),
            key_file: root
                .path("key_file")
                .unwrap_or_else(|| beside(&data_dir, ".mayfly-key")),
            auth: root.section("auth", |auth| AuthConfig {
                replay_cache: auth.flag("replay_cache").unwrap_or(false),
                failures_per_second: auth.u32("failures_per_second", 1..=1_000_000, 50),
            }),
            region: root.region("region").unwrap_or_else(|| "local".to_owned()),
            url_domain: root.domain("url_domain"),
            drain_timeout: root.ms("drain_timeout_ms", 0..=3_600_000, 30_000),
            sandbox: root.section("sandbox", SandboxConfig::from_section),
            billing,
            invoices,
            budget: root.section("budget", billing::budget),
            ledger: root.section("ledger", LedgerConfig::from_section),
            logs: root.section("logs", LogsConfig::from_section),
            queue: root.section("queue", QueueConfig::from_section),
            destinations: root.section("destinations", DestinationsConfig::from_section),
            audit: root.section("audit", AuditConfig::from_section),
            http: root.section("http", HttpConfig::from_section),
            tls: root.section("tls", TlsConfig::from_section),
            drop: root.section("drop", DropConfig::from_section),
            functions_dir,
            data_dir,
        }
    }
}

/// `name` in the folder that holds `path`.
fn beside(path: &Path, name: &str) -> PathBuf {
    match path.file_name() {
        Some(_) => path.with_file_name(name),
        // `.`, `..` and `/` have no name to replace.
        None => path.join("..").join(name),
    }
}

/// A port of this machine alone.
fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[cfg(test)]
mod tests;
