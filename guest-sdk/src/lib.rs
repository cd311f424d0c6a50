//! What a Mayfly function is written with.
//!
//! A function is a plain Rust function with [`#[handler]`](handler) on it, in a library crate of
//! type `cdylib` that is built for `wasm32-wasip1`:
//!
//! ```
//! use mayfly_sdk::handler;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Deserialize)]
//! struct Greeting {
//!     name: String,
//! }
//!
//! #[derive(Serialize)]
//! struct Reply {
//!     message: String,
//! }
//!
//! #[handler]
//! fn hello(event: Greeting) -> Reply {
//!     Reply { message: format!("hello {}", event.name) }
//! }
//!
//! // The attribute leaves the function as it is, so a test just calls it.
//! let reply = hello(Greeting { name: "Ada".into() });
//! assert_eq!(reply.message, "hello Ada");
//! ```
//!
//! # What a handler may take
//!
//! Nothing, an event, a [`&Context`](Context), or an event and a `&Context`. The event is
//!
//! * any type that implements [`serde::Deserialize`]. It may borrow from the event, which saves
//!   copies: a `Cow<'_, str>` field with `#[serde(borrow)]`. An invocation without a payload is
//!   `null`, so `Option<T>` and `()` accept it;
//! * [`http::Request<B>`](http::Request), for functions behind an HTTP route. `B` is `Vec<u8>`,
//!   `String` or `()`. [`RequestExt`] finds query and path parameters.
//!
//! An event that does not fit is answered with the error `Runtime.BadEvent`, which says what was
//! wrong and where; the handler does not run.
//!
//! # What a handler may answer with
//!
//! * any type that implements [`serde::Serialize`];
//! * [`http::Response<B>`](http::Response) with `Vec<u8>`, `String`, `&'static str` or `()`;
//! * a `Result` of either. An `Err` is answered as `{"errorType": .., "errorMessage": ..}`. It may
//!   be [`Error`], any type that implements [`std::error::Error`], a box around one, or text.
//!
//! ```
//! use mayfly_sdk::http::{Request, Response, StatusCode};
//! use mayfly_sdk::{Error, RequestExt, handler};
//!
//! #[handler]
//! fn double(request: Request<()>) -> Result<Response<String>, Error> {
//!     let Some(text) = request.query("n") else {
//!         let mut response = Response::new("which number? add ?n=".to_owned());
//!         *response.status_mut() = StatusCode::BAD_REQUEST;
//!         return Ok(response);
//!     };
//!     let number: u32 = text.parse()?;
//!     Ok(Response::new((2 * number).to_string()))
//! }
//!
//! # fn main() -> Result<(), mayfly_sdk::Error> {
//! let request = Request::get("/double?n=21").body(())?;
//! assert_eq!(double(request)?.body(), "42");
//! # Ok(())
//! # }
//! ```
//!
//! # Async
//!
//! A handler may be an `async fn`. One thread runs it and nothing else, so it may await what is
//! ready or wakes itself. A future that waits for another thread or a timer is the error
//! `Runtime.Stuck`.
//!
//! # Preparing before the first event
//!
//! Every event gets a new sandbox, so what a function prepares is prepared again for each of them,
//! unless it is done in an `init` hook. `mayfly build` runs the hook and keeps the memory it leaves
//! behind in the artifact; every sandbox then starts from there. A module built without that step
//! runs the hook before its first event.
//!
//! ```
//! use std::sync::OnceLock;
//!
//! use mayfly_sdk::handler;
//!
//! static SQUARES: OnceLock<Vec<u32>> = OnceLock::new();
//!
//! fn prepare() {
//!     SQUARES.get_or_init(|| (0..1000).map(|n| n * n).collect());
//! }
//!
//! #[handler(init = prepare)]
//! fn square(n: usize) -> Option<u32> {
//!     SQUARES.get()?.get(n).copied()
//! }
//!
//! prepare();
//! assert_eq!(square(9), Some(81));
//! ```
//!
//! The hook must not use random numbers, clocks, environment variables or files: all sandboxes
//! would share what it saw, so the build refuses it. A `HashMap` draws random numbers when it is
//! made; use a `BTreeMap` there.
//!
//! # Logs and panics
//!
//! What a function prints, on stdout or stderr, is its log. A panic is printed and ends the
//! invocation as failed.

pub use http;
pub use mayfly_sdk_macros::handler;
pub use serde_json;

pub use crate::context::Context;
pub use crate::error::Error;
pub use crate::request::{
    HttpDescription, PathParameters, RequestBody, RequestContext, RequestExt,
};
pub use crate::response::ResponseBody;

mod context;
mod error;
mod event;
mod request;

mod answer;
mod response;

#[cfg(target_family = "wasm")]
mod abi;
mod executor;
mod runtime;

/// What the expansion of `#[handler]` calls. No part of the crate's interface.
#[doc(hidden)]
pub mod __private {
    #[cfg(target_family = "wasm")]
    pub use crate::abi::{InputBuffer, alloc, handle, init, initialize};
    pub use crate::answer::{PlainAnswer, Returned};
    pub use crate::error::Error;
    pub use crate::event::Input;
    pub use crate::executor::block_on;
    pub use crate::runtime::{Call, answer};
}
