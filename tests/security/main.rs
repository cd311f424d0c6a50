//! Can a guest leave, hog or outlive its sandbox, or put words into our mouth? Through the built
//! binary, as it is served.

#![expect(clippy::unwrap_used, reason = "a test that can't set up must stop")]

mod zoo;

mod authorisation;
mod compile_bombs;
mod containment;
mod ended_keys;
mod environment;
mod freshness;
mod grants;
mod json;
mod lateness;
mod log_forgery;
mod memory;
mod names;
mod refused;
mod responses;
mod sdk_pointers;
mod secrets;
mod sigv4;
mod traps;
