//! The bodies of control answers: most are whole, some are sent piece by piece while they are made.
//!
//! Knows nothing of what is in them.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::Response;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::http::error::HttpResponse;

/// Pieces that wait for the connection. More would be memory that a slow reader holds.
const PIECES_MAX: usize = 4;

/// Bytes that are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// A control answer.
pub(crate) type ApiResponse = Response<ApiBody>;

/// A control answer's body.
#[derive(Debug)]
pub(crate) enum ApiBody {
    /// All of it.
    Whole(Full<Bytes>),
    /// What comes out of a channel, until its other end is dropped.
    Stream(mpsc::Receiver<Piece>),
}

/// A part of a streamed body, or that there will be no more of what should have come.
pub(crate) type Piece = Result<Bytes, Cut>;

/// A streamed answer ended before its end. The connection is closed then, so that its reader does not
/// take what came for everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer was cut")]
pub(crate) struct Cut;

/// A body that is sent while it is made, and where to put its pieces. The sender fails when the reader
/// has left; dropping it ends the body.
pub(super) fn stream() -> (mpsc::Sender<Piece>, ApiBody) {
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    (sender, ApiBody::Stream(receiver))
}

/// An answer that is whole.
pub(super) fn whole(response: HttpResponse) -> ApiResponse {
    response.map(ApiBody::Whole)
}

impl Body for ApiBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(context)
                .map_err(|never: Infallible| match never {}),
            Self::Stream(pieces) => pieces
                .poll_recv(context)
                .map(|piece| piece.map(|piece| piece.map(Frame::data))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Stream(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}

/// Sends what is written to it, in pieces. Not for threads that serve: a slow reader makes it wait.
pub(super) struct Pieces {
    pieces: mpsc::Sender<Piece>,
    waiting: BytesMut,
}

impl Pieces {
    pub(super) fn new(pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            pieces,
            waiting: BytesMut::new(),
        }
    }

    /// Ends the answer before its end. Not for threads that serve.
    pub(super) fn cut(self) {
        drop(self.pieces.blocking_send(Err(Cut)));
    }

    fn send(&mut self, piece: Bytes) -> io::Result<()> {
        let sent = self.pieces.blocking_send(Ok(piece));
        sent.map_err(|_| io::Error::new(io::ErrorKind::BrokenPipe, "the client left"))
    }
}

impl io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.waiting.extend_from_slice(bytes);
        while self.waiting.len() >= PIECE_BYTES {
            let piece = self.waiting.split_to(PIECE_BYTES).freeze();
            self.send(piece)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        let rest = self.waiting.split().freeze();
        if rest.is_empty() {
            Ok(())
        } else {
            self.send(rest)
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn a_stream_is_its_pieces_and_ends_with_its_sender() {
        let (sender, body) = stream();
        assert_eq!(body.size_hint().exact(), None);
        let (_, collected) = tokio::join!(
            async move {
                for piece in ["one ", "two ", "three"] {
                    sender.send(Ok(Bytes::from(piece))).await.unwrap();
                }
            },
            body.collect()
        );
        assert_eq!(collected.unwrap().to_bytes(), "one two three");
    }

    #[tokio::test]
    async fn a_cut_stream_is_an_error_and_a_gone_reader_is_one_for_the_sender() {
        let (sender, body) = stream();
        sender.send(Ok(Bytes::from("half"))).await.unwrap();
        sender.send(Err(Cut)).await.unwrap();
        assert_eq!(body.collect().await.unwrap_err(), Cut);
        sender.send(Ok(Bytes::new())).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_whole_body_says_how_long_it_is() {
        let body = ApiBody::Whole(Full::new(Bytes::from("all")));
        assert_eq!(body.size_hint().exact(), Some(3));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "all");
    }
}
