//! Policies: in a user or role, and by themselves; and those of AWS that are known by their ARN.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::names::ACCOUNT_ID;
use domain::policy::PolicyDocument;
use storage::IdentityChange;
use storage::identity::{InlinePolicyRecord, PolicyRecord};

use super::error::IdentityError;
use super::people::within;
use super::state::{Document, Holdings, Policy, Role, State, User};
use super::{Identities, new_id};

/// Policies that there may be, and of those attached to one user or role: AWS's quotas.
const POLICIES_MAX: usize = 1_500;
const ATTACHED_MAX: usize = 10;

/// Longest document, in characters that are not blank, as AWS counts.
const INLINE_CHARS_MAX: usize = 10_240;
const MANAGED_CHARS_MAX: usize = 6_144;

/// Whose policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner<'a> {
    /// A user, by name.
    User(&'a str),
    /// A role, by name.
    Role(&'a str),
}

/// A policy that AWS wrote, in what it means here.
#[derive(Debug)]
pub(crate) struct AwsManaged {
    /// After `arn:aws:iam::aws:policy/`.
    name: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
}

/// The policies of AWS that are known.
pub(crate) const AWS_MANAGED: &[AwsManaged] = &[
    AwsManaged {
        name: "AdministratorAccess",
        description: "Provides full access to everything.",
        actions: &["*"],
    },
    AwsManaged {
        name: "AWSLambda_FullAccess",
        description: "Grants full access to functions and their logs.",
        actions: &[
            "lambda:*",
            "logs:*",
            "iam:GetRole",
            "iam:ListRoles",
            "iam:PassRole",
        ],
    },
    AwsManaged {
        name: "AWSLambda_ReadOnlyAccess",
        description: "Grants read access to functions and their logs.",
        actions: &[
            "lambda:Get*",
            "lambda:List*",
            "logs:Describe*",
            "logs:Get*",
            "logs:FilterLogEvents",
            "logs:StartLiveTail",
        ],
    },
    AwsManaged {
        name: "service-role/AWSLambdaBasicExecutionRole",
        description: "Provides write permissions to logs.",
        actions: &[
            "logs:CreateLogGroup",
            "logs:CreateLogStream",
            "logs:PutLogEvents",
        ],
    },
    AwsManaged {
        name: "CloudWatchLogsReadOnlyAccess",
        description: "Provides read access to logs.",
        actions: &[
            "logs:Describe*",
            "logs:Get*",
            "logs:List*",
            "logs:FilterLogEvents",
            "logs:StartLiveTail",
            "logs:StopLiveTail",
        ],
    },
    AwsManaged {
        name: "IAMFullAccess",
        description: "Provides full access to users, roles, keys and policies.",
        actions: &["iam:*"],
    },
];

impl AwsManaged {
    pub(super) fn policy(&self) -> Result<Policy, IdentityError> {
        let text = serde_json::json!({
            "Version": "2012-10-17",
            "Statement": [{"Effect": "Allow", "Action": self.actions, "Resource": "*"}],
        })
        .to_string();
        let (path, name) = match self.name.rsplit_once('/') {
            None => ("/".to_owned(), self.name),
            Some((path, name)) => (format!("/{path}/"), name),
        };
        Ok(Policy {
            arn: format!("arn:aws:iam::aws:policy/{}", self.name),
            id: format!("ANPA{}", name.to_ascii_uppercase().replace('_', "")),
            name: name.to_owned(),
            path,
            description: self.description.to_owned(),
            document: Document {
                parsed: PolicyDocument::parse_identity(&text)?,
                text,
            },
            created_at_us: 0,
            is_aws: true,
        })
    }
}

impl Identities {
    /// Puts a policy into a user or role.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`], [`IdentityError::Limit`], or that there is no such owner.
    pub(crate) fn put_inline_policy(
        &self,
        owner: Owner<'_>,
        name: &str,
        document: &str,
    ) -> Result<(), IdentityError> {
        let parsed = PolicyDocument::parse_identity(document)?;
        short_enough(document, "policy size", INLINE_CHARS_MAX)?;
        let mut draft = self.draft();
        let parsed = Arc::new(Document {
            text: document.to_owned(),
            parsed,
        });
        let record = InlinePolicyRecord {
            owner: edit(&mut draft.state, owner, |holdings| {
                holdings.inline.insert(name.to_owned(), parsed);
                Ok(())
            })?,
            name: name.to_owned(),
            document: document.to_owned(),
        };
        draft.commit(&[IdentityChange::PutInlinePolicy(&record)])
    }

    /// Takes a policy out of a user or role.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoInlinePolicy`], or that there is no such owner.
    pub(crate) fn delete_inline_policy(
        &self,
        owner: Owner<'_>,
        name: &str,
    ) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let id = edit(&mut draft.state, owner, |holdings| {
            let removed = holdings.inline.remove(name);
            removed
                .map(|_| ())
                .ok_or_else(|| owner.no_inline_policy(name))
        })?;
        draft.commit(&[IdentityChange::DeleteInlinePolicy { owner: &id, name }])
    }

    /// Makes a policy that stands by itself.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`], [`IdentityError::Exists`], [`IdentityError::Limit`].
    pub(crate) fn create_policy(
        &self,
        name: &str,
        path: &str,
        description: &str,
        document: &str,
    ) -> Result<Arc<Policy>, IdentityError> {
        let parsed = PolicyDocument::parse_identity(document)?;
        short_enough(document, "PolicySize", MANAGED_CHARS_MAX)?;
        let mut draft = self.draft();
        let own = || {
            draft
                .state
                .policies
                .values()
                .filter(|policy| !policy.is_aws)
        };
        if own().any(|policy| policy.name.eq_ignore_ascii_case(name)) {
            return Err(IdentityError::Exists {
                what: "A policy",
                name: name.to_owned(),
            });
        }
        within(own().count(), "PoliciesPerAccount", POLICIES_MAX)?;
        let record = PolicyRecord {
            arn: format!("arn:aws:iam::{ACCOUNT_ID}:policy{path}{name}"),
            id: new_id("ANPA"),
            name: name.to_owned(),
            path: path.to_owned(),
            description: description.to_owned(),
            document: document.to_owned(),
            created_at_us: self.clock.unix_us(),
        };
        let policy = Policy {
            arn: record.arn.clone(),
            id: record.id.clone(),
            name: record.name.clone(),
            path: record.path.clone(),
            description: record.description.clone(),
            document: Document {
                text: record.document.clone(),
                parsed,
            },
            created_at_us: record.created_at_us,
            is_aws: false,
        };
        draft.state.put_policy(policy);
        draft.commit(&[IdentityChange::PutPolicy(&record)])?;
        self.now().policy(&record.arn).cloned()
    }

    /// Deletes a policy that is attached to nobody.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoPolicy`], [`IdentityError::Managed`], [`IdentityError::DeleteConflict`].
    pub(crate) fn delete_policy(&self, arn: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        if draft.state.policy(arn)?.is_aws {
            return Err(IdentityError::Managed(arn.to_owned()));
        }
        if draft.state.attachments(arn) > 0 {
            return Err(IdentityError::DeleteConflict {
                what: "a policy",
                remains: "users or roles it is attached to",
            });
        }
        draft.state.policies.remove(arn);
        draft.commit(&[IdentityChange::DeletePolicy(arn)])
    }

    /// Attaches a policy; again changes nothing.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotAttachable`], [`IdentityError::Limit`], or that there is no such owner.
    pub(crate) fn attach(&self, owner: Owner<'_>, arn: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        if !draft.state.policies.contains_key(arn) {
            return Err(IdentityError::NotAttachable(arn.to_owned()));
        }
        let id = edit(&mut draft.state, owner, |holdings| {
            let attached: &mut BTreeSet<String> = &mut holdings.attached;
            if !attached.contains(arn) {
                within(attached.len(), owner.attached_quota(), ATTACHED_MAX)?;
                attached.insert(arn.to_owned());
            }
            Ok(())
        })?;
        draft.commit(&[IdentityChange::Attach {
            owner: &id,
            policy: arn,
        }])
    }

    /// Detaches a policy.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NotAttached`], or that there is no such owner.
    pub(crate) fn detach(&self, owner: Owner<'_>, arn: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let id = edit(&mut draft.state, owner, |holdings| {
            if holdings.attached.remove(arn) {
                Ok(())
            } else {
                Err(IdentityError::NotAttached(arn.to_owned()))
            }
        })?;
        draft.commit(&[IdentityChange::Detach {
            owner: &id,
            policy: arn,
        }])
    }
}

