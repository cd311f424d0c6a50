//! Guests in WAT, run the way the host runs them. One file per question.

pub(crate) mod support;

mod cancel;
mod code_cache;
mod cost;
mod engine;
mod eviction;
mod files;
mod fresh;
mod hand_over;
mod loading;
mod memory;
mod outcomes;
mod same_calls;
mod sdk_answers;
mod smoke;
mod snapshots;
mod streams;
mod time;
mod wasi;
