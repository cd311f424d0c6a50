//! The configuration of a process: file, then environment, then flags; checked once.
//!
//! [`Config::resolve`] is the only way to have a [`Config`], so holding one means that every value
//! is in range. What is as written lives only in [`layers`]: the tree of `mayfly.toml` with its
//! positions, and the environment over it. Each key stands once there, in `Config::from_layers`,
//! with its range and its default.
//!
//! The variable of a key is its name in capitals with `_` for dots, after `MAYFLY_`.
//!
//! Absent on purpose: command lines (see `cli`), and any reading of the environment by itself.

mod layers;
mod memory;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::billing::budget::Budget;
use domain::billing::plan::{FreeTier, Plan, Tier};
use domain::billing::{Prices, Rounding, Tariff};
use domain::retry::Delays;
use storage::Quota;

use crate::auth::authentication::AuthConfig;
use crate::manifest::document::quoted;
use crate::trigger::queue::destination::{AllowList, Allowed};

use self::layers::{Layers, Section};
use crate::manifest::document::Table;

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

/// How all sandboxes together are bounded.
#[derive(Debug, Clone)]
pub(crate) struct SandboxConfig {
    /// Sandboxes that may run at once in this process.
    ///
    /// Range 1 to 20,000, default 1,000. Key `sandbox.concurrency_max`, variable
    /// `MAYFLY_SANDBOX_CONCURRENCY_MAX`.
    pub(crate) concurrency_max: u32,

    /// Memory that all running sandboxes together may reach, in MB; beyond it invocations are
    /// refused.
    ///
    /// Range 1 to 16,777,216, default half of what the machine or the control group has. Key
    /// `sandbox.memory_budget_mb`, variable `MAYFLY_SANDBOX_MEMORY_BUDGET_MB`.
    pub(crate) memory_budget_mb: u64,

    /// Functions whose code may be loaded at once.
    ///
    /// Range 1 to 10,000,000, default what the limits of the system leave. Key `sandbox.loaded_max`,
    /// variable `MAYFLY_SANDBOX_LOADED_MAX`.
    pub(crate) loaded_max: Option<u32>,
}

/// What an invoice says besides its sums.
#[derive(Debug, Clone)]
pub(crate) struct InvoiceConfig {
    /// What is free each month, keys `billing.free_requests`, default 1,000,000, and
    /// `billing.free_gb_seconds`, default 400,000, both from 0 (nothing) to 10¹⁵; variables
    /// `MAYFLY_BILLING_FREE_REQUESTS` and `MAYFLY_BILLING_FREE_GB_SECONDS`. Tables `[[billing.tiers]]`, at
    /// most 20, with `from_gb_seconds`, ascending, and `gb_second_picousd`; default Lambda's two, or none
    /// where `billing.gb_second_picousd` is not Lambda's.
    pub(crate) plan: Plan,

    /// Who sends it, one line, default none. Key `billing.issuer`, variable `MAYFLY_BILLING_ISSUER`.
    pub(crate) issuer: Option<String>,

    /// Who gets it, one line, default none. Key `billing.customer`, variable
    /// `MAYFLY_BILLING_CUSTOMER`.
    pub(crate) customer: Option<String>,
}

/// How long the ledger keeps what, and how it is kept; sums by the hour are kept for good.
#[derive(Debug, Clone)]
pub(crate) struct LedgerConfig {
    /// In days, range 1 to 36,500, default none: for good. Key `ledger.retention_days`, variable
    /// `MAYFLY_LEDGER_RETENTION_DAYS`.
    pub(crate) retention_days: Option<u32>,

    /// In MB on disk, range 16 to 16,777,216, default none: without bound. Key
    /// `ledger.retention_mb`, variable `MAYFLY_LEDGER_RETENTION_MB`.
    pub(crate) retention_mb: Option<u64>,

    /// Sums by the minute, in days, range 1 to 3,650, default 15. Key `ledger.minutes_days`, variable
    /// `MAYFLY_LEDGER_MINUTES_DAYS`.
    pub(crate) minutes_days: u32,

