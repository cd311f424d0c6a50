//! A policy document: parsed strictly, kept as what is compared.
//!
//! Three kinds are read: of an identity (no `Principal`), of a resource (with one), and the trust
//! policy of a role (with one, and without `Resource`).

use super::Request;
use super::condition::Conditions;
use super::json::{Json, Scalar};
use super::pattern::{Case, Meaning, Pattern};
use super::principal::Principals;

/// Longest document, in bytes: twice what AWS takes for the policy of a function.
pub const DOCUMENT_BYTES_MAX: usize = 40_960;

/// A policy that was understood whole.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyDocument {
    pub(super) statements: Vec<Statement>,
}

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// More than [`DOCUMENT_BYTES_MAX`].
    #[error("the policy has {bytes} bytes; at most {DOCUMENT_BYTES_MAX} are allowed")]
    TooLong {
        /// How many there are.
        bytes: usize,
    },
    /// Not JSON, or an object has a member twice.
    #[error("the policy is not valid JSON: {reason}")]
    Json {
        /// What the parser says.
        reason: String,
    },
    /// Something outside of the statements.
    #[error("the policy {reason}")]
    Document {
        /// What is wrong.
        reason: String,
    },
    /// Something in a statement.
    #[error("statement {number}{} {reason}", sid(name.as_deref()))]
    Statement {
        /// Which one, from 1.
        number: usize,
        /// Its `Sid`.
        name: Option<String>,
        /// What is wrong, as the end of a sentence.
        reason: String,
    },
}

fn sid(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!(" (`{}`)", name.escape_debug()))
}

/// Which members a statement must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grammar {
    Identity,
    Resource,
    Trust,
}

/// One statement.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Statement {
    sid: Option<String>,
    pub(super) effect: Effect,
    /// `None` in the policy of an identity.
    pub(super) principals: Option<Principals>,
    pub(super) actions: Actions,
    /// `None` in a trust policy.
    pub(super) resources: Option<Resources>,
    pub(super) conditions: Conditions,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    Allow,
    Deny,
}

/// `Action` or `NotAction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Actions {
    patterns: Vec<Pattern>,
    negated: bool,
}

/// `Resource` or `NotResource`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resources {
    patterns: Vec<Pattern>,
    negated: bool,
}

