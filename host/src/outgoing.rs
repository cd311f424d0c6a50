//! Requests to other servers: one connection for each, bounded in bytes, no redirects.
//!
//! Who asks bounds the time. Knows nothing of what is asked for. Errors are texts, for the operator.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;

/// An answer: its body may have been too long, or broken off, when its status is known.
pub(crate) type Answer = Response<Result<Bytes, String>>;

/// TLS, set up when it is needed first: that reads the machine's trusted certificates.
#[derive(Default)]
pub(crate) struct Outgoing(OnceCell<TlsConnector>);

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outgoing").finish_non_exhaustive()
    }
}

/// Which addresses a host may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// Any: the operator or a manifest names that very host.
    Any,
    /// Those that everybody can reach.
    Public,
}

impl Outgoing {
    /// Sends a request whose URI is `http://…` or `https://…`; of the answer's body at most
    /// `body_bytes_max` are read.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(crate) async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        reach: Reach,
        body_bytes_max: usize,
    ) -> Result<Answer, String> {
        let uri = request.uri().clone();
        let is_tls = uri.scheme() == Some(&Scheme::HTTPS);
        let authority = uri.authority().ok_or("there is no host in it")?;
        let host = bare(authority.host());
        let port = authority
            .port_u16()
            .unwrap_or(if is_tls { 443 } else { 80 });
        let name = HeaderValue::from_str(authority.as_str()).map_err(|error| error.to_string())?;
        request.headers_mut().insert(HOST, name);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() = path.parse::<Uri>().map_err(|error| error.to_string())?;

        let stream = connect(host, port, reach).await?;
        if !is_tls {
            return ask(stream, request, body_bytes_max).await;
        }
        let tls = self.0.get_or_try_init(tls).await?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await;
        let stream = stream.map_err(|error| error.to_string())?;
        ask(stream, request, body_bytes_max).await
    }
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
                "{} is an address of this machine or of its networks, which must be named as such to be reached",
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

/// Where a machine in Azure finds what runs it; the only such address that is not of a private network.
const AZURE_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_shared = a == 100 && b & 0xc0 == 64;
    // Protocol assignments, and networks for benchmarks. Some clouds tell secrets at an address of the first.
    let is_special = (a, b, c) == (192, 0, 0) || (a == 198 && b & 0xfe == 18);
    !(a == 0
        || a >= 240
        || is_shared
        || is_special
        || address == AZURE_PLATFORM
        || address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast())
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Unspecified, loopback, and forms that hold an address of version 4.
        [0, 0, 0, 0, 0, 0, ..] => false,
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            let [a, b] = high.to_be_bytes();
            let [c, d] = low.to_be_bytes();
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // A translation of the network's own, Teredo, and site-local addresses of old.
        [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..] | [0xfec0..=0xfeff, ..] => false,
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

/// Sends the request and reads the answer.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
    body_bytes_max: usize,
) -> Result<Answer, String> {
    let handshake = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| error.to_string())?;
    let asking = async {
        let response = sender.send_request(request).await;
        let (head, body) = response.map_err(|error| error.to_string())?.into_parts();
        let whole = Limited::new(body, body_bytes_max).collect().await;
        let body = whole.map(http_body_util::Collected::to_bytes);
        Ok(Response::from_parts(
            head,
            body.map_err(|error| error.to_string()),
        ))
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
            "64:ff9b:1::808:808",
            "2002:7f00:1::1",
            "2001:0:1::1",
            "fec0::1",
            "192.0.0.192",
            "198.19.0.1",
            "168.63.129.16",
            "fd00:ec2::254",
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
            "2002:808:808::1",
        ] {
            assert!(is_public(far.parse().unwrap()), "{far}");
        }
    }

    #[tokio::test]
    async fn a_document_can_not_lead_to_this_machine() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        // The last one is no address as it is written, and is resolved to one.
        for host in ["127.0.0.1", "localhost", "127.1"] {
            let refused = connect(host, port, Reach::Public).await.unwrap_err();
            assert!(refused.contains("of this machine"), "{refused}");
            connect("127.0.0.1", port, Reach::Any).await.unwrap();
        }
    }
}
