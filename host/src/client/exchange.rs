//! One request over one connection, and what its answer means: success, or a refusal in the server's
//! words.

use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use tokio::time::timeout;

use super::{ANSWER_BYTES_MAX, Answer, Client, ClientError, Key};

impl Client {
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Answer, ClientError> {
        let mut connection = self.connect().await?;
        let exchange = async {
            let response = connection.send(request).await;
            let (head, body) = response.map_err(|error| self.broken(&error))?.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.broken(error.as_ref()))?;
            self.judge(head.status, head.headers, body.to_bytes())
        };
        match timeout(patience, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(self.late(patience)),
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

    pub(super) fn late(&self, waited: Duration) -> ClientError {
        ClientError::Late {
            address: self.server.address,
            waited,
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
