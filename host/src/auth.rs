//! Who asks, and the proof that they may.
//!
//! A [`Caller`] comes from a verified signature. [`authorise`] turns it into a [`Grant`] for one action
//! on one resource, and nothing else makes one: what acts for a caller asks for a grant, so that it
//! can't be reached without.
//!
//! Knows nothing of requests or of what the actions do.

pub(crate) mod authentication;
pub(crate) mod credentials;
pub(crate) mod decide;
pub(crate) mod generate;
pub(crate) mod identities;
pub(crate) mod jwt;
pub(crate) mod key_file;
pub(crate) mod key_sets;
mod replays;
pub(crate) mod root_key;
pub(crate) mod seal;
pub(crate) mod secret;
pub(crate) mod sigv4;
mod throttle;
pub(crate) mod trail;

use std::net::IpAddr;
use std::sync::Arc;

use domain::names::ACCOUNT_ID;

pub(crate) use self::decide::{authorise, authorise_with, may};
use self::trail::Trail;

/// Who signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The owner of the account; no policy restricts it.
    Root,
    /// A user, by path and name, such as `bob` or `division/bob`; may do what policies allow.
    User(Arc<str>),
}

impl Identity {
    /// The user of a name and a path, which begins and ends with `/`.
    pub(crate) fn user(path: &str, name: &str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        Self::User(format!("{path}{name}").into())
    }

    /// The name of a user.
    pub(crate) fn user_name(&self) -> Option<&str> {
        match self {
            Self::Root => None,
            Self::User(name) => name.rsplit('/').next(),
        }
    }
}

/// A caller whose signature was verified, and where the request came from.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) identity: Identity,
    /// The key that signed.
    pub(crate) access_key_id: Arc<str>,
    pub(crate) source: IpAddr,
    /// The region that the request is signed for. Any is accepted.
    pub(crate) region: Arc<str>,
    /// The `User-Agent` header.
    pub(crate) user_agent: Option<String>,
    /// Whether the connection is TLS.
    pub(crate) is_secure: bool,
    /// Where decisions about the request are noted.
    pub(crate) trail: Trail,
}

impl Caller {
    /// The Amazon resource name of who asks.
    pub(crate) fn arn(&self) -> String {
        match &self.identity {
            Identity::Root => format!("arn:aws:iam::{ACCOUNT_ID}:root"),
            Identity::User(name) => format!("arn:aws:iam::{ACCOUNT_ID}:user/{name}"),
        }
    }
}

/// Proof that a caller may do what they ask for. Whoever acts for a caller holds one.
#[derive(Debug)]
pub(crate) struct Grant(());

/// Nobody allowed it, or somebody forbade it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("User: {caller} is not authorized to perform: {action} on resource: {resource} {because}")]
pub(crate) struct Denied {
    pub(crate) caller: String,
    pub(crate) action: &'static str,
    pub(crate) resource: String,
    /// `because no identity-based policy allows the X action`, or
    /// `with an explicit deny in an identity-based policy`.
    pub(crate) because: String,
}

/// Why there is no grant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The caller may, but what changes something has to be in the audit log.
    #[error("The audit log can't be written now, so nothing is changed. Try again later.")]
    Unrecorded,
}
