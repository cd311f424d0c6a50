//! Talks to the control API of a running server, for the commands that ask one.
//!
//! One request, one connection, bounded in time and in size. Blocking from outside: a command has
//! nothing else to do while it waits.
//!
//! Every request is signed. Knows nothing of what the answers mean; each command has its own types for
//! them.

mod download;

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::ConfigBuilderExt as _;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use domain::Clock;

use crate::auth::sigv4::{Signer, sign};

/// Where functions are.
pub(crate) const FUNCTIONS: &str = "/2015-03-31/functions";

/// Where IAM is asked; our client asks nothing else there.
const IAM_PATH: &str = "/";

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// For answers that the server has at hand.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// For code, which has to get there and is compiled before it is answered.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

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

/// Whom to ask.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    address: SocketAddr,
    /// For the `Host` header.
    authority: String,
    /// The name that its certificate must be for, when it speaks TLS.
    tls: Option<ServerName<'static>>,
}

/// What requests are signed with.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) signer: Signer,
    /// Where it was found, for whoever is refused with it.
    pub(crate) found_in: String,
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

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// No thread or file descriptor could be had for the connection.
    #[error("preparing a connection failed")]
    Runtime(#[source] std::io::Error),
    /// Nobody listens.
    #[error(
        "no Mayfly server answers at {address}; start one with `mayfly dev` or `mayfly serve`, or say where with --control"
    )]
    NoServer {
        /// Where we looked.
        address: SocketAddr,
    },
    /// Someone listens, and did not answer in time.
    #[error("the server at {address} did not answer within {} s", waited.as_secs())]
    Late {
        /// Whom we asked.
        address: SocketAddr,
        /// For how long.
        waited: Duration,
    },
    /// What the credentials file says of the server can't be used.
    #[error("endpoint_url {url} can't be used: {reason}")]
    Endpoint {
        /// As written.
        url: String,
        /// What does not fit.
        reason: String,
    },
    /// A request that can't be signed.
    #[error("the request can't be signed with the key from {found_in}")]
    Unsigned {
        /// Where the key is from.
        found_in: String,
    },
    /// The connection broke, or the answer was not HTTP.
    #[error("talking to the server at {address} failed: {reason}")]
    Broken {
        /// Whom we asked.
        address: SocketAddr,
        /// What happened.
        reason: String,
    },
    /// The server said no; its message is for whoever reads it.
    #[error("{message}")]
    Refused {
        /// The HTTP status.
        status: StatusCode,
        /// The server's words.
        message: String,
    },
    /// The answer is not what this version of Mayfly expects.
    #[error(
        "the server at {address} answered with something else than expected ({reason}); is it a Mayfly server of version {}?",
        env!("CARGO_PKG_VERSION")
    )]
    Unexpected {
        /// Whom we asked.
        address: SocketAddr,
        /// What does not fit.
        reason: String,
    },
}

/// What Invoke is asked for.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    /// The function in any spelling: a name, a name with a qualifier, an ARN.
    pub(crate) function: &'a str,
    /// A version or an alias.
    pub(crate) qualifier: Option<&'a str>,
    /// Whether the end of the log is to come along.
    pub(crate) with_log: bool,
    /// Whether it is only asked if it could run.
    pub(crate) dry_run: bool,
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
        self.send_within(ANSWER_TIMEOUT, method, path, body)
    }

    /// Sends JSON with code in it, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn upload<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        self.send_within(UPLOAD_TIMEOUT, method, path, body)
    }

    fn send_within<T: DeserializeOwned>(
        &self,
        patience: Duration,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        let body = Bytes::from(body.to_string());
        let request = self.request(method.clone(), path, body, &[])?;
        let answer = self.runtime.block_on(self.send(request, patience))?;
        serde_json::from_slice(&answer.body).map_err(|error| self.unexpected(&error))
    }

    /// Deletes what is at `path_and_query`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn delete(&self, path_and_query: &str) -> Result<(), ClientError> {
        let request = self.request(Method::DELETE, path_and_query, Bytes::new(), &[])?;
        self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        Ok(())
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
        let scheme = match self.server.tls {
            Some(_) => "https",
            None => "http",
        };
        format!("{scheme}://{}", self.server.authority)
    }

    /// Runs a function on an event and waits for its answer.
    ///
    /// # Errors
    ///
    /// [`ClientError`] when it did not run. A function that ran and failed is not an error here.
    pub(crate) fn invoke(&self, asked: &Asked<'_>, event: Bytes) -> Result<Invoked, ClientError> {
        let qualifier = query(&[("Qualifier", asked.qualifier.map(str::to_owned))]);
        let function = encode(asked.function);
        let path = format!("{FUNCTIONS}/{function}/invocations{qualifier}");
        let log = if asked.with_log { "Tail" } else { "None" };
        let kind = if asked.dry_run {
            "DryRun"
        } else {
            "RequestResponse"
        };
        let headers = [("x-amz-log-type", log), ("x-amz-invocation-type", kind)];
        let request = self.request(Method::POST, &path, event, &headers)?;
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

/// A query from the pairs that have a value, such as `?a=1&b=2`; empty without one.
pub(crate) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        let Some(value) = value else { continue };
        query.push(if query.is_empty() { '?' } else { '&' });
        query.push_str(name);
        query.push('=');
        query.push_str(&encode(value));
    }
    query
}

/// Text percent-encoded, all but letters, digits and `-._~`.
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
