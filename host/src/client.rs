//! Talks to the control API of a running server, for the commands that ask one.
//!
//! One request, one connection, bounded in time and in size. Blocking from outside: a command has
//! nothing else to do while it waits.
//!
//! Every request is signed. Knows nothing of what the answers mean; each command has its own types for
//! them.

mod connection;
mod download;
mod error;
mod query;
mod server;

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::time::timeout;

use domain::{Clock, FunctionName};

use crate::auth::sigv4::{Signer, sign};

pub(crate) use error::ClientError;
pub(crate) use query::{encode, query};
pub(crate) use server::Server;

/// Where IAM is asked; our client asks nothing else there.
const IAM_PATH: &str = "/";

/// For answers that the server has at hand.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// The longest a function may run, and time to spare.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(960);

/// Bytes of an answer that are read before we give up; a long ledger as JSON is large.
const ANSWER_BYTES_MAX: usize = 1 << 30;

/// A way to ask the server at one address.
#[derive(Debug)]
pub(crate) struct Client {
    server: Server,
    key: Key,
    clock: Clock,
    runtime: tokio::runtime::Runtime,
}

/// What requests are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) signer: Signer,
    /// Where it was found, for whoever is refused with it.
    pub(crate) found_in: String,
}

/// What Invoke answered with.
#[derive(Debug)]
pub(crate) struct Invoked {
    /// The function's answer, or its error object.
    pub(crate) payload: Bytes,
    /// `X-Amz-Function-Error`, when the function failed.
    pub(crate) function_error: Option<String>,
    /// `X-Amz-Log-Result` as it came, in base64, when it was asked for.
    pub(crate) log_base64: Option<String>,
}

/// An answer with a status that means success.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Client {
    /// Prepares to ask a server; nothing is sent yet.
    ///
    /// # Errors
    ///
    /// [`ClientError::Runtime`].
    pub(crate) fn new(server: Server, key: Key) -> Result<Self, ClientError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(ClientError::Runtime)?;
        Ok(Self {
            server,
            key,
            clock: Clock::system(),
            runtime,
        })
    }

    /// The JSON text at `path_and_query`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn get_text(&self, path_and_query: &str) -> Result<String, ClientError> {
        let request = self.request(Method::GET, path_and_query, Bytes::new(), &[])?;
        let answer = self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        String::from_utf8(answer.body.into()).map_err(|error| self.unexpected(&error))
    }

    /// The JSON at `path_and_query`, read as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn get<T: DeserializeOwned>(&self, path_and_query: &str) -> Result<T, ClientError> {
        let text = self.get_text(path_and_query)?;
        serde_json::from_str(&text).map_err(|error| self.unexpected(&error))
    }

    /// Sends JSON, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn send_json<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        let body = Bytes::from(body.to_string());
        let request = self.request(method.clone(), path, body, &[])?;
        let answer = self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        serde_json::from_slice(&answer.body).map_err(|error| self.unexpected(&error))
    }

    /// Posts to `path_and_query`, without a body; the JSON that comes back, read as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn post<T: DeserializeOwned>(&self, path_and_query: &str) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path_and_query, Bytes::new(), &[])?;
        let answer = self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        serde_json::from_slice(&answer.body).map_err(|error| self.unexpected(&error))
    }

    /// The answer to an operation of IAM.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn iam<T: DeserializeOwned>(
        &self,
        action: &str,
        parameters: &Value,
    ) -> Result<T, ClientError> {
        let mut parameters = parameters.clone();
        parameters["Action"] = action.into();
        self.send_json(&Method::POST, IAM_PATH, &parameters)
    }

    /// All items of a list of IAM, which comes in pages.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn iam_list(
        &self,
        action: &str,
        list: &str,
        parameters: &Value,
    ) -> Result<Vec<Value>, ClientError> {
        let mut parameters = parameters.clone();
        parameters["MaxItems"] = "1000".into();
        let mut items = Vec::new();
        loop {
            let mut page: Value = self.iam(action, &parameters)?;
            match page[list].take() {
                Value::Array(more) => items.extend(more),
                _ => return Err(self.unexpected(&format!("there is no {list}"))),
            }
            match page["Marker"].take() {
                Value::Null => return Ok(items),
                marker => parameters["Marker"] = marker,
            }
        }
    }

    /// The region that requests are signed for.
    pub(crate) fn region(&self) -> &str {
        &self.key.signer.region
    }

    /// Where the server is.
    pub(crate) fn endpoint_url(&self) -> String {
        let scheme = if self.server.tls.is_some() {
            "https"
        } else {
            "http"
        };
        format!("{scheme}://{}", self.server.authority)
    }

    /// Runs a function on an event and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when it did not run. A function that ran and failed is not an error here.
    pub(crate) fn invoke(
        &self,
        function: &FunctionName,
        event: Bytes,
        with_log: bool,
    ) -> Result<Invoked, ClientError> {
        let path = format!("/2015-03-31/functions/{function}/invocations");
        let log = if with_log { "Tail" } else { "None" };
        let request = self.request(Method::POST, &path, event, &[("x-amz-log-type", log)])?;
        let answer = self.runtime.block_on(self.send(request, INVOKE_TIMEOUT))?;
        let header = |name: &str| {
            answer
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        Ok(Invoked {
            function_error: header("x-amz-function-error"),
            log_base64: header("x-amz-log-result"),
            payload: answer.body,
        })
    }

    /// Lets `time` pass.
    pub(crate) fn wait(&self, time: Duration) {
        // The timer must be made inside the runtime.
        self.runtime
            .block_on(async { tokio::time::sleep(time).await });
    }

    fn request(
        &self,
        method: Method,
        path_and_query: &str,
        body: Bytes,
        headers: &[(&str, &str)],
    ) -> Result<Request<Full<Bytes>>, ClientError> {
        let mut builder = Request::builder()
            .method(method)
            .uri(path_and_query)
            .header(HOST, &self.server.authority)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(()).map_err(|error| self.broken(&error))?;
        let (mut parts, ()) = request.into_parts();
        let service = if path_and_query.starts_with("/mayfly/") {
            "mayfly"
        } else if path_and_query == IAM_PATH {
            "iam"
        } else {
            "lambda"
        };
        let now_s = self.clock.unix_us().div_euclid(1_000_000);
        sign(&mut parts, &body, &self.key.signer, service, now_s).ok_or_else(|| {
            ClientError::Unsigned {
                found_in: self.key.found_in.clone(),
            }
        })?;
        Ok(Request::from_parts(parts, Full::new(body)))
    }

    async fn send(
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

    fn judge(
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

    fn broken(&self, error: &(impl std::fmt::Display + ?Sized)) -> ClientError {
        ClientError::Broken {
            address: self.server.address,
            reason: error.to_string(),
        }
    }

    fn late(&self, waited: Duration) -> ClientError {
        ClientError::Late {
            address: self.server.address,
            waited,
        }
    }

    fn unexpected(&self, error: &impl std::fmt::Display) -> ClientError {
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

#[cfg(test)]
mod tests;