    /// `group`, the default: records are on disk 10 ms after they are answered; or `strict`: before
    /// that, and attempts before they run. Key `ledger.mode`, variable `MAYFLY_LEDGER_MODE`.
    pub(crate) is_strict: bool,
}

/// How much log is kept of each function: the product of the two.
#[derive(Debug, Clone)]
pub(crate) struct LogsConfig {
    /// Size of one segment in KB, range 16 to 1,048,576, default 1,024. Key `logs.segment_kb`,
    /// variable `MAYFLY_LOGS_SEGMENT_KB`.
    pub(crate) segment_kb: u32,

    /// Segments kept, range 2 to 1,000, default 8. Key `logs.segments_per_function`, variable
    /// `MAYFLY_LOGS_SEGMENTS_PER_FUNCTION`.
    pub(crate) segments_per_function: u32,
}

/// What is written about requests to the control API, and for how long it is kept.
#[derive(Debug, Clone)]
pub(crate) struct AuditConfig {
    /// In days, range 1 to 36,500, default 365. Key `audit.retention_days`, variable
    /// `MAYFLY_AUDIT_RETENTION_DAYS`.
    pub(crate) retention_days: u32,

    /// Whether allowed invocations through the control API are written too, default no: the ledger has
    /// them. Key `audit.invoke`, variable `MAYFLY_AUDIT_INVOKE`.
    pub(crate) invoke: bool,
}

/// How much patience the trigger listener has.
#[derive(Debug, Clone)]
pub(crate) struct HttpConfig {
    /// For a request's head, in ms, range 1 to 600,000, default 10,000. Key
    /// `http.header_timeout_ms`, variable `MAYFLY_HTTP_HEADER_TIMEOUT_MS`.
    pub(crate) header_timeout: Duration,

    /// Between two pieces of a body, in ms, range 1 to 600,000, default 10,000. Key
    /// `http.body_idle_timeout_ms`, variable `MAYFLY_HTTP_BODY_IDLE_TIMEOUT_MS`.
    pub(crate) body_idle_timeout: Duration,

    /// For a whole body, in ms, range 1 to 3,600,000, default 30,000. Key `http.body_timeout_ms`,
    /// variable `MAYFLY_HTTP_BODY_TIMEOUT_MS`.
    pub(crate) body_timeout: Duration,

    /// Connections at once, range 1 to 1,000,000, default 10,000. Key `http.connections_max`,
    /// variable `MAYFLY_HTTP_CONNECTIONS_MAX`.
    pub(crate) connections_max: u32,

    /// Connections at once from one address, range 1 to 1,000,000, default none: as many as there
    /// are. Key `http.connections_per_ip_max`, variable `MAYFLY_HTTP_CONNECTIONS_PER_IP_MAX`.
    pub(crate) connections_per_ip_max: Option<u32>,
}

/// Which listeners speak TLS. Paths in the file are relative to the file.
#[derive(Debug, Clone)]
pub(crate) struct TlsConfig {
    /// Of the triggers, default none: plain HTTP. Keys `tls.certificate` and `tls.key`, variables
    /// `MAYFLY_TLS_CERTIFICATE` and `MAYFLY_TLS_KEY`.
    pub(crate) triggers: Option<CertificateFiles>,

    /// Of the control API, default none. Keys `tls.control_certificate` and `tls.control_key`,
    /// variables `MAYFLY_TLS_CONTROL_CERTIFICATE` and `MAYFLY_TLS_CONTROL_KEY`.
    pub(crate) control: Option<CertificateFiles>,

    /// For a handshake, in ms, range 1 to 60,000, default 5,000. Key `tls.handshake_timeout_ms`,
    /// variable `MAYFLY_TLS_HANDSHAKE_TIMEOUT_MS`.
    pub(crate) handshake_timeout: Duration,

