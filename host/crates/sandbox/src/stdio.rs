//! The streams a guest gets: stdout that is captured, and streams that go to the log.
//!
//! Writes never block and never fail because something is full. Zero-length writes end here: the
//! engine's own adapter for streams would queue them without bound.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use domain::Clock;
use domain::limits::PAYLOAD_BYTES_MAX;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use crate::log::LogStream;
use crate::observed::Observed;

/// What a guest may write at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// What a `command` has written to stdout.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
    /// It wrote more than [`PAYLOAD_BYTES_MAX`]; what is beyond is not kept.
    pub(crate) too_large: bool,
}

/// Where a guest's stream goes.
#[derive(Debug, Clone)]
pub(crate) enum Sink {
    Answer(Arc<Mutex<Answer>>),
    Log {
        observed: Arc<Observed>,
        clock: Clock,
        stream: LogStream,
    },
}

/// An answer that is too large is certain to fail, so the guest is stopped at once.
#[derive(Debug, thiserror::Error)]
#[error("the answer is longer than {PAYLOAD_BYTES_MAX} bytes")]
pub(crate) struct AnswerTooLarge;

impl Sink {
    /// Takes what was written at once.
    pub(crate) fn take(&self, bytes: &[u8]) -> Result<(), AnswerTooLarge> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self {
            Self::Answer(answer) => {
                let mut answer = answer.lock();
                if answer.bytes.len() + bytes.len() > PAYLOAD_BYTES_MAX {
                    answer.too_large = true;
                    return Err(AnswerTooLarge);
                }
                answer.bytes.extend_from_slice(bytes);
            }
            Self::Log {
                observed,
                clock,
                stream,
            } => observed.write_log(*stream, bytes, clock),
        }
        Ok(())
    }
}

impl IsTerminal for Sink {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Sink {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait]
impl Pollable for Sink {
    async fn ready(&mut self) {}
}

impl OutputStream for Sink {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.take(&bytes)
            .map_err(|error| StreamError::Trap(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Sink {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(
            self.take(bytes)
                .map(|()| bytes.len())
                .map_err(io::Error::other),
        )
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
