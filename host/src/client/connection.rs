//! Connections to the server, with TLS or without.
//!
//! Knows nothing of what is asked.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{Client, ClientError};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection for one request; closed when it is dropped.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Moves the bytes. How it ended shows where they are waited for.
    moving: JoinHandle<hyper::Result<()>>,
}

impl Connection {
    async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> hyper::Result<Self> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        Ok(Self {
            sender,
            moving: tokio::spawn(connection),
        })
    }

    /// The head of the answer; its body follows while this lives.
    pub(super) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        self.sender.send_request(request).await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.moving.abort();
    }
}

impl Client {
    /// Connects to the server.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoServer`] when nobody listens, [`ClientError::Late`] or [`ClientError::Broken`]
    /// when it is not the server that we look for.
    pub(super) async fn connect(&self) -> Result<Connection, ClientError> {
        let address = self.server.address;
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let Ok(Ok(stream)) = connecting.await else {
            return Err(ClientError::NoServer { address });
        };
        let connected = match self.server.tls.clone() {
            None => Connection::over(stream).await,
            Some(name) => {
                let greeting = self.connector()?.connect(name, stream);
                let greeted = timeout(CONNECT_TIMEOUT, greeting).await;
                let stream = greeted.map_err(|_| self.late(CONNECT_TIMEOUT))?;
                Connection::over(stream.map_err(|error| self.broken(&error))?).await
            }
        };
        connected.map_err(|error| self.broken(&error))
    }

    /// TLS with the certificates that this machine trusts, or those of `SSL_CERT_FILE`.
    fn connector(&self) -> Result<TlsConnector, ClientError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.broken(&error))?
            .with_native_roots()
            .map_err(|error| self.broken(&error))?
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }
}
