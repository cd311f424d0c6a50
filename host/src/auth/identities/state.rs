//! One immutable copy of all identities.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::names::ACCOUNT_ID;
use domain::policy::PolicyDocument;
use parking_lot::Mutex;
use storage::identity::{
    AccessKeyRecord, ApiKeyRecord, IdentityRecords, KeyUse, RoleRecord, UserRecord,
};

use super::error::IdentityError;
use super::policies::AWS_MANAGED;
use crate::auth::seal::Sealer;
use crate::auth::secret::Secret;

/// A policy's text and what it means.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) text: String,
    pub(crate) parsed: PolicyDocument,
}

/// The policies of a user or role.
#[derive(Debug, Clone, Default)]
pub(crate) struct Holdings {
    /// By name.
    pub(crate) inline: BTreeMap<String, Arc<Document>>,
    /// ARNs of policies.
    pub(crate) attached: BTreeSet<String>,
}

/// A user.
#[derive(Debug, Clone)]
pub(crate) struct User {
    pub(crate) record: UserRecord,
    pub(crate) holdings: Holdings,
}

impl User {
    pub(crate) fn arn(&self) -> String {
        let UserRecord { path, name, .. } = &self.record;
        format!("arn:aws:iam::{ACCOUNT_ID}:user{path}{name}")
    }
}

/// A role.
#[derive(Debug, Clone)]
pub(crate) struct Role {
    pub(crate) record: RoleRecord,
    pub(crate) trust: PolicyDocument,
    pub(crate) holdings: Holdings,
}

impl Role {
    pub(crate) fn arn(&self) -> String {
        let RoleRecord { path, name, .. } = &self.record;
        format!("arn:aws:iam::{ACCOUNT_ID}:role{path}{name}")
    }
}

/// A policy that stands by itself.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) arn: String,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) description: String,
    pub(crate) document: Document,
    /// In Unix microseconds.
    pub(crate) created_at_us: i64,
    /// Whether AWS wrote it.
    pub(crate) is_aws: bool,
}

/// An access key with its secret open.
#[derive(Debug)]
pub(crate) struct AccessKey {
    pub(crate) id: Arc<str>,
    /// The id of a user.
    pub(crate) owner: String,
    pub(crate) secret: Secret,
    pub(crate) is_active: bool,
    pub(crate) created_at_us: i64,
    pub(super) used: Arc<Mutex<Used>>,
    /// As it is stored.
    pub(super) sealed: Vec<u8>,
}

impl AccessKey {
    /// When and for what it was used last.
    pub(crate) fn used(&self) -> Option<KeyUse> {
        self.used.lock().last.clone()
    }

    pub(super) fn record(&self) -> AccessKeyRecord {
        AccessKeyRecord {
            id: self.id.to_string(),
            owner: self.owner.clone(),
            secret: self.sealed.clone(),
            is_active: self.is_active,
            created_at_us: self.created_at_us,
            used: self.used(),
        }
    }
}

/// The last use of a key, and when one was stored. Shared by the copies of a key.
#[derive(Debug, Default)]
pub(super) struct Used {
    pub(super) last: Option<KeyUse>,
    /// In Unix microseconds.
    pub(super) stored_at_us: Option<i64>,
}

/// Everybody and everything. Cheap to clone: names and pointers.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// By name.
    pub(crate) users: BTreeMap<String, Arc<User>>,
    /// By name.
    pub(crate) roles: BTreeMap<String, Arc<Role>>,
    /// By ARN, those of AWS among them.
    pub(crate) policies: BTreeMap<String, Arc<Policy>>,
    /// By id.
    pub(crate) keys: HashMap<Arc<str>, Arc<AccessKey>>,
    /// By name.
    pub(crate) api_keys: BTreeMap<String, Arc<ApiKeyRecord>>,
    /// The names of those that may be used, by hash.
    pub(super) api_key_names: HashMap<[u8; 32], Arc<str>>,
    /// From a user's id to the name.
    pub(super) user_names: HashMap<String, String>,
}

impl State {
    pub(super) fn from_records(
        records: IdentityRecords,
        sealer: &Sealer,
    ) -> Result<Self, IdentityError> {
        let mut state = Self::default();
        let mut holdings: HashMap<String, Holdings> = HashMap::new();
        for policy in records.inline_policies {
            let document = stored(
                &policy.name,
                policy.document,
                PolicyDocument::parse_identity,
            )?;
            let of_owner = holdings.entry(policy.owner).or_default();
            of_owner.inline.insert(policy.name, Arc::new(document));
        }
        for (owner, arn) in records.attachments {
            holdings.entry(owner).or_default().attached.insert(arn);
        }
        for record in records.users {
            let holdings = holdings.remove(&record.id).unwrap_or_default();
            state.put_user(Arc::new(User { record, holdings }));
        }
        for record in records.roles {
            let holdings = holdings.remove(&record.id).unwrap_or_default();
            let trust = stored(
                &record.name,
                record.trust.clone(),
                PolicyDocument::parse_trust,
            )?
            .parsed;
            let role = Role {
                trust,
                holdings,
                record,
            };
            state.roles.insert(role.record.name.clone(), Arc::new(role));
        }
        for policy in records.policies {
            let document = stored(&policy.arn, policy.document, PolicyDocument::parse_identity)?;
            state.put_policy(Policy {
                arn: policy.arn,
                id: policy.id,
                name: policy.name,
                path: policy.path,
                description: policy.description,
                document,
                created_at_us: policy.created_at_us,
                is_aws: false,
            });
        }
        for managed in AWS_MANAGED {
            state.put_policy(managed.policy()?);
        }
        for record in records.access_keys {
            state.put_key(open_key(record, sealer)?);
        }
        for record in records.api_keys {
            state.put_api_key(record);
        }
        Ok(state)
    }

