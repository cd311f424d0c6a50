//! Which path belongs to which function.
//!
//! A request path is split at `/` first and each segment is percent-decoded once afterwards, so an
//! encoded slash never separates. A path that could mean two things to two readers (a dot segment,
//! a decoded slash, backslash or NUL) belongs to nobody. Names match byte by byte; a trailing slash
//! is significant.
//!
//! Of several matching routes the most specific one wins, as in API Gateway: most literal segments,
//! then most segments before a greedy variable, then no greedy variable, then fewest variables, then
//! a concrete method over `ANY`.
//!
//! Knows nothing of functions: a table maps routes to whatever its owner puts in.

mod path;
mod route;
mod table;
#[cfg(test)]
mod tests;

pub use path::{PathError, RequestPath, decode_percent};
pub use route::{ROUTE_SEGMENTS_MAX, Route, RouteError, RouteMethod};
pub use table::{Match, RouteTable};
