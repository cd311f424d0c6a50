//! Gets documents of issuers: by HTTPS, by HTTP from this machine, or from a file.
//!
//! One request, one connection, bounded in time and bytes; redirects are not followed. A host that only
//! a document names must not be of this machine or of its networks: what the operator did not name is
//! not to be asked from in here. Errors are texts, for the operator's log.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HOST};
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::manifest::route_rules::is_fetchable;
use crate::registry::read_file::read_file;

/// Largest document, in bytes. The key sets of large issuers have about 5 KB.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// For one document, from the name to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// TLS, set up when it is needed first: that reads the machine's trusted certificates.
#[derive(Default)]
pub(super) struct Fetcher(OnceCell<TlsConnector>);

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fetcher").finish_non_exhaustive()
    }
}

/// Which addresses a host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// Any: the manifest names the host.
    Any,
    /// Those that everybody can reach.
    Public,
}

impl Fetcher {
    /// The document at `url`, which a manifest names.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, String> {
        self.fetch(url, Reach::Any).await
    }

    /// The key set of an issuer that says where it is.
    pub(super) async fn discover(&self, issuer: &str) -> Result<Bytes, String> {
        #[derive(Deserialize)]
        struct Configuration {
            issuer: String,
            jwks_uri: String,
        }
        let base = issuer.strip_suffix('/').unwrap_or(issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.get(&url).await?;
        let said: Configuration =
            serde_json::from_slice(&document).map_err(|error| format!("{url}: {error}"))?;
        if said.issuer != issuer {
            return Err(format!("{url} is of another issuer, `{}`", said.issuer));
        }
        let reach = reach_of_keys(issuer, &said.jwks_uri)?;
        self.fetch(&said.jwks_uri, reach).await
    }

    async fn fetch(&self, url: &str, reach: Reach) -> Result<Bytes, String> {
        if !is_fetchable(url) {
            return Err(format!("{url} is not an https URL"));
        }
        match timeout(FETCH_TIMEOUT, self.exchange(url, reach)).await {
            Ok(answer) => answer.map_err(|reason| format!("{url}: {reason}")),
            Err(_) => Err(format!(
                "{url} did not answer within {} s",
                FETCH_TIMEOUT.as_secs()
            )),
        }
    }

    async fn exchange(&self, url: &str, reach: Reach) -> Result<Bytes, String> {
        let uri: Uri = url.parse().map_err(|_| "not a URL".to_owned())?;
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority().ok_or("there is no host in it")?;
        let host = bare(authority.host());
        let port = authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let request = Request::get(path)
            .header(HOST, authority.as_str())
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let stream = connect(host, port, reach).await?;
        if !is_tls {
            return ask(stream, request).await;
        }
        let tls = self.0.get_or_try_init(tls).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await;
        ask(stream.map_err(|error| error.to_string())?, request).await
    }
}

/// From where an issuer may have its keys fetched.
fn reach_of_keys(issuer: &str, jwks_uri: &str) -> Result<Reach, String> {
    let parse = |url: &str| {
        let parsed = url.parse::<Uri>();
        parsed.map_err(|_| format!("the issuer says that its keys are at `{url}`, which is no URL"))
    };
    let (issuer, keys) = (parse(issuer)?, parse(jwks_uri)?);
    if issuer.scheme() == Some(&Scheme::HTTPS) && keys.scheme() != Some(&Scheme::HTTPS) {
        return Err(format!(
            "the issuer says that its keys are at {jwks_uri}, which is not https"
        ));
    }
    let is_same = match (issuer.host(), keys.host()) {
        (Some(issuer), Some(keys)) => issuer.eq_ignore_ascii_case(keys),
        _ => false,
    };
    Ok(if is_same { Reach::Any } else { Reach::Public })
}

/// A host without the brackets of an address of version 6.
fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A connection to an address that was looked at: a name is resolved once.
async fn connect(host: &str, port: u16, reach: Reach) -> Result<TcpStream, String> {
    let addresses = lookup_host((host, port)).await;
    let mut reason = "the host has no address".to_owned();
    for address in addresses.map_err(|error| error.to_string())? {
        if reach == Reach::Public && !is_public(address.ip()) {
            reason = format!(
                "{} is an address of this machine or of its networks, which only a manifest may name",
                address.ip()
            );
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => reason = error.to_string(),
        }
    }
    Err(reason)
}

/// Whether everybody can reach an address.
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, ..] = address.octets();
    let is_shared = a == 100 && b & 0xc0 == 64;
    !(a == 0
        || a >= 240
        || is_shared
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Unspecified, loopback, and forms that hold an address of version 4.
        [0, 0, 0, 0, 0, 0, ..] => false,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        _ => {
            !(address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_multicast())
        }
    }
}

async fn tls() -> Result<TlsConnector, String> {
    let set_up = || {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_native_roots()
            .map_err(|error| format!("the machine's trusted certificates can't be read: {error}"))?
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    };
    let ended = tokio::task::spawn_blocking(set_up).await;
    ended.unwrap_or_else(|error| Err(error.to_string()))
}

/// Sends the request and reads the document.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Empty<Bytes>>,
) -> Result<Bytes, String> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| error.to_string())?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX);
        let whole = body.collect().await.map_err(|error| error.to_string())?;
        Ok(whole.to_bytes())
    };
    // The connection moves the bytes; when it ends, asking knows how.
    let moving = async {
        drop(connection.await);
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = asking => answer,
        () = moving => Err("the connection ended".to_owned()),
    }
}

/// What a file in the functions folder holds.
pub(super) async fn file(folder: PathBuf, path: PathBuf) -> Result<Bytes, String> {
    let read = move || read_file(&folder, &path, DOCUMENT_BYTES_MAX as u64);
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map(Bytes::from).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_neighbours_can_reach_is_not_public() {
        for near in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::7f00:1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fd00::1",
            "ff02::1",
        ] {
            assert!(!is_public(near.parse().unwrap()), "{near}");
        }
        for far in [
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1",
            "64:ff9b::808:808",
        ] {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn an_issuer_may_lead_to_itself_or_to_the_internet_and_never_out_of_tls() {
        let issuer = "https://issuer.example/tenant";
        let reach = |keys: &str| reach_of_keys(issuer, keys);
        assert_eq!(reach("https://ISSUER.example:8443/k"), Ok(Reach::Any));
        assert_eq!(reach("https://keys.example/k"), Ok(Reach::Public));
        for bad in [
            "http://127.0.0.1/k",
            "http://issuer.example/k",
            "/k",
            "not a url",
        ] {
            assert!(reach(bad).is_err(), "{bad}");
        }
        let here = reach_of_keys("http://127.0.0.1:1", "http://127.0.0.1:2/k");
        assert_eq!(here, Ok(Reach::Any));
    }

    #[tokio::test]
    async fn a_document_can_not_lead_to_this_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["127.0.0.1", "localhost"] {
            let refused = connect(host, port, Reach::Public).await.unwrap_err();
            assert!(refused.contains("of this machine"), "{refused}");
            connect("127.0.0.1", port, Reach::Any).await.unwrap();
        }
    }
}