    /// The user with an id that never changes.
    pub(crate) fn user_by_id(&self, id: &str) -> Option<&Arc<User>> {
        self.users.get(self.user_names.get(id)?)
    }

    /// The id of the user or role that an ARN names now.
    pub(crate) fn id_of(&self, arn: &str) -> Option<&str> {
        let name = arn.rsplit('/').next()?;
        let user = self.users.get(name).filter(|user| user.arn() == arn);
        let role = self.roles.get(name).filter(|role| role.arn() == arn);
        user.map(|user| user.record.id.as_str())
            .or_else(|| role.map(|role| role.record.id.as_str()))
    }

    /// The ARN that the user or role of an id has now.
    pub(crate) fn arn_of(&self, id: &str) -> Option<String> {
        let user = self.user_by_id(id).map(|user| user.arn());
        user.or_else(|| {
            let mut roles = self.roles.values();
            roles
                .find(|role| role.record.id == id)
                .map(|role| role.arn())
        })
    }

    pub(crate) fn user(&self, name: &str) -> Result<&Arc<User>, IdentityError> {
        let unknown = || IdentityError::NoUser(name.to_owned());
        self.users.get(name).ok_or_else(unknown)
    }

    pub(crate) fn role(&self, name: &str) -> Result<&Arc<Role>, IdentityError> {
        let unknown = || IdentityError::NoRole(name.to_owned());
        self.roles.get(name).ok_or_else(unknown)
    }

    /// The keys of a user, by the user's id; oldest first.
    pub(crate) fn keys_of(&self, owner: &str) -> Vec<Arc<AccessKey>> {
        let mut keys: Vec<_> = self
            .keys
            .values()
            .filter(|key| key.owner == owner)
            .cloned()
            .collect();
        keys.sort_by(|a, b| (a.created_at_us, &a.id).cmp(&(b.created_at_us, &b.id)));
        keys
    }

    /// How many users and roles a policy is attached to.
    pub(crate) fn attachments(&self, arn: &str) -> usize {
        let users = self.users.values().map(|user| &user.holdings);
        let roles = self.roles.values().map(|role| &role.holdings);
        users
            .chain(roles)
            .filter(|holdings| holdings.attached.contains(arn))
            .count()
    }

    /// What the policies of a user or role say. One that is attached and gone says nothing.
    pub(crate) fn documents<'a>(
        &'a self,
        holdings: &'a Holdings,
    ) -> Vec<(&'a str, &'a PolicyDocument)> {
        let inline = holdings
            .inline
            .iter()
            .map(|(name, document)| (name.as_str(), &document.parsed));
        let attached = holdings.attached.iter().filter_map(|arn| {
            let policy = self.policies.get(arn)?;
            Some((policy.arn.as_str(), &policy.document.parsed))
        });
        inline.chain(attached).collect()
    }

    pub(super) fn put_user(&mut self, user: Arc<User>) {
        let UserRecord { id, name, .. } = &user.record;
        if let Some(old) = self.user_names.insert(id.clone(), name.clone()) {
            self.users.remove(&old);
        }
        self.users.insert(name.clone(), user);
    }

    pub(super) fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(policy.arn.clone(), Arc::new(policy));
    }

    pub(super) fn put_key(&mut self, key: AccessKey) {
        self.keys.insert(Arc::clone(&key.id), Arc::new(key));
    }

    pub(super) fn put_api_key(&mut self, record: ApiKeyRecord) {
        if record.is_enabled {
            let name = record.name.as_str().into();
            self.api_key_names.insert(record.sha256, name);
        } else {
            self.api_key_names.remove(&record.sha256);
        }
        self.api_keys.insert(record.name.clone(), Arc::new(record));
    }
}

fn stored(
    name: &str,
    text: String,
    parse: fn(&str) -> Result<PolicyDocument, domain::policy::PolicyError>,
) -> Result<Document, IdentityError> {
    match parse(&text) {
        Ok(parsed) => Ok(Document { text, parsed }),
        Err(source) => Err(IdentityError::Stored {
            name: name.to_owned(),
            source,
        }),
    }
}

fn open_key(record: AccessKeyRecord, sealer: &Sealer) -> Result<AccessKey, IdentityError> {
    let foreign = || IdentityError::Sealed(record.id.clone());
    let plain = sealer
        .open(&record.secret, &record.id)
        .map_err(|_| foreign())?;
    let secret = std::str::from_utf8(&plain).map_err(|_| foreign())?;
    let used = Used {
        stored_at_us: record.used.as_ref().map(|used| used.at_us),
        last: record.used,
    };
    Ok(AccessKey {
        secret: Secret::new(secret.to_owned()),
        id: record.id.into(),
        owner: record.owner,
        is_active: record.is_active,
        created_at_us: record.created_at_us,
        used: Arc::new(Mutex::new(used)),
        sealed: record.secret,
    })
}
