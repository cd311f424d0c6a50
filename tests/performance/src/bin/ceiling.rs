//! The ceiling: what hyper alone does with the work of the benchmark.
//!
//! Reads the same body, parses the same JSON, writes the same bytes as Mayfly does, on the same kind
//! of runtime, built with the same profile. No routing, no event, no sandbox, no limits, no records:
//! nothing that answers over HTTP in this stack can cost less.

use std::convert::Infallible;
use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderName, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};

/// The header that Mayfly adds to every answer, and an id of the right length.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const ANY_ID: HeaderValue = HeaderValue::from_static("01999999-9999-7999-8999-999999999999");

#[derive(Deserialize)]
struct Greeting<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Reply {
    message: String,
}

fn main() -> anyhow::Result<()> {
    let address = std::env::args().nth(1).context("usage: ceiling ADDRESS")?;
    let address: SocketAddr = address.parse()?;
    // As the server's workers: one thread for each core that it may use.
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores)
        .enable_all()
        .build()?
        .block_on(async {
            let listener = TcpListener::bind(address).await?;
            tokio::spawn(serve(listener)).await?
        })
}

async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

async fn connection(stream: TcpStream) {
    // A failure means that the peer is gone already, and so does one of the connection.
    drop(stream.set_nodelay(true));
    let serving = http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
    drop(serving.await);
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut response = match request.into_body().collect().await {
        Ok(body) => greet(&body.to_bytes()),
        Err(_) => empty(StatusCode::BAD_REQUEST),
    };
    response.headers_mut().insert(REQUEST_ID, ANY_ID);
    Ok(response)
}

fn greet(body: &[u8]) -> Response<Full<Bytes>> {
    let Ok(greeting) = serde_json::from_slice::<Greeting<'_>>(body) else {
        return empty(StatusCode::BAD_REQUEST);
    };
    let message = ["hello ", greeting.name].concat();
    let Ok(reply) = serde_json::to_vec(&Reply { message }) else {
        return empty(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut response = Response::new(Full::from(reply));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

fn empty(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