    /// Between two looks whether the files have changed, in ms, range 10 to 3,600,000, default
    /// 2,000. Key `tls.rescan_ms`, variable `MAYFLY_TLS_RESCAN_MS`.
    pub(crate) rescan: Duration,
}

/// A chain of certificates and the key of the first, each a file in PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// How events wait and are tried again.
#[derive(Debug, Clone)]
pub(crate) struct QueueConfig {
    /// Before the second attempt and before the third, in ms, range 0 to 3,600,000, default 60,000 and
    /// 120,000. Keys `queue.first_retry_ms` and `queue.second_retry_ms`, variables
    /// `MAYFLY_QUEUE_FIRST_RETRY_MS` and `MAYFLY_QUEUE_SECOND_RETRY_MS`. After a throttle or a failure of
    /// ours: at first, doubling up to a longest; ranges 1 to 3,600,000, defaults 1,000 and 300,000. Keys
    /// `queue.refused_ms` and `queue.refused_max_ms`, variables `MAYFLY_QUEUE_REFUSED_MS` and
    /// `MAYFLY_QUEUE_REFUSED_MAX_MS`.
    pub(crate) delays: Delays,

    /// How many events may wait in one queue, range 1 to 1,000,000,000, default 1,000,000, and how many
    /// MB they may have together, range 1 to 1,048,576, default 4,096. Keys `queue.events_max` and
    /// `queue.mb_max`, variables `MAYFLY_QUEUE_EVENTS_MAX` and `MAYFLY_QUEUE_MB_MAX`.
    pub(crate) quota: Quota,

    /// Attempts at events of the queue that may run at once, range 1 to 20,000, default 200. Key
    /// `queue.concurrency_max`, variable `MAYFLY_QUEUE_CONCURRENCY_MAX`.
    pub(crate) concurrency_max: u32,

    /// How long an event that succeeded can still be looked at, in hours, range 0 to 87,600, default 24.
    /// Key `queue.keep_hours`, variable `MAYFLY_QUEUE_KEEP_HOURS`.
    pub(crate) keep: Duration,
}

/// Where records of events may be delivered, besides to functions.
#[derive(Debug, Clone)]
pub(crate) struct DestinationsConfig {
    /// Addresses such as `https://hooks.example.com/team`, with all that is below them, and files such as
    /// `file:failures`; default none. Key `destinations.allow`, a list; variable
    /// `MAYFLY_DESTINATIONS_ALLOW`, with commas between.
    pub(crate) allow: AllowList,

    /// Largest file, in MB, range 1 to 1,048,576, default 1,024; what does not fit waits. Key
    /// `destinations.file_mb_max`, variable `MAYFLY_DESTINATIONS_FILE_MB_MAX`.
    pub(crate) file_bytes_max: u64,
}

/// When the drop folder takes a file.
#[derive(Debug, Clone)]
pub(crate) struct DropConfig {
    /// How long a file that was not closed or renamed must stay as it is, in ms, range 1 to 60,000,
    /// default 500. Key `drop.stable_ms`, variable `MAYFLY_DROP_STABLE_MS`.
    pub(crate) stable: Duration,

