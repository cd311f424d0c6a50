//! Answers that are too large for memory: written as they come.

use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http_body_util::{BodyExt as _, Limited};
use tokio::time::timeout;

use super::{ANSWER_TIMEOUT, Client, ClientError};

/// Between two pieces of an answer.
const PIECE_TIMEOUT: Duration = Duration::from_secs(60);

/// Bytes of an error that are read.
const ERROR_BYTES_MAX: usize = 1 << 20;

impl Client {
    /// Writes the answer at `path_and_query` to `out`, and says how many bytes it was.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; `out` may hold a part of the answer then.
    pub(crate) fn download(
        &self,
        path_and_query: &str,
        out: &mut impl Write,
    ) -> Result<u64, ClientError> {
        self.runtime.block_on(self.fetch(path_and_query, out))
    }

    async fn fetch(&self, path_and_query: &str, out: &mut impl Write) -> Result<u64, ClientError> {
        let request = self.request(Method::GET, path_and_query, Bytes::new(), &[])?;
        let mut connection = self.connect().await?;
        let answered = timeout(ANSWER_TIMEOUT, connection.send(request)).await;
        let response = answered
            .map_err(|_| self.late(ANSWER_TIMEOUT))?
            .map_err(|error| self.broken(&error))?;
        let (head, mut body) = response.into_parts();
        if !head.status.is_success() {
            let limited = Limited::new(body, ERROR_BYTES_MAX).collect();
            let collected = timeout(PIECE_TIMEOUT, limited).await;
            let body = collected
                .map_err(|_| self.late(PIECE_TIMEOUT))?
                .map_err(|error| self.broken(error.as_ref()))?;
            self.judge(head.status, head.headers, body.to_bytes())?;
            return Ok(0);
        }
        let mut bytes = 0_u64;
        loop {
            let frame = timeout(PIECE_TIMEOUT, body.frame()).await;
            let Some(frame) = frame.map_err(|_| self.late(PIECE_TIMEOUT))? else {
                return Ok(bytes);
            };
            let frame = frame.map_err(|error| self.broken(&error))?;
            if let Ok(piece) = frame.into_data() {
                out.write_all(&piece).map_err(ClientError::Unwritten)?;
                bytes += piece.len() as u64;
            }
        }
    }
}
