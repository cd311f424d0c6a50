//! Posting a record to an address, signed.
//!
//! `x-mayfly-signature: t=UNIX,v1=HEX` has the HMAC-SHA256 of `UNIX.BODY`; the key is the text of the file
//! `webhook-secret` in the data directory, 64 hexadecimal digits without the end of the line. An answer of
//! the class 2xx means that the record was taken. Redirects are not followed.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use domain::RequestId;
use hmac::{Hmac, Mac as _};
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use sha2::Sha256;
use storage::WEBHOOK_SECRET;
use tokio::time::timeout;

use crate::auth::key_file::secret_at;
use crate::auth::secret::Secret;
use crate::outgoing::{Outgoing, Reach};

/// For one delivery, from the name to the last byte of the answer.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer's body that are read: nothing is made of them.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts records.
#[derive(Debug)]
pub(super) struct Poster {
    secret: Secret,
    outgoing: Outgoing,
}

/// What is posted.
#[derive(Debug)]
pub(super) struct Message<'a> {
    /// The delivery itself, over all attempts.
    pub(super) event: RequestId,
    /// The event whose end it tells.
    pub(super) request: Option<&'a str>,
    pub(super) unix_s: i64,
    pub(super) body: &'a Bytes,
}

impl Poster {
    /// With the secret of a data directory, which is made when there is none.
    pub(super) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(WEBHOOK_SECRET);
        let secret = secret_at(&path)
            .with_context(|| format!("the secret in {} can't be had", path.display()))?;
        Ok(Self {
            secret,
            outgoing: Outgoing::default(),
        })
    }

    /// Posts one record; the error has a status and a reason.
    pub(super) async fn post(&self, url: &str, message: &Message<'_>) -> Result<(), (u16, String)> {
        let request = self.request(url, message).map_err(|reason| (500, reason))?;
        let sending = self.outgoing.send(request, Reach::Any, ANSWER_BYTES_MAX);
        let answer = match timeout(POST_TIMEOUT, sending).await {
            Ok(answer) => answer.map_err(|reason| (503, reason))?,
            Err(_) => {
                let seconds = POST_TIMEOUT.as_secs();
                return Err((504, format!("no answer within {seconds} s")));
            }
        };
        match answer.status() {
            status if status.is_success() => Ok(()),
            status => {
                let code = status.as_u16();
                Err((code, format!("answered with status {code}")))
            }
        }
    }

    fn request(&self, url: &str, message: &Message<'_>) -> Result<Request<Full<Bytes>>, String> {
        let signature = self.signature(message.unix_s, message.body)?;
        let mut request = Request::post(url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("mayfly/", env!("CARGO_PKG_VERSION")))
            .header("x-mayfly-event-id", message.event.to_string())
            .header("x-mayfly-signature", signature);
        if let Some(id) = message.request
            && let Ok(id) = HeaderValue::from_str(id)
        {
            request = request.header("x-mayfly-request-id", id);
        }
        let request = request.body(Full::new(message.body.clone()));
        request.map_err(|error| error.to_string())
    }

    fn signature(&self, unix_s: i64, body: &[u8]) -> Result<String, String> {
        let key = self.secret.expose().as_bytes();
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|error| error.to_string())?;
        mac.update(format!("{unix_s}.").as_bytes());
        mac.update(body);
        let mut signature = format!("t={unix_s},v1=");
        for byte in mac.finalize().into_bytes() {
            write!(signature, "{byte:02x}").map_err(|error| error.to_string())?;
        }
        Ok(signature)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn a_signature_is_what_openssl_makes_of_it() {
        let poster = Poster {
            secret: Secret::new("secret".to_owned()),
            outgoing: Outgoing::default(),
        };
        // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(
            poster.signature(1_700_000_000, b"{\"a\":1}").unwrap(),
            "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686"
        );
    }

    #[test]
    fn the_secret_is_made_once_for_its_owner_alone_and_never_printed() {
        let root = tempfile::tempdir().unwrap();
        let first = Poster::open(root.path()).unwrap();
        let again = Poster::open(root.path()).unwrap();
        assert_eq!(first.secret, again.secret);
        let path = root.path().join(WEBHOOK_SECRET);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim_end(), first.secret.expose());
        assert_eq!(text.trim_end().len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(text.trim_end()));

        std::fs::write(&path, "short").unwrap();
        Poster::open(root.path()).unwrap_err();
    }
}
