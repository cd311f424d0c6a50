//! Why identities were not changed or found, in the words of IAM.

use domain::policy::PolicyError;
use storage::StorageError;

/// Why not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    /// There is no such user.
    #[error("The user with name {0} cannot be found.")]
    NoUser(String),
    /// There is no such role.
    #[error("The role with name {0} cannot be found.")]
    NoRole(String),
    /// There is no such access key, or it belongs to somebody else.
    #[error("The Access Key with id {0} cannot be found.")]
    NoAccessKey(String),
    /// The user or role has no such policy.
    #[error("The {owner} policy with name {name} cannot be found.")]
    NoInlinePolicy {
        /// `user` or `role`.
        owner: &'static str,
        name: String,
    },
    /// There is no such policy.
    #[error("Policy {0} was not found.")]
    NoPolicy(String),
    /// There is no such policy to attach.
    #[error("Policy {0} does not exist or is not attachable.")]
    NotAttachable(String),
    /// The policy is not attached to this user or role.
    #[error("Policy {0} was not found.")]
    NotAttached(String),
    /// There is no such API key.
    #[error("The API key with name {0} cannot be found.")]
    NoApiKey(String),
    /// The name is taken.
    #[error("{what} with name {name} already exists.")]
    Exists {
        /// `User`, `Role` and so on.
        what: &'static str,
        name: String,
    },
    /// There may not be more.
    #[error("Cannot exceed quota for {quota}: {max}")]
    Limit { quota: &'static str, max: usize },
    /// Something hangs on it.
    #[error("Cannot delete {what} that has {remains}; delete or detach those first.")]
    DeleteConflict {
        what: &'static str,
        remains: &'static str,
    },
    /// AWS wrote the policy; it can't be changed.
    #[error("Policy {0} is managed by AWS and can't be changed.")]
    Managed(String),
    /// The document is not understood.
    #[error("{0}")]
    Malformed(#[from] PolicyError),
    /// A stored policy is not understood by this version.
    #[error("the stored policy `{name}` can't be used: {source}")]
    Stored { name: String, source: PolicyError },
    /// A secret can't be opened.
    #[error(
        "the secret of access key {0} was not sealed with the key in the key file; use the key file that belongs to this data directory"
    )]
    Sealed(String),
    /// It could not be stored.
    #[error("storing identities failed")]
    Storage(#[from] StorageError),
}
