//! Greets whom the body of a request names: the benchmark's work as an `sdk` function.
//!
//! The body lies in the event as a string; so JSON is parsed twice.

use std::borrow::Cow;

use mayfly_sdk::{Error, handler};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    body: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Greeting<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct Reply {
    message: String,
}

#[handler]
fn hello(event: Event<'_>) -> Result<Reply, Error> {
    let greeting: Greeting<'_> = serde_json::from_str(&event.body)?;
    let message = ["hello ", greeting.name].concat();
    Ok(Reply { message })
}