    /// Between two looks at the whole folder, for what no notification told, in ms, range 10 to
    /// 3,600,000, default 2,000. Key `drop.rescan_ms`, variable `MAYFLY_DROP_RESCAN_MS`.
    pub(crate) rescan: Duration,
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
        let (billing, invoices) = root.section("billing", |billing| {
            let tariff = tariff(billing);
            (tariff, InvoiceConfig::from_section(billing, &tariff))
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
            budget: root.section("budget", budget),
            ledger: root.section("ledger", |ledger| LedgerConfig {
                retention_days: ledger.optional_u32("retention_days", 1..=36_500),
                retention_mb: ledger.integer("retention_mb", 16..=16_777_216),
                minutes_days: ledger.u32("minutes_days", 1..=3_650, 15),
                is_strict: ledger.word("mode", &["group", "strict"]).as_deref() == Some("strict"),
            }),
            logs: root.section("logs", |logs| LogsConfig {
                segment_kb: logs.u32("segment_kb", 16..=1_048_576, 1_024),
                segments_per_function: logs.u32("segments_per_function", 2..=1_000, 8),
            }),
            queue: root.section("queue", QueueConfig::from_section),
            destinations: root.section("destinations", DestinationsConfig::from_section),
            audit: root.section("audit", |audit| AuditConfig {
                retention_days: audit.u32("retention_days", 1..=36_500, 365),
                invoke: audit.flag("invoke").unwrap_or(false),
            }),
            http: root.section("http", HttpConfig::from_section),
            tls: root.section("tls", TlsConfig::from_section),
            drop: root.section("drop", |drop| DropConfig {
                stable: drop.ms("stable_ms", 1..=60_000, 500),
                rescan: drop.ms("rescan_ms", 10..=3_600_000, 2_000),
            }),
            functions_dir,
            data_dir,
        }
    }
}

impl SandboxConfig {
    fn from_section(sandbox: &Section<'_>) -> Self {
        Self {
            concurrency_max: sandbox.u32("concurrency_max", 1..=20_000, 1_000),
            memory_budget_mb: sandbox
                .integer("memory_budget_mb", 1..=16_777_216)
                .unwrap_or_else(|| (memory::available_mb() / 2).max(1)),
            loaded_max: sandbox.optional_u32("loaded_max", 1..=10_000_000),
        }
    }
}

impl QueueConfig {
    fn from_section(queue: &Section<'_>) -> Self {
        const HOUR_MS: u64 = 3_600_000;
        let quota = Quota::default();
        Self {
            delays: Delays {
                retries: [
                    queue.ms("first_retry_ms", 0..=HOUR_MS, 60_000),
                    queue.ms("second_retry_ms", 0..=HOUR_MS, 120_000),
                ],
                refused: queue.ms("refused_ms", 1..=HOUR_MS, 1_000),
                refused_max: queue.ms("refused_max_ms", 1..=HOUR_MS, 300_000),
            },
            quota: Quota {
                events: queue
                    .integer("events_max", 1..=1_000_000_000)
                    .unwrap_or(quota.events),
                bytes: queue
                    .integer("mb_max", 1..=1_048_576)
                    .map_or(quota.bytes, |mb| mb << 20),
            },
            concurrency_max: queue.u32("concurrency_max", 1..=20_000, 200),
            keep: Duration::from_secs(u64::from(queue.u32("keep_hours", 0..=87_600, 24)) * 3_600),
        }
    }
}

impl DestinationsConfig {
    fn from_section(destinations: &Section<'_>) -> Self {
        let allowed = |text: &str| {
            Allowed::parse(text).map_err(|_| {
                let shown = quoted(text);
                format!("has \"{shown}\", which is neither the beginning of an address, such as https://hooks.example.com/team, nor a file, such as file:failures")
            })
        };
        let file_mb_max = destinations.integer("file_mb_max", 1..=1_048_576);
        Self {
            allow: AllowList::new(destinations.list("allow", allowed)),
            file_bytes_max: file_mb_max.unwrap_or(1_024) << 20,
        }
    }
}

impl HttpConfig {
    fn from_section(http: &Section<'_>) -> Self {
        Self {
            header_timeout: http.ms("header_timeout_ms", 1..=600_000, 10_000),
            body_idle_timeout: http.ms("body_idle_timeout_ms", 1..=600_000, 10_000),
            body_timeout: http.ms("body_timeout_ms", 1..=3_600_000, 30_000),
            connections_max: http.u32("connections_max", 1..=1_000_000, 10_000),
            connections_per_ip_max: http.optional_u32("connections_per_ip_max", 1..=1_000_000),
        }
    }
}