impl PolicyDocument {
    /// Reads the policy of a user or role.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the statement and the rule.
    pub fn parse_identity(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, Grammar::Identity)
    }

    /// Reads the policy of a resource, such as a function.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the statement and the rule.
    pub fn parse_resource(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, Grammar::Resource)
    }

    /// Reads the policy that says who may take on a role.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] names the statement and the rule.
    pub fn parse_trust(text: &str) -> Result<Self, PolicyError> {
        Self::parse(text, Grammar::Trust)
    }

    /// The policy of a resource that denies everything to everybody.
    #[must_use]
    pub fn deny_all() -> Self {
        let everything = || vec![Pattern::anything()];
        Self {
            statements: vec![Statement {
                sid: None,
                effect: Effect::Deny,
                principals: Some(Principals::everybody()),
                actions: Actions {
                    patterns: everything(),
                    negated: false,
                },
                resources: Some(Resources {
                    patterns: everything(),
                    negated: false,
                }),
                conditions: Conditions::default(),
            }],
        }
    }

    /// How many statements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.statements.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.statements.is_empty()
    }

    /// The `Sid` of a statement, by its index.
    #[must_use]
    pub fn sid(&self, statement: usize) -> Option<&str> {
        self.statements.get(statement)?.sid.as_deref()
    }

    fn parse(text: &str, grammar: Grammar) -> Result<Self, PolicyError> {
        if text.len() > DOCUMENT_BYTES_MAX {
            return Err(PolicyError::TooLong { bytes: text.len() });
        }
        let json: Json = serde_json::from_str(text).map_err(|error| PolicyError::Json {
            reason: error.to_string(),
        })?;
        let wrong = |reason: &str| PolicyError::Document {
            reason: reason.to_owned(),
        };
        let Json::Object(members) = json else {
            return Err(wrong("is not a JSON object"));
        };
        // Variables came with the later language; without a version the earlier one is meant.
        let mut variables = false;
        let mut statements = None;
        for (name, value) in &members {
            match (name.as_str(), value) {
                ("Version", Json::Scalar(Scalar::Text, version)) => match version.as_str() {
                    "2012-10-17" => variables = true,
                    "2008-10-17" => {}
                    _ => return Err(wrong("has a Version other than 2012-10-17 and 2008-10-17")),
                },
                ("Version", _) => return Err(wrong("has a Version that is not a text")),
                ("Id", Json::Scalar(Scalar::Text, _)) => {}
                ("Id", _) => return Err(wrong("has an Id that is not a text")),
                ("Statement", Json::List(items)) if !items.is_empty() => {
                    statements = Some(items.as_slice());
                }
                ("Statement", Json::Object(_)) => statements = Some(std::slice::from_ref(value)),
                ("Statement", _) => {
                    return Err(wrong(
                        "has a Statement that is neither an object nor a list of some",
                    ));
                }
                _ => {
                    return Err(PolicyError::Document {
                        reason: format!("has the unknown member `{}`", name.escape_debug()),
                    });
                }
            }
        }
        let statements = statements.ok_or_else(|| wrong("has no Statement"))?;
        let statements = (1..)
            .zip(statements)
            .map(|(number, statement)| {
                Statement::parse(statement, grammar, variables).map_err(|reason| {
                    PolicyError::Statement {
                        number,
                        name: sid_of(statement),
                        reason,
                    }
                })
            })
            .collect::<Result<Vec<_>, _>>()?;
        for (index, statement) in statements.iter().enumerate() {
            let is_same = |other: &Statement| other.sid.is_some() && other.sid == statement.sid;
            if statements[..index].iter().any(is_same) {
                return Err(PolicyError::Statement {
                    number: index + 1,
                    name: statement.sid.clone(),
                    reason: "has the Sid of an earlier one".to_owned(),
                });
            }
        }
        Ok(Self { statements })
    }
}

fn sid_of(statement: &Json) -> Option<String> {
    let Json::Object(members) = statement else {
        return None;
    };
    members.iter().find_map(|(name, value)| match value {
        Json::Scalar(Scalar::Text, sid) if name == "Sid" => Some(sid.clone()),
        _ => None,
    })
}

impl Statement {
    fn parse(value: &Json, grammar: Grammar, variables: bool) -> Result<Self, String> {
        let Json::Object(members) = value else {
            return Err("is not an object".to_owned());
        };
        let (mut effect, mut principals, mut actions, mut resources) = (None, None, None, None);
        let mut conditions = Conditions::default();
        for (name, value) in members {
            match name.as_str() {
                "Sid" if matches!(value, Json::Scalar(Scalar::Text, _)) => {}
                "Sid" => return Err("has a Sid that is not a text".to_owned()),
                "Effect" => effect = Some(Effect::parse(value)?),
                "Action" | "NotAction" if actions.is_some() => {
                    return Err("has both Action and NotAction".to_owned());
                }
                "Action" | "NotAction" => actions = Some(Actions::parse(name, value)?),
                "Resource" | "NotResource" if grammar == Grammar::Trust => {
                    return Err(format!("has a {name}, which a trust policy must not have"));
                }
                "Resource" | "NotResource" if resources.is_some() => {
                    return Err("has both Resource and NotResource".to_owned());
                }
                "Resource" | "NotResource" => {
                    resources = Some(Resources::parse(name, value, variables)?);
                }
                "Principal" if grammar == Grammar::Identity => {
                    return Err(
                        "has a Principal, which the policy of a user or role must not have"
                            .to_owned(),
                    );
                }
                "Principal" => principals = Some(Principals::parse(value)?),
                "NotPrincipal" => {
                    return Err(
                        "has a NotPrincipal, which is not offered; name the principals of a Deny, or use a Condition on aws:PrincipalArn"
                            .to_owned(),
                    );
                }
                "Condition" => conditions = Conditions::parse(value, variables)?,
                _ => return Err(format!("has the unknown member `{}`", name.escape_debug())),
            }
        }
        if grammar != Grammar::Identity && principals.is_none() {
            return Err("has no Principal".to_owned());
        }
        if grammar != Grammar::Trust && resources.is_none() {
            return Err("has neither Resource nor NotResource".to_owned());
        }
        Ok(Self {
            sid: sid_of(value),
            effect: effect.ok_or("has no Effect")?,
            principals,
            actions: actions.ok_or("has neither Action nor NotAction")?,
            resources,
            conditions,
        })
    }
}

