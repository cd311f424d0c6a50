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
mod exchange;
mod invoke;
mod server;

use std::time::Duration;

use bytes::Bytes;
use domain::Clock;
use http::header::{CONTENT_TYPE, HOST, HeaderMap};
use http::{Method, Request};
use http_body_util::Full;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(crate) use self::error::ClientError;
pub(crate) use self::invoke::{Asked, Kind};
pub(crate) use self::server::Server;
use crate::auth::sigv4::{Signer, sign};

/// Where functions are.
pub(crate) const FUNCTIONS: &str = "/2015-03-31/functions";

/// Where IAM is asked; our client asks nothing else there.
const IAM_PATH: &str = "/";

/// For answers that the server has at hand.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// For code, which has to get there and is compiled before it is answered, and for what changes much.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(600);

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

    /// Sends JSON that has code in it or asks for what may take minutes, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn send_patiently<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        self.send_within(UPLOAD_TIMEOUT, method, path, body)
    }

    /// Posts `body`, which is JSON, as it is, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn post_body<T: DeserializeOwned>(
        &self,
        path: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let request = self.request(Method::POST, path, body, &[])?;
        let answer = self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        serde_json::from_slice(&answer.body).map_err(|error| self.unexpected(&error))
    }

    /// Posts `body` with a content type of its own, and reads the answer as a `T`.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub(crate) fn post_as<T: DeserializeOwned>(
        &self,
        path_and_query: &str,
        content_type: &str,
        body: Bytes,
    ) -> Result<T, ClientError> {
        let headers = [("content-type", content_type)];
        let request = self.request(Method::POST, path_and_query, body, &headers)?;
        let answer = self.runtime.block_on(self.send(request, ANSWER_TIMEOUT))?;
        serde_json::from_slice(&answer.body).map_err(|error| self.unexpected(&error))
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
            .header(HOST, &self.server.authority);
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
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
