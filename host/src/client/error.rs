//! Why a server gave no answer, or another one than was asked for, in words for whoever asked.

use std::net::SocketAddr;
use std::time::Duration;

use http::StatusCode;

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
    /// Our own disk or pipe did not take the answer.
    #[error("the answer of the server could not be written")]
    Unwritten(#[source] std::io::Error),
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