impl Effect {
    fn parse(value: &Json) -> Result<Self, String> {
        match value {
            Json::Scalar(Scalar::Text, text) if text == "Allow" => Ok(Self::Allow),
            Json::Scalar(Scalar::Text, text) if text == "Deny" => Ok(Self::Deny),
            _ => Err("has an Effect that is neither Allow nor Deny".to_owned()),
        }
    }
}

/// The texts of a member that is a text or a list of texts, at least one.
fn texts<'a>(name: &str, value: &'a Json) -> Result<Vec<&'a str>, String> {
    let wrong = || format!("has {name} that is neither a text nor a list of texts");
    match value {
        Json::Scalar(Scalar::Text, text) => Ok(vec![text]),
        Json::List(items) if items.is_empty() => Err(format!("has an empty {name}")),
        Json::List(items) => items
            .iter()
            .map(|item| match item {
                Json::Scalar(Scalar::Text, text) => Ok(text.as_str()),
                _ => Err(wrong()),
            })
            .collect(),
        _ => Err(wrong()),
    }
}

impl Actions {
    fn parse(name: &str, value: &Json) -> Result<Self, String> {
        let pattern = |text: &str| {
            let is_word = |text: &str, more: &str| {
                !text.is_empty()
                    && text
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || c == '-' || more.contains(c))
            };
            let is_action = text == "*"
                || text
                    .split_once(':')
                    .is_some_and(|(service, action)| is_word(service, "") && is_word(action, "*?"));
            if !is_action {
                return Err(format!(
                    "has the {name} `{}`; it must be `*` or SERVICE:NAME, such as lambda:InvokeFunction",
                    text.escape_debug()
                ));
            }
            let meaning = Meaning {
                wildcards: true,
                variables: false,
            };
            Pattern::parse(text, meaning)
        };
        Ok(Self {
            patterns: texts(name, value)?
                .into_iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
            negated: name == "NotAction",
        })
    }

    pub(super) fn matches(&self, request: &Request<'_>) -> bool {
        let fits = |pattern: &Pattern| {
            pattern.matches(request.action, Case::Ignored, request) == Some(true)
        };
        self.patterns.iter().any(fits) != self.negated
    }
}

impl Resources {
    fn parse(name: &str, value: &Json, variables: bool) -> Result<Self, String> {
        let pattern = |text: &str| {
            let is_arn = text.starts_with("arn:") && text.splitn(6, ':').count() == 6;
            if text != "*" && !is_arn {
                return Err(format!(
                    "has the {name} `{}`; it must be `*` or an ARN, such as arn:aws:lambda:*:*:function:NAME",
                    text.escape_debug()
                ));
            }
            let meaning = Meaning {
                wildcards: true,
                variables,
            };
            Pattern::parse(text, meaning).map_err(|reason| {
                format!("has the {name} `{}`, which {reason}", text.escape_debug())
            })
        };
        Ok(Self {
            patterns: texts(name, value)?
                .into_iter()
                .map(pattern)
                .collect::<Result<_, _>>()?,
            negated: name == "NotResource",
        })
    }

    /// Whether a statement is about the request's resource. A pattern whose variable has no value is
    /// about nothing. Of `NotResource` that is no proof that the resource is another: when the answer
    /// must be `certain`, such a statement is about nothing at all.
    pub(super) fn matches(&self, request: &Request<'_>, certain: bool) -> bool {
        let mut fits = self
            .patterns
            .iter()
            .map(|pattern| pattern.matches(request.resource, Case::Sensitive, request));
        if !self.negated {
            return fits.any(|fits| fits == Some(true));
        }
        if certain {
            fits.all(|fits| fits == Some(false))
        } else {
            !fits.any(|fits| fits == Some(true))
        }
    }
}
