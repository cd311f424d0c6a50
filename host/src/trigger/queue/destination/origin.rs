//! Addresses: where one leads, how much of it people see, and what its path must not hide.
//!
//! The path and the query of an address may be a secret, so they are shown nowhere: [`shown_address`] is
//! the one text of an address for lists, errors and logs. Knows nothing of what is allowed.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::Scheme;
use sha2::{Digest as _, Sha256};

use super::DestinationError;
use crate::manifest::document::quoted;
use crate::outgoing::Reach;

/// Who answers at an address. Shown as `https://HOST` or `https://HOST:PORT`, without a port that is usual.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    is_tls: bool,
    /// In lower case.
    host: String,
    port: u16,
}

impl Origin {
    /// That of an address.
    ///
    /// # Errors
    ///
    /// [`DestinationError::Url`] for what is no address.
    pub(crate) fn parse(text: &str) -> Result<Self, DestinationError> {
        address(text).map(|(origin, _)| origin)
    }

    /// Which machines it may be: whoever wrote an address, or `localhost`, meant that one; a name is
    /// whatever somebody else's name server says, so it leads to what everybody can reach.
    pub(crate) fn reach(&self) -> Reach {
        let bare = self.host.trim_start_matches('[').trim_end_matches(']');
        let is_literal = bare.parse::<Ipv4Addr>().is_ok() || bare.parse::<Ipv6Addr>().is_ok();
        match is_literal || self.host == "localhost" {
            true => Reach::Any,
            false => Reach::Public,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, usual) = match self.is_tls {
            true => ("https", 443),
            false => ("http", 80),
        };
        write!(f, "{scheme}://{}", self.host)?;
        match self.port == usual {
            true => Ok(()),
            false => write!(f, ":{}", self.port),
        }
    }
}

/// An address as people see it: where it leads, and of the rest no more than six digits of its hash, so
/// that two of them can be told apart. What is no address (the name of another queue) is itself.
pub(crate) fn shown_address(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let path_at = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(path_at);
    let host = authority.rsplit('@').next().unwrap_or_default();
    let origin = quoted(&format!("{scheme}://{host}"));
    if matches!(path, "" | "/") {
        return format!("{origin}{path}");
    }
    let [a, b, c, ..] = <[u8; 32]>::from(Sha256::digest(text));
    format!("{origin}/…#{a:02x}{b:02x}{c:02x}")
}

/// Where an address leads, and all of it.
pub(super) fn address(text: &str) -> Result<(Origin, Uri), DestinationError> {
    let wrong = |rule| DestinationError::Url {
        text: shown_address(text),
        rule,
    };
    let uri: Uri = text.parse().map_err(|_| wrong("is no URL"))?;
    let is_tls = match uri.scheme() {
        Some(scheme) if *scheme == Scheme::HTTPS => true,
        Some(scheme) if *scheme == Scheme::HTTP => false,
        _ => return Err(wrong("must begin with `https://` or `http://`")),
    };
    if text.contains(['#', '\\']) {
        return Err(wrong("must have no `#` and no `\\`"));
    }
    let authority = uri.authority().ok_or_else(|| wrong("has no host"))?;
    if authority.as_str().contains('@') {
        return Err(wrong("must have no user name and no password"));
    }
    let host = authority.host().to_ascii_lowercase();
    if host.is_empty() {
        return Err(wrong("has no host"));
    }
    let written = authority.as_str().get(host.len()..).unwrap_or_default();
    let port = match authority.port_u16() {
        Some(0) => return Err(wrong("has a port that is none")),
        Some(port) => port,
        None if !written.is_empty() => return Err(wrong("has a port that is none")),
        None if is_tls => 443,
        None => 80,
    };
    if let Some(rule) = misleading(uri.path()) {
        return Err(wrong(rule));
    }
    let origin = Origin { is_tls, host, port };
    Ok((origin, uri))
}

/// What is wrong with a path that a server may take for another one than it looks like: it could leave
/// the folder that is allowed.
fn misleading(path: &str) -> Option<&'static str> {
    if path.contains(';') {
        return Some("must have no `;` in its path");
    }
    let bytes = path.as_bytes();
    for (at, _) in path.match_indices('%') {
        let digits = bytes.get(at + 1..at + 3).unwrap_or_default();
        let text = std::str::from_utf8(digits).unwrap_or_default();
        match u8::from_str_radix(text, 16) {
            Ok(b'/' | b'\\' | b';') => {
                return Some("must have no `/`, `\\` and `;` that is percent-encoded in its path");
            }
            Ok(0..=0x1f | 0x7f) => {
                return Some("must have no control character in its path");
            }
            Ok(_) | Err(_) => {}
        }
    }
    let is_dots = |part: &str| {
        let plain = part.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    let is_bad = path.split('/').any(is_dots);
    is_bad.then_some("must have no `.` and no `..` in its path")
}