impl TlsConfig {
    fn from_section(tls: &Section<'_>) -> Self {
        let files = |certificate, key| {
            let (certificate, key) = tls.paths_together(certificate, key)?;
            Some(CertificateFiles { certificate, key })
        };
        Self {
            triggers: files("certificate", "key"),
            control: files("control_certificate", "control_key"),
            handshake_timeout: tls.ms("handshake_timeout_ms", 1..=60_000, 5_000),
            rescan: tls.ms("rescan_ms", 10..=3_600_000, 2_000),
        }
    }
}

impl InvoiceConfig {
    fn from_section(billing: &Section<'_>, tariff: &Tariff) -> Self {
        const MAX: u64 = 1_000_000_000_000_000;
        let FreeTier {
            requests,
            gb_seconds,
        } = FreeTier::default();
        let tiers = billing
            .tables("tiers")
            .map(|tables| tiers(billing, &tables));
        let usual = if tariff.prices.gb_second == Prices::default().gb_second {
            Tier::LAMBDA.to_vec()
        } else {
            Vec::new()
        };
        Self {
            plan: Plan {
                free: FreeTier {
                    requests: billing
                        .integer("free_requests", 0..=MAX)
                        .unwrap_or(requests),
                    gb_seconds: billing
                        .integer("free_gb_seconds", 0..=MAX)
                        .unwrap_or(gb_seconds),
                },
                tiers: tiers.unwrap_or(usual),
            },
            issuer: billing.words("issuer"),
            customer: billing.words("customer"),
        }
    }
}

/// Tables `[[billing.tiers]]`.
fn tiers(billing: &Section<'_>, tables: &[Table<'_>]) -> Vec<Tier> {
    const TIERS_MAX: usize = 20;
    const FROM_MAX: u64 = 1_000_000_000_000_000;
    let mut tiers: Vec<Tier> = Vec::new();
    for table in tables {
        let from = table.integer("from_gb_seconds", &(1..=FROM_MAX));
        let gb_second = table.integer("gb_second_picousd", &(0..=PICOUSD_MAX));
        for key in ["from_gb_seconds", "gb_second_picousd"] {
            if !table.has(key) {
                table.wrong(format!("a tier of `billing.tiers` needs `{key}`"));
            }
        }
        if let (Some(from_gb_seconds), Some(gb_second)) = (from, gb_second) {
            if tiers
                .last()
                .is_some_and(|last| last.from_gb_seconds >= from_gb_seconds)
            {
                table.wrong(
                    "`from_gb_seconds` must be more than that of the tier before".to_owned(),
                );
            }
            tiers.push(Tier {
                from_gb_seconds,
                gb_second,
            });
        }
    }
    if tables.len() > TIERS_MAX {
        billing.wrong(&format!(
            "has {} tiers; at most {TIERS_MAX} are allowed",
            tables.len()
        ));
    }
    tiers
}

/// What the whole server may spend.
fn budget(section: &Section<'_>) -> Option<Budget> {
    let monthly = section.usd("monthly_usd", 1..=Budget::MAX);
    let throttle = section.flag("throttle");
    if monthly.is_none() && throttle.is_some() {
        section.wrong("has `throttle`, and no `monthly_usd` that it could be about");
    }
    monthly.map(|monthly| Budget {
        monthly,
        throttle: throttle.unwrap_or(false),
    })
}

/// The highest price that can be set: a dollar.
const PICOUSD_MAX: u64 = 1_000_000_000_000;

fn tariff(billing: &Section<'_>) -> Tariff {
    let Prices { gb_second, request } = Prices::default();
    let rounding_ms = billing.u32(
        "rounding_ms",
        1..=Rounding::MAX_MS,
        Rounding::default().ms(),
    );
    Tariff {
        prices: Prices {
            gb_second: billing
                .integer("gb_second_picousd", 0..=PICOUSD_MAX)
                .unwrap_or(gb_second),
            request: billing
                .integer("request_picousd", 0..=PICOUSD_MAX)
                .unwrap_or(request),
        },
        rounding: Rounding::new(rounding_ms).unwrap_or_default(),
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
