//! Which server is asked: its address, its name, and whether it speaks TLS.

use std::net::{SocketAddr, ToSocketAddrs as _};

use rustls::pki_types::ServerName;

use super::ClientError;

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    pub(super) address: SocketAddr,
    /// For the `Host` header.
    pub(super) authority: String,
    /// The name that its certificate must be for, when it speaks TLS.
    pub(super) tls: Option<ServerName<'static>>,
}

impl From<SocketAddr> for Server {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            authority: address.to_string(),
            tls: None,
        }
    }
}

impl Server {
    /// Whether it is no server but a wish for any free port.
    pub(crate) fn is_any_port(&self) -> bool {
        self.address.port() == 0
    }

    /// The server of an `endpoint_url`; its name is looked up.
    ///
    /// # Errors
    ///
    /// [`ClientError::Endpoint`].
    pub(crate) fn of_url(url: &str) -> Result<Self, ClientError> {
        let wrong = |reason: &str| ClientError::Endpoint {
            url: url.to_owned(),
            reason: reason.to_owned(),
        };
        let uri: http::Uri = url.parse().map_err(|_| wrong("it is not a URL"))?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong("it must be http://HOST:PORT or https://HOST:PORT")),
        };
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(wrong("it must end after the port"));
        }
        let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
        let host = authority.host();
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let usual_port = if is_tls { 443 } else { 80 };
        let tls = is_tls
            .then(|| ServerName::try_from(bare.to_owned()))
            .transpose()
            .map_err(|error| wrong(&error.to_string()))?;
        let mut addresses = (bare, authority.port_u16().unwrap_or(usual_port))
            .to_socket_addrs()
            .map_err(|error| wrong(&error.to_string()))?;
        let address = addresses.next();
        Ok(Self {
            address: address.ok_or_else(|| wrong("its host has no address"))?,
            authority: authority.as_str().to_owned(),
            tls,
        })
    }
}
