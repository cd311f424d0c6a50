//! Policies in AWS's JSON: what a document may say, and what a set of them decides.
//!
//! [`PolicyDocument`] is parsed strictly: whatever is not understood is refused when it is stored,
//! with an error that names the statement and the rule. So nothing is left to guess at when a request
//! is decided by [`evaluate`]:
//! * a matching Deny decides, wherever it stands;
//! * else a matching Allow, of an identity policy or of the resource's own;
//! * else the answer is no.
//!
//! One thing can be stored and not be known: a condition on a key of a service that is not here
//! (`s3:prefix`), or on one that nobody looks at, since deployment tools write such policies. A statement that hangs on it never
//! allows, and denies as if the condition held.
//!
//! **Decisions don't depend on the region.** A server answers to any region, so the region in the name
//! of a resource, and in an ARN of a policy unless it has a wildcard, means the server's own.
//!
//! Knows nothing of where policies are kept, of signatures or of what the actions do.

mod condition;
mod document;
mod json;
mod keys;
mod pattern;
mod principal;

use std::collections::BTreeMap;

pub use self::document::{DOCUMENT_BYTES_MAX, PolicyDocument, PolicyError};
use self::document::{Effect, Statement};
pub use self::keys::{KeySource, condition_keys};
pub use self::principal::{Principal, is_principal_id};

/// What is asked: may this principal do this to that.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: Principal<'a>,
    /// What for, such as `lambda:InvokeFunction`. In any case.
    pub action: &'a str,
    /// On what: a canonical resource name, or `*` for actions that have none.
    pub resource: &'a str,
    /// The server's own region.
    pub region: &'a str,
    /// What conditions and variables may look at.
    pub context: Context,
}

/// Condition keys and their values. Keys are the same in any case.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Context(BTreeMap<String, Vec<String>>);

impl Context {
    /// Says what `key` is in this request.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.0.insert(key.to_ascii_lowercase(), vec![value.into()]);
    }

    /// Says all values that `key` has in this request.
    pub fn set_all(&mut self, key: &str, values: Vec<String>) {
        self.0.insert(key.to_ascii_lowercase(), values);
    }

    /// Says one more value that `key` has in this request.
    pub fn add(&mut self, key: &str, value: impl Into<String>) {
        let values = self.0.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.into());
    }

    /// Whether the request has a key, or one that begins with it if it ends with `/`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        let key = key.to_ascii_lowercase();
        self.0.keys().any(|known| match key.strip_suffix('/') {
            None => *known == key,
            Some(_) => known.len() > key.len() && known.starts_with(&key),
        })
    }

    /// The values of a key, which is lower case; `None` when the request does not have it.
    fn get(&self, key: &str) -> Option<&[String]> {
        self.0.get(key).map(Vec::as_slice)
    }

    /// The value for a policy variable: there must be exactly one.
    fn variable(&self, key: &str) -> Option<&str> {
        match self.get(key) {
            Some([one]) => Some(one),
            _ => None,
        }
    }
}

/// What a set of policies says to a request, and which statement says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A statement allows it and none denies it.
    Allowed(Place),
    /// A statement denies it.
    Denied(Place),
    /// No statement allows it.
    NotAllowed,
}

impl Decision {
    /// Whether it may be done.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed(_))
    }
}

/// Where a statement stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Of which list that was handed to [`evaluate`].
    pub kind: PolicyKind,
    /// The policy's index in that list.
    pub policy: usize,
    /// The statement's index in the policy.
    pub statement: usize,
}

/// What a policy belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyKind {
    /// To who asks.
    Identity,
    /// To what is asked for.
    Resource,
}

/// Decides a request by the policies of who asks and those of what is asked for.
///
/// Takes at most the length of the policies times the length of the values they look at.
#[must_use]
pub fn evaluate(
    identity: &[&PolicyDocument],
    resource: &[&PolicyDocument],
    request: &Request<'_>,
) -> Decision {
    let lists = [
        (PolicyKind::Identity, identity),
        (PolicyKind::Resource, resource),
    ];
    let first = |effect: Effect| {
        for (kind, policies) in lists {
            for (policy, document) in policies.iter().enumerate() {
                for (statement, content) in document.statements.iter().enumerate() {
                    if content.effect == effect && applies(content, request) {
                        return Some(Place {
                            kind,
                            policy,
                            statement,
                        });
                    }
                }
            }
        }
        None
    };
    if let Some(place) = first(Effect::Deny) {
        Decision::Denied(place)
    } else if let Some(place) = first(Effect::Allow) {
        Decision::Allowed(place)
    } else {
        Decision::NotAllowed
    }
}

/// Whether a statement has its effect on a request. What is uncertain does not allow, and denies.
fn applies(statement: &Statement, request: &Request<'_>) -> bool {
    let certain = statement.effect == Effect::Allow;
    statement
        .principals
        .as_ref()
        .is_none_or(|principals| principals.matches(&request.principal))
        && statement.actions.matches(request)
        && statement
            .resources
            .as_ref()
            .is_none_or(|resources| resources.matches(request, certain))
        && match statement.conditions.holds(request) {
            Truth::Yes => true,
            Truth::No => false,
            Truth::Unknown => !certain,
        }
}

/// What is known of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    No,
    Yes,
    /// It looks at something that nobody here knows.
    Unknown,
}

impl From<bool> for Truth {
    fn from(known: bool) -> Self {
        if known { Self::Yes } else { Self::No }
    }
}

impl Truth {
    fn not(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            Self::Unknown => Self::Unknown,
        }
    }

    /// Whether all hold.
    fn all(truths: impl Iterator<Item = Self>) -> Self {
        Self::any(truths.map(Self::not)).not()
    }

    /// Whether any holds.
    fn any(truths: impl Iterator<Item = Self>) -> Self {
        let mut result = Self::No;
        for truth in truths {
            match truth {
                Self::Yes => return Self::Yes,
                Self::Unknown => result = Self::Unknown,
                Self::No => {}
            }
        }
        result
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
