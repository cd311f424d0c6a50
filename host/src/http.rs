//! HTTP as a transport: accepting connections, bounding them, reading bodies, answering errors, and
//! leading a request for a function to the spine.
//!
//! What a request *means* is decided elsewhere: [`crate::trigger::http`] for functions,
//! [`crate::api`] for control.

pub(crate) mod body;
mod cors;
pub(crate) mod dispatch;
pub(crate) mod error;
mod function_url;
pub(crate) mod io;
pub(crate) mod listener;
pub(crate) mod network;
mod passage;
mod stream;
pub(crate) mod tls;
