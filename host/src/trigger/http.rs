//! The HTTP trigger: a request becomes an event, an answer becomes a response.
//!
//! Both follow payload format 2.0 of API Gateway's HTTP APIs, which is what functions written for
//! Lambda read and write. HTTP ends here: the spine sees bytes.

pub(crate) mod authorizer;
pub(crate) mod event;
pub(crate) mod guard;
mod json;
mod rate;
pub(crate) mod response;
