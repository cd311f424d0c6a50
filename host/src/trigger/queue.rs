//! Events that wait: taken in, run when they are due, and accounted for.
//!
//! Whatever is asynchronous enqueues ([`accept`]), and nothing else: an event runs through the same
//! spine as any other. Knows nothing of how the queue is stored.

pub(crate) mod accept;
mod attempt;
mod close;
pub(crate) mod deliver;
pub(crate) mod destination;
pub(crate) mod dispatch;
pub(crate) mod policy;
pub(crate) mod record;
mod recover;
#[cfg(test)]
mod tests;
