//! Gets documents of issuers: by HTTPS, by HTTP from this machine, or from a file.
//!
//! One request, one connection, bounded in time and bytes; redirects are not followed. Errors are
//! texts, for the operator's log.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::crypto::aws_lc_rs;
use serde::Deserialize;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::manifest::route_rules::is_fetchable;
use crate::registry::read_file::read_file;

/// Largest document, in bytes. The key sets of large issuers have about 5 KB.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// For one document, from the name to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

type HttpsClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// A client, made when it is needed first: it reads the machine's trusted certificates.
#[derive(Debug, Default)]
pub(super) struct Fetcher(OnceCell<HttpsClient>);

impl Fetcher {
    /// The document at `url`.
    pub(super) async fn get(&self, url: &str) -> Result<Bytes, String> {
        if !is_fetchable(url) {
            return Err(format!("{url} is not an https URL"));
        }
        match timeout(FETCH_TIMEOUT, self.exchange(url)).await {
            Ok(answer) => answer.map_err(|reason| format!("{url}: {reason}")),
            Err(_) => Err(format!(
                "{url} did not answer within {} s",
                FETCH_TIMEOUT.as_secs()
            )),
        }
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
        self.get(&said.jwks_uri).await
    }

    async fn exchange(&self, url: &str) -> Result<Bytes, String> {
        let client = self.0.get_or_try_init(client).await?;
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .body(Empty::new())
            .map_err(|error| error.to_string())?;
        let response = client.request(request).await.map_err(|error| {
            // The error itself says only in which phase.
            let cause = std::error::Error::source(&error);
            cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
        })?;
        if response.status() != StatusCode::OK {
            return Err(format!("status {}", response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), DOCUMENT_BYTES_MAX);
        let whole = body.collect().await.map_err(|error| error.to_string())?;
        Ok(whole.to_bytes())
    }
}

async fn client() -> Result<HttpsClient, String> {
    let connector = tokio::task::spawn_blocking(|| {
        let provider = Arc::new(aws_lc_rs::default_provider());
        HttpsConnectorBuilder::new().with_provider_and_native_roots(provider)
    });
    let connector = connector
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("the machine's trusted certificates can't be read: {error}"))?;
    let connector = connector.https_or_http().enable_http1().build();
    Ok(Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector))
}

/// What a file in the functions folder holds.
pub(super) async fn file(folder: PathBuf, path: PathBuf) -> Result<Bytes, String> {
    let read = move || read_file(&folder, &path, DOCUMENT_BYTES_MAX as u64);
    match tokio::task::spawn_blocking(read).await {
        Ok(read) => read.map(Bytes::from).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}
