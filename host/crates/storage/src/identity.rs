//! Who there is and what they may do, in `identity.db`: users, roles, keys and policies.
//!
//! What belongs to a user or a role hangs on its id, which never changes, so that a new name is one row.
//! Secrets come here sealed and API keys hashed; neither can be used by whoever reads the file.
//!
//! Knows nothing of what a policy says, of limits, or of who may change what.

mod rows;

use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, params};

use crate::{DataDir, StorageError, database};

const FILE: &str = "identity.db";

/// From an empty file to schema version 1, and so on.
const SCHEMA: &[&str] = &["CREATE TABLE users (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    tags TEXT NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE roles (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    path TEXT NOT NULL,
    trust TEXT NOT NULL,
    description TEXT NOT NULL,
    session_seconds_max INTEGER NOT NULL,
    tags TEXT NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE access_keys (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    secret BLOB NOT NULL,
    active INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL,
    used_at_us INTEGER,
    used_service TEXT NOT NULL DEFAULT '',
    used_region TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE TABLE inline_policies (
    owner TEXT NOT NULL,
    name TEXT NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (owner, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE policies (
    arn TEXT NOT NULL PRIMARY KEY,
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    path TEXT NOT NULL,
    description TEXT NOT NULL,
    document TEXT NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE attachments (
    owner TEXT NOT NULL,
    policy TEXT NOT NULL,
    PRIMARY KEY (owner, policy)
) STRICT, WITHOUT ROWID;
CREATE TABLE api_keys (
    name TEXT NOT NULL PRIMARY KEY,
    sha256 BLOB NOT NULL UNIQUE CHECK (length(sha256) = 32),
    enabled INTEGER NOT NULL,
    created_at_us INTEGER NOT NULL
) STRICT, WITHOUT ROWID;"];

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    /// `AIDA...`; never changes.
    pub id: String,
    /// Unique, in any case.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// Names and values.
    pub tags: Vec<(String, String)>,
    /// In Unix microseconds.
    pub created_at_us: i64,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleRecord {
    /// `AROA...`; never changes.
    pub id: String,
    /// Unique, in any case.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// The policy that says who may take it on.
    pub trust: String,
    /// For people.
    pub description: String,
    /// Longest session, in seconds.
    pub session_seconds_max: u32,
    /// Names and values.
    pub tags: Vec<(String, String)>,
    /// In Unix microseconds.
    pub created_at_us: i64,
}

/// A key that requests are signed with.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKeyRecord {
    /// `AKIA...`.
    pub id: String,
    /// The id of a user.
    pub owner: String,
    /// The sealed secret.
    pub secret: Vec<u8>,
    /// Whether it may be used.
    pub is_active: bool,
    /// In Unix microseconds.
    pub created_at_us: i64,
    /// When and for what it was used last, about.
    pub used: Option<KeyUse>,
}

impl std::fmt::Debug for AccessKeyRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AccessKeyRecord")
            .field("id", &self.id)
            .field("owner", &self.owner)
            .field("is_active", &self.is_active)
            .finish_non_exhaustive()
    }
}

/// When and for what a key was used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyUse {
    /// In Unix microseconds.
    pub at_us: i64,
    /// Such as `lambda`.
    pub service: String,
    /// The region of the request.
    pub region: String,
}

/// A policy in a user or role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InlinePolicyRecord {
    /// The id of the user or role.
    pub owner: String,
    /// Unique in its owner.
    pub name: String,
    /// JSON.
    pub document: String,
}

/// A policy that stands by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRecord {
    /// Its Amazon resource name.
    pub arn: String,
    /// `ANPA...`.
    pub id: String,
    /// The last part of the ARN.
    pub name: String,
    /// Begins and ends with `/`.
    pub path: String,
    /// For people.
    pub description: String,
    /// JSON.
    pub document: String,
    /// In Unix microseconds.
    pub created_at_us: i64,
}

/// A key of HTTP triggers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Unique.
    pub name: String,
    /// SHA-256 of the key.
    pub sha256: [u8; 32],
    /// Whether it may be used.
    pub is_enabled: bool,
    /// In Unix microseconds.
    pub created_at_us: i64,
}

/// All that is stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IdentityRecords {
    /// By id.
    pub users: Vec<UserRecord>,
    /// By id.
    pub roles: Vec<RoleRecord>,
    /// By id.
    pub access_keys: Vec<AccessKeyRecord>,
    /// By owner and name.
    pub inline_policies: Vec<InlinePolicyRecord>,
    /// By ARN.
    pub policies: Vec<PolicyRecord>,
    /// Id of a user or role, and the ARN of a policy.
    pub attachments: Vec<(String, String)>,
    /// By name.
    pub api_keys: Vec<ApiKeyRecord>,
}

