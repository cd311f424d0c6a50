//! Every shape a handler may have compiles, and stays a plain function that a test can call.
//!
//! What happens between bytes and bytes is tested beside the code that does it; how the exports
//! behave is tested with modules that are really built for wasm.
#![expect(clippy::needless_pass_by_value, reason = "events come by value")]

use std::borrow::Cow;
use std::error::Error as StdError;
use std::future::ready;

use mayfly_sdk::http::{Request, Response};
use mayfly_sdk::{Context, Error, handler};
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Deserialize, Serialize)]
struct Order<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[handler]
fn nothing_at_all() {}

#[handler]
fn event_only(event: u32) -> u32 {
    event + 1
}

#[handler]
fn context_only(context: &Context) -> String {
    context.request_id().to_owned()
}

#[handler]
pub(crate) fn event_and_context(event: Vec<String>, context: &Context) -> (usize, u32) {
    (event.len(), context.memory_mb())
}

#[handler]
fn borrowed(event: Order<'_>) -> Order<'_> {
    event
}

#[handler]
fn named_lifetimes<'a>(event: Order<'a>, context: &'a Context) -> (Order<'a>, &'a str) {
    (event, context.function_name())
}

#[handler]
fn opaque(event: u8) -> impl Serialize {
    [event; 2]
}

#[handler]
fn own_error(event: String) -> Result<u32, Error> {
    Ok(event.parse()?)
}

#[handler]
fn std_error(event: String) -> Result<u32, std::num::ParseIntError> {
    event.parse()
}

#[handler]
fn boxed_error(event: String) -> Result<u32, Box<dyn StdError>> {
    Ok(event.parse()?)
}

#[handler]
fn boxed_thread_safe_error(event: String) -> Result<u32, Box<dyn StdError + Send + Sync>> {
    Ok(event.parse()?)
}

#[handler]
fn text_error(event: bool) -> Result<(), &'static str> {
    event.then_some(()).ok_or("no")
}

#[handler]
fn aliased_result(_: ()) -> std::io::Result<()> {
    Ok(())
}

#[handler]
fn http(request: Request<Vec<u8>>) -> Response<Vec<u8>> {
    Response::new(request.into_body())
}

#[handler]
fn http_and_context(_: Request<String>, context: &Context) -> Result<Response<String>, Error> {
    Ok(Response::new(context.function_name().to_owned()))
}

#[handler]
fn http_in_json_out(request: Request<()>) -> String {
    request.uri().path().to_owned()
}

#[handler]
fn json_in_http_out(_: Option<u8>) -> Response<&'static str> {
    Response::new("yes")
}

#[handler]
async fn asynchronous(event: u8, context: &Context) -> Result<u32, Error> {
    Ok(ready(context.memory_mb()).await + u32::from(event))
}

fn prepare() {}

mod setup {
    //! A hook may live anywhere.

    pub(crate) fn prepare() {}
}

#[handler(init = prepare)]
fn with_init() {}

#[handler(init = crate::setup::prepare,)]
fn with_init_elsewhere() {}

#[test]
fn a_handler_is_still_a_plain_function() {
    let context = Context::for_test()
        .with_request_id("r-9")
        .with_function_name("f");
    nothing_at_all();
    with_init();
    with_init_elsewhere();
    assert_eq!(event_only(1), 2);
    assert_eq!(context_only(&context), "r-9");
    assert_eq!(event_and_context(vec![], &context), (0, 128));
    assert_eq!(
        borrowed(Order { name: "a".into() }),
        Order { name: "a".into() }
    );
    assert_eq!(named_lifetimes(Order { name: "a".into() }, &context).1, "f");
    assert_eq!(serde_json::to_string(&opaque(1)).unwrap(), "[1,1]");
    assert_eq!(own_error("7".into()), Ok(7));
    assert_eq!(std_error("7".into()), Ok(7));
    assert_eq!(boxed_error("7".into()).unwrap(), 7);
    assert_eq!(boxed_thread_safe_error("7".into()).unwrap(), 7);
    assert_eq!(text_error(false), Err("no"));
    aliased_result(()).unwrap();
    assert_eq!(http(Request::new(vec![1])).body(), &[1]);
    let answer = http_and_context(Request::new(String::new()), &context).unwrap();
    assert_eq!(answer.body(), "f");
    assert_eq!(http_in_json_out(Request::new(())), "/");
    assert_eq!(json_in_http_out(None).body(), &"yes");
}

#[test]
fn an_async_handler_is_an_async_function() {
    let context = Context::for_test();
    let mut future = std::pin::pin!(asynchronous(1, &context));
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(
        future.as_mut().poll(&mut task),
        std::task::Poll::Ready(Ok(129))
    );
}
