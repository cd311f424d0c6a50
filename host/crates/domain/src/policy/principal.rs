//! Who a resource policy speaks of, and who asks.
//!
//! A policy names principals whole: `*` alone is everybody, and there are no patterns in names. The
//! account, as number or as `arn:aws:iam::ACCOUNT:root`, is everybody who belongs to it.
//!
//! A user or role is meant by the id that it alone ever has. Its ARN matches nobody: somebody else may
//! have it tomorrow, so whoever stores a policy puts the id in its place.

use super::json::{Json, Scalar};
use crate::names::ACCOUNT_ID;

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Principal<'a> {
    /// Nobody who said who they are.
    Anonymous,
    /// A user of the account.
    User {
        /// `AIDA...`
        id: &'a str,
    },
    /// A session of a role of the account.
    Role {
        /// `AROA...`
        id: &'a str,
        /// `arn:aws:sts::ACCOUNT:assumed-role/NAME/SESSION`
        session: &'a str,
    },
}

/// The `Principal` of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Principals(Vec<Named>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Everybody,
    /// Whoever belongs to our account.
    Account,
    /// A user or a role, by its id.
    Id(String),
    /// A session of a role, by its ARN.
    Session(String),
    /// The ARN of a user or a role.
    Unresolved,
    /// A service or a foreign account, neither of which ever asks here.
    Foreign,
}

impl Principals {
    pub(super) fn everybody() -> Self {
        Self(vec![Named::Everybody])
    }

    /// Reads the value of a member `Principal`.
    ///
    /// # Errors
    ///
    /// What is wrong, as the end of a sentence about the statement.
    pub(super) fn parse(value: &Json) -> Result<Self, String> {
        match value {
            Json::Scalar(Scalar::Text, text) if text == "*" => Ok(Self(vec![Named::Everybody])),
            Json::Object(kinds) if !kinds.is_empty() => {
                let mut all = Vec::new();
                for (kind, values) in kinds {
                    for name in texts(values).ok_or_else(|| {
                        format!(
                            "has a Principal whose `{kind}` is neither a text nor a list of texts"
                        )
                    })? {
                        all.push(named(kind, name)?);
                    }
                }
                Ok(Self(all))
            }
            _ => Err(
                "has a Principal that is neither `*` nor an object such as {\"AWS\": \"ARN\"}"
                    .to_owned(),
            ),
        }
    }

    pub(super) fn matches(&self, principal: &Principal<'_>) -> bool {
        self.0.iter().any(|named| match named {
            Named::Everybody => true,
            Named::Account => *principal != Principal::Anonymous,
            Named::Id(own) => match principal {
                Principal::Anonymous => false,
                Principal::User { id } | Principal::Role { id, .. } => own == id,
            },
            Named::Session(own) => {
                matches!(principal, Principal::Role { session, .. } if own == session)
            }
            Named::Unresolved | Named::Foreign => false,
        })
    }
}

/// The texts of a text or of a list that is not empty.
fn texts(value: &Json) -> Option<Vec<&str>> {
    match value {
        Json::Scalar(Scalar::Text, text) => Some(vec![text]),
        Json::List(items) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Json::Scalar(Scalar::Text, text) => Some(text.as_str()),
                _ => None,
            })
            .collect(),
        _ => None,
    }
}

fn named(kind: &str, name: &str) -> Result<Named, String> {
    match kind {
        "AWS" => aws(name),
        "Service" | "Federated" | "CanonicalUser" if !name.is_empty() && !name.contains('*') => {
            Ok(Named::Foreign)
        }
        "Service" | "Federated" | "CanonicalUser" => Err(format!(
            "has the invalid {kind} principal `{}`",
            name.escape_debug()
        )),
        _ => Err(format!(
            "has a Principal of the unknown kind `{}`; known are AWS, Service, Federated and CanonicalUser",
            kind.escape_debug()
        )),
    }
}

fn aws(name: &str) -> Result<Named, String> {
    let invalid = || {
        format!(
            "has the invalid principal `{}`; it must be `*`, an account or the ARN of a user, role or session",
            name.escape_debug()
        )
    };
    if name == "*" {
        return Ok(Named::Everybody);
    }
    if is_principal_id(name) {
        return Ok(Named::Id(name.to_owned()));
    }
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit());
    if is_account(name) {
        return Ok(if name == ACCOUNT_ID {
            Named::Account
        } else {
            Named::Foreign
        });
    }
    let segments: Vec<&str> = name.splitn(6, ':').collect();
    let ["arn", "aws", service @ ("iam" | "sts"), "", account, who] = segments.as_slice() else {
        return Err(invalid());
    };
    let is_known = match *service {
        "iam" => *who == "root" || who.starts_with("user/") || who.starts_with("role/"),
        _ => who.starts_with("assumed-role/"),
    };
    if !is_account(account) || !is_known || name.contains(['*', '?', '$']) {
        return Err(invalid());
    }
    Ok(match (*account == ACCOUNT_ID, *who) {
        (false, _) => Named::Foreign,
        (true, "root") => Named::Account,
        (true, _) if *service == "sts" => Named::Session(name.to_owned()),
        (true, _) => Named::Unresolved,
    })
}

/// Whether a text is the id of a user or a role, which no other ever has.
#[must_use]
pub fn is_principal_id(text: &str) -> bool {
    let rest = text
        .strip_prefix("AIDA")
        .or_else(|| text.strip_prefix("AROA"));
    rest.is_some_and(|rest| {
        rest.len() == 17
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}
