//! What produces events, and what it makes of the answers. HTTP requests for now; a queue and a
//! schedule will enqueue.

pub(crate) mod http;
pub(crate) mod queue;
