//! Posting a record to an address, signed.
//!
//! An answer of the class 2xx means that the record was taken. Redirects are not followed. Knows nothing of
//! which addresses are allowed.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use domain::RequestId;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use tokio::time::timeout;

use super::super::destination::Origin;
use super::signing::{WebhookSecret, signature};
use crate::outgoing::{Outgoing, Reach};

/// For one delivery, from the name to the last byte of the answer.
const POST_TIMEOUT: Duration = Duration::from_secs(10);

/// Bytes of an answer's body that are read: nothing is made of them.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Posts records.
#[derive(Debug)]
pub(super) struct Poster {
    secret: WebhookSecret,
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
        Ok(Self {
            secret: WebhookSecret::open(data_dir)?,
            outgoing: Outgoing::default(),
        })
    }

    /// Posts one record to an address of `origin`; the error has a status and a reason.
    pub(super) async fn post(
        &self,
        url: &str,
        (origin, reach): (&Origin, Reach),
        message: &Message<'_>,
    ) -> Result<(), (u16, String)> {
        let request = self.request(url, origin, message);
        let request = request.map_err(|reason| (500, reason))?;
        let sending = self.outgoing.send(request, reach, ANSWER_BYTES_MAX);
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

    fn request(
        &self,
        url: &str,
        origin: &Origin,
        message: &Message<'_>,
    ) -> Result<Request<Full<Bytes>>, String> {
        let key = self.secret.key(origin)?;
        let signature = signature(&key, message.unix_s, message.event, message.body)?;
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
}
