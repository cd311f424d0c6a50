//! Signs requests for control with the implementation of AWS, which is not the server's.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign,
};
use aws_sigv4::sign::v4;

use crate::http::Request;

/// A key, and what its requests are signed for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signer {
    /// `AKIA…`
    pub access_key_id: String,
    /// The secret.
    pub secret: String,
    /// Any region will do.
    pub region: String,
    /// `lambda`, `mayfly` and so on; `None` follows the path.
    pub service: Option<String>,
    /// When the signature is made, if not now.
    pub at: Option<SystemTime>,
}

impl Signer {
    /// The key of a profile in a credentials file.
    #[must_use]
    pub fn read(path: &Path) -> Option<Self> {
        let text = fs::read_to_string(path).ok()?;
        let section = text.split("[mayfly]\n").nth(1)?;
        let value = |key: &str| {
            let lines = section.lines().take_while(|line| !line.starts_with('['));
            let mut pairs = lines.filter_map(|line| line.split_once(" = "));
            pairs
                .find(|(known, _)| *known == key)
                .map(|(_, value)| value.to_owned())
        };
        Some(Self {
            access_key_id: value("aws_access_key_id")?,
            secret: value("aws_secret_access_key")?,
            region: value("region")?,
            service: None,
            at: None,
        })
    }

    /// The same key for another service.
    #[must_use]
    pub fn for_service(mut self, service: &str) -> Self {
        self.service = Some(service.to_owned());
        self
    }

    /// A copy of `request` with a signature in its headers.
    ///
    /// # Panics
    ///
    /// When the request is none that can be signed.
    #[must_use]
    pub fn sign(&self, request: &Request, address: SocketAddr) -> Request {
        let identity = Credentials::new(
            self.access_key_id.clone(),
            self.secret.clone(),
            None,
            None,
            "test",
        )
        .into();
        let usual = usual_service(request);
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name(self.service.as_deref().unwrap_or(usual))
            .time(self.at.unwrap_or_else(now))
            .settings(settings)
            .build()
            .unwrap();
        let host = request
            .host()
            .map_or_else(|| address.to_string(), str::to_owned);
        let uri = format!("http://{host}{}", request.target());
        let signable = SignableRequest::new(
            request.method(),
            uri,
            request.headers_to_sign(),
            SignableBody::Bytes(request.body()),
        );
        let signed = sign(signable.unwrap(), &params.into()).unwrap();
        let (instructions, _) = signed.into_parts();
        instructions
            .headers()
            .fold(request.clone(), |request, (name, value)| {
                request.header(name, value)
            })
    }
}

/// The service that a request belongs to, as a client of AWS would say.
fn usual_service(request: &Request) -> &'static str {
    let path = request.target().split('?').next().unwrap_or("");
    if path.starts_with("/mayfly/") || path == "/metrics" {
        return "mayfly";
    }
    if path.starts_with("/schedule") || path.starts_with("/tags/") {
        return "scheduler";
    }
    if path != "/" {
        return "lambda";
    }
    let is_logs = request
        .headers_to_sign()
        .any(|(name, _)| name.eq_ignore_ascii_case("x-amz-target"));
    let is_sts = String::from_utf8_lossy(request.body()).contains("Version=2011-06-15");
    match (is_logs, is_sts) {
        (true, _) => "logs",
        (false, true) => "sts",
        (false, false) => "iam",
    }
}

#[expect(clippy::disallowed_methods, reason = "a client of its own")]
fn now() -> SystemTime {
    SystemTime::now()
}
