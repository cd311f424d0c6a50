//! One request over one connection, and what its answer means: success, or a refusal in the server's
//! words.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{ANSWER_BYTES_MAX, Answer, CONNECT_TIMEOUT, Client, ClientError, Key};

impl Client {
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let address = self.server.address;
        let connecting = timeout(CONNECT_TIMEOUT, TcpStream::connect(address));
        let Ok(Ok(stream)) = connecting.await else {
            return Err(ClientError::NoServer { address });
        };
        let exchange = async {
            match self.server.tls.clone() {
                None => self.exchange(stream, request).await,
                Some(name) => {
                    let connector = self.connector()?;
                    let stream = connector.connect(name, stream).await;
                    let stream = stream.map_err(|error| self.broken(&error))?;
                    self.exchange(stream, request).await
                }
            }
        };
        match timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(ClientError::Late {
                address,
                waited: patience,
            }),
        }
    }

    /// TLS with the certificates that this machine trusts, or those of `SSL_CERT_FILE`.
    pub(super) fn connector(&self) -> Result<TlsConnector, ClientError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| self.broken(&error))?
            .with_native_roots()
            .map_err(|error| self.broken(&error))?
            .with_no_client_auth();
        Ok(TlsConnector::from(Arc::new(config)))
    }

    async fn exchange(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, ClientError> {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(&error))?;
        let asking = async {
            let response = sender
                .send_request(request)
                .await
                .map_err(|e| self.broken(&e))?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX)
                .collect()
                .await
                .map_err(|error| self.broken(error.as_ref()))?
                .to_bytes();
            self.judge(head.status, head.headers, body)
        };
        // The connection moves the bytes; it is not done before the answer is.
        let moving = async {
            let ended = connection.await;
            std::future::pending::<()>().await;
            ended
        };
        tokio::select! {
            answer = asking => answer,
            ended = moving => Err(self.broken(&ended.err().map_or_else(String::new, |e| e.to_string()))),
        }
    }

    pub(super) fn judge(
        &self,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        if status.is_success() {
            return Ok(Answer { headers, body });
        }
        let refusal = serde_json::from_slice::<Refusal>(&body).unwrap_or_default();
        let error_type = headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok());
        let mut message = refusal
            .message
            .filter(|message| !message.is_empty())
            .unwrap_or_else(|| {
                let error_type = error_type.map_or_else(String::new, |text| format!(" ({text})"));
                format!(
                    "the server at {} answered with {status}{error_type}",
                    self.server.address
                )
            });
        if let Some("UnrecognizedClientException" | "InvalidSignatureException") = error_type {
            let Key { signer, found_in } = &self.key;
            message.push_str(&format!(
                " (the key {} is from {found_in})",
                signer.access_key_id
            ));
        }
        Err(ClientError::Refused { status, message })
    }

    pub(super) fn broken(&self, error: &(impl std::fmt::Display + ?Sized)) -> ClientError {
        ClientError::Broken {
            address: self.server.address,
            reason: error.to_string(),
        }
    }

    pub(super) fn unexpected(&self, error: &impl std::fmt::Display) -> ClientError {
        ClientError::Unexpected {
            address: self.server.address,
            reason: error.to_string(),
        }
    }
}

/// The body of an error answer.
#[derive(Debug, Default, Deserialize)]
struct Refusal {
    #[serde(alias = "Message")]
    message: Option<String>,
}
