//! What produces events, and what it makes of the answers: HTTP requests, and whatever enqueues.

pub(crate) mod http;
pub(crate) mod queue;
pub(crate) mod schedule;
