//! Greets whom the body of a request names: the benchmark's work as a `wasi:http` component.
//!
//! Written to start and run as quickly as can be: raw bindings of `wasi:http` 0.2, which is served
//! faster than 0.3 by wasmtime 48; no standard library, so that nothing adapts WASI 0.1; the
//! allocator that suits; a length, so that the answer is one piece.

#![no_std]

extern crate alloc;

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

/// For an instance that serves one request: a part of the memory that the module begins with, so that
/// none is grown.
#[cfg(not(feature = "reused"))]
#[global_allocator]
static ALLOCATOR: emballoc::Allocator<{ 64 << 10 }> = emballoc::Allocator::new();

/// For one that serves many: quicker, and grows the memory once.
#[cfg(feature = "reused")]
#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// Most bytes that are read at once.
const READ_MAX: u64 = 64 << 10;

wasip2::http::proxy::export!(Hello);

struct Hello;

#[derive(Deserialize)]
struct Greeting<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Reply {
    message: String,
}

impl Guest for Hello {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let body = read(&request);
        let greeting: Greeting<'_> = serde_json::from_slice(&body).unwrap();
        let message = ["hello ", greeting.name].concat();
        write(answer, &serde_json::to_vec(&Reply { message }).unwrap());
    }
}

fn read(request: &IncomingRequest) -> Vec<u8> {
    let length = request.headers().get("content-length");
    let length = core::str::from_utf8(&length[0]).unwrap().parse().unwrap();
    let incoming = request.consume().unwrap();
    let stream = incoming.stream().unwrap();
    let mut body = Vec::new();
    while body.len() < length {
        body.extend(stream.blocking_read(READ_MAX).unwrap());
    }
    body
}

fn write(answer: ResponseOutparam, bytes: &[u8]) {
    let headers = Fields::new();
    let length = bytes.len().to_string();
    headers.append("content-type", b"application/json").unwrap();
    headers.append("content-length", length.as_bytes()).unwrap();
    let response = OutgoingResponse::new(headers);
    let body = response.body().unwrap();
    let stream = body.write().unwrap();
    stream.check_write().unwrap();
    stream.write(bytes).unwrap();
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
    ResponseOutparam::set(answer, Ok(response));
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