/// One thing to change. `Put` replaces what has the same key.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "the names say it")]
pub enum IdentityChange<'a> {
    PutUser(&'a UserRecord),
    /// By id, with all that hangs on it.
    DeleteUser(&'a str),
    PutRole(&'a RoleRecord),
    /// By id, with all that hangs on it.
    DeleteRole(&'a str),
    PutAccessKey(&'a AccessKeyRecord),
    DeleteAccessKey(&'a str),
    NoteUse {
        key: &'a str,
        used: &'a KeyUse,
    },
    PutInlinePolicy(&'a InlinePolicyRecord),
    DeleteInlinePolicy {
        owner: &'a str,
        name: &'a str,
    },
    PutPolicy(&'a PolicyRecord),
    /// By ARN.
    DeletePolicy(&'a str),
    Attach {
        owner: &'a str,
        policy: &'a str,
    },
    Detach {
        owner: &'a str,
        policy: &'a str,
    },
    PutApiKey(&'a ApiKeyRecord),
    DeleteApiKey(&'a str),
}

/// The stored identities. Cheap to clone.
#[derive(Debug, Clone)]
pub struct IdentityStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Holds the lock of the directory.
    _data_dir: DataDir,
    path: PathBuf,
    connection: Mutex<Connection>,
}

impl IdentityStore {
    /// Opens the identities of a data directory that is ours.
    ///
    /// # Errors
    ///
    /// [`StorageError::NewerFormat`] when a newer Mayfly wrote them, [`StorageError::Database`] when
    /// they can't be read, [`StorageError::ReadOnly`] when the directory is not ours.
    pub fn open(data_dir: &DataDir) -> Result<Self, StorageError> {
        data_dir.require_writable()?;
        let path = data_dir.path().join(FILE);
        let connection = Mutex::new(database::open(&path, SCHEMA)?);
        Ok(Self(Arc::new(Inner {
            _data_dir: data_dir.clone(),
            path,
            connection,
        })))
    }

    /// Everything.
    ///
    /// # Errors
    ///
    /// [`StorageError::Database`] when it can't be read, or when a row is not one that we wrote.
    pub fn load(&self) -> Result<IdentityRecords, StorageError> {
        rows::read(&self.0.connection.lock()).map_err(self.failed("reading identities"))
    }

    /// Makes all changes or none. Durable when this returns.
    ///
    /// # Errors
    ///
    /// [`StorageError::Full`] or [`StorageError::Database`] when they can't be written.
    pub fn apply(&self, changes: &[IdentityChange<'_>]) -> Result<(), StorageError> {
        let mut connection = self.0.connection.lock();
        (|| {
            let transaction = connection.transaction()?;
            for change in changes {
                write(&transaction, change)?;
            }
            transaction.commit()
        })()
        .map_err(self.failed("storing identities"))
    }

    fn failed<'a>(
        &'a self,
        doing: &'static str,
    ) -> impl FnOnce(rusqlite::Error) -> StorageError + use<'a> {
        StorageError::database(doing, &self.0.path)
    }
}

fn write(transaction: &Transaction<'_>, change: &IdentityChange<'_>) -> rusqlite::Result<()> {
    match change {
        IdentityChange::PutUser(user) => rows::put_user(transaction, user),
        IdentityChange::PutRole(role) => rows::put_role(transaction, role),
        IdentityChange::DeleteUser(id) => rows::delete_owner(transaction, "users", id),
        IdentityChange::DeleteRole(id) => rows::delete_owner(transaction, "roles", id),
        IdentityChange::PutAccessKey(key) => rows::put_access_key(transaction, key),
        IdentityChange::DeleteAccessKey(id) => {
            transaction.execute("DELETE FROM access_keys WHERE id = ?1", [id])?;
            Ok(())
        }
        IdentityChange::NoteUse { key, used } => {
            transaction.execute(
                "UPDATE access_keys SET used_at_us = ?2, used_service = ?3, used_region = ?4
                 WHERE id = ?1",
                params![key, used.at_us, used.service, used.region],
            )?;
            Ok(())
        }
        IdentityChange::PutInlinePolicy(policy) => {
            transaction.execute(
                "INSERT OR REPLACE INTO inline_policies (owner, name, document) VALUES (?1, ?2, ?3)",
                params![policy.owner, policy.name, policy.document],
            )?;
            Ok(())
        }
        IdentityChange::DeleteInlinePolicy { owner, name } => {
            transaction.execute(
                "DELETE FROM inline_policies WHERE owner = ?1 AND name = ?2",
                [owner, name],
            )?;
            Ok(())
        }
        IdentityChange::PutPolicy(policy) => rows::put_policy(transaction, policy),
        IdentityChange::DeletePolicy(arn) => {
            transaction.execute("DELETE FROM policies WHERE arn = ?1", [arn])?;
            transaction.execute("DELETE FROM attachments WHERE policy = ?1", [arn])?;
            Ok(())
        }
        IdentityChange::Attach { owner, policy } => {
            transaction.execute(
                "INSERT OR REPLACE INTO attachments (owner, policy) VALUES (?1, ?2)",
                [owner, policy],
            )?;
            Ok(())
        }
        IdentityChange::Detach { owner, policy } => {
            transaction.execute(
                "DELETE FROM attachments WHERE owner = ?1 AND policy = ?2",
                [owner, policy],
            )?;
            Ok(())
        }
        IdentityChange::PutApiKey(key) => {
            transaction.execute(
                "INSERT OR REPLACE INTO api_keys (name, sha256, enabled, created_at_us)
                 VALUES (?1, ?2, ?3, ?4)",
                params![key.name, key.sha256, key.is_enabled, key.created_at_us],
            )?;
            Ok(())
        }
        IdentityChange::DeleteApiKey(name) => {
            transaction.execute("DELETE FROM api_keys WHERE name = ?1", [name])?;
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
