//! Gets documents of issuers: by HTTPS, by HTTP from this machine, or from a file.
//!
//! A document is bounded in time and bytes. A host that only a document names must not be of this machine
//! or of its networks: what the operator did not name is not to be asked from in here. Errors are texts,
//! for the operator's log.

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use http::header::ACCEPT;
use http::uri::Scheme;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use serde::Deserialize;
use tokio::time::timeout;

use crate::manifest::route_rules::is_fetchable;
use crate::outgoing::{Outgoing, Reach};
use crate::registry::read_file::read_file;

/// Largest document, in bytes. The key sets of large issuers have about 5 KB.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// For one document, from the name to the last byte.
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches documents.
#[derive(Debug, Default)]
pub(super) struct Fetcher(Outgoing);

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
        let request = Request::get(url)
            .header(ACCEPT, "application/json")
            .body(Full::default())
            .map_err(|_| "not a URL".to_owned())?;
        let response = self.0.send(request, reach, DOCUMENT_BYTES_MAX).await?;
        match response.status() {
            StatusCode::OK => response.into_body(),
            status => Err(format!("status {}", status.as_u16())),
        }
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
}