impl State {
    pub(crate) fn policy(&self, arn: &str) -> Result<&Arc<Policy>, IdentityError> {
        let unknown = || IdentityError::NoPolicy(arn.to_owned());
        self.policies.get(arn).ok_or_else(unknown)
    }

    /// The policies of a user or role.
    pub(crate) fn holdings(&self, owner: Owner<'_>) -> Result<&Holdings, IdentityError> {
        match owner {
            Owner::User(name) => self.user(name).map(|user| &user.holdings),
            Owner::Role(name) => self.role(name).map(|role| &role.holdings),
        }
    }
}

impl Owner<'_> {
    pub(crate) fn no_inline_policy(self, name: &str) -> IdentityError {
        IdentityError::NoInlinePolicy {
            owner: match self {
                Self::User(_) => "user",
                Self::Role(_) => "role",
            },
            name: name.to_owned(),
        }
    }

    fn attached_quota(self) -> &'static str {
        match self {
            Self::User(_) => "PoliciesPerUser",
            Self::Role(_) => "PoliciesPerRole",
        }
    }
}

/// Changes what a user or role holds, and says their id.
fn edit(
    state: &mut State,
    owner: Owner<'_>,
    change: impl FnOnce(&mut Holdings) -> Result<(), IdentityError>,
) -> Result<String, IdentityError> {
    match owner {
        Owner::User(name) => {
            let mut user = User::clone(state.user(name)?);
            change(&mut user.holdings)?;
            let id = user.record.id.clone();
            state.put_user(Arc::new(user));
            Ok(id)
        }
        Owner::Role(name) => {
            let mut role = Role::clone(state.role(name)?);
            change(&mut role.holdings)?;
            let id = role.record.id.clone();
            state.roles.insert(name.to_owned(), Arc::new(role));
            Ok(id)
        }
    }
}

fn short_enough(text: &str, quota: &'static str, max: usize) -> Result<(), IdentityError> {
    let chars = text.chars().filter(|c| !c.is_whitespace()).count();
    if chars <= max {
        Ok(())
    } else {
        Err(IdentityError::Limit { quota, max })
    }
}
