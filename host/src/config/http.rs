//! Tables `[http]` and `[tls]`: the listeners.
//!
//! Knows nothing of where a value was written.

use std::path::PathBuf;
use std::time::Duration;

use super::layers::Section;

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

impl HttpConfig {
    pub(super) fn from_section(http: &Section<'_>) -> Self {
        Self {
            header_timeout: http.ms("header_timeout_ms", 1..=600_000, 10_000),
            body_idle_timeout: http.ms("body_idle_timeout_ms", 1..=600_000, 10_000),
            body_timeout: http.ms("body_timeout_ms", 1..=3_600_000, 30_000),
            connections_max: http.u32("connections_max", 1..=1_000_000, 10_000),
            connections_per_ip_max: http.optional_u32("connections_per_ip_max", 1..=1_000_000),
        }
    }
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

impl TlsConfig {
    pub(super) fn from_section(tls: &Section<'_>) -> Self {
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
