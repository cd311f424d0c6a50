//! Greets whom the body of a request names: the benchmark's work as a `command` function.
//!
//! The event comes on stdin, the answer goes to stdout. The body lies in the event as a string; so
//! JSON is parsed twice.

use std::borrow::Cow;
use std::io::{Read as _, Write as _};

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut event = Vec::new();
    std::io::stdin().lock().read_to_end(&mut event)?;
    let event: Event<'_> = serde_json::from_slice(&event)?;
    let greeting: Greeting<'_> = serde_json::from_str(&event.body)?;
    let message = ["hello ", greeting.name].concat();
    let reply = serde_json::to_vec(&Reply { message })?;
    std::io::stdout().lock().write_all(&reply)?;
    Ok(())
}
