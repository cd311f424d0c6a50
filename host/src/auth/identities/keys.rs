//! Keys: those that requests are signed with, and API keys of HTTP triggers.
//!
//! A secret leaves here once, when it is made.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use storage::IdentityChange;
use storage::identity::{ApiKeyRecord, KeyUse};

use super::Identities;
use super::error::IdentityError;
use super::people::within;
use super::state::{AccessKey, State};
use crate::auth::authentication::KnownKey;
use crate::auth::secret::Secret;
use crate::auth::{Identity, generate};

/// Access keys that a user may have: AWS's quota. Two, so that one can take over from the other.
const KEYS_MAX: usize = 2;

/// API keys that there may be.
const API_KEYS_MAX: usize = 10_000;

/// How long a stored last use is good enough, in microseconds: an hour.
const USE_STORED_US: i64 = 3_600_000_000;

/// An access key that was made just now.
#[derive(Debug)]
pub(crate) struct NewKey {
    pub(crate) id: Arc<str>,
    pub(crate) secret: Secret,
    /// In Unix microseconds.
    pub(crate) created_at_us: i64,
}

/// An API key that was made just now.
#[derive(Debug)]
pub(crate) struct NewApiKey {
    pub(crate) record: ApiKeyRecord,
    /// What clients send.
    pub(crate) key: Secret,
}

impl Identities {
    /// The access key with this id.
    pub(crate) fn key(&self, id: &str) -> Option<KnownKey> {
        let state = self.state.load();
        let key = state.keys.get(id)?;
        let user = state.user_by_id(&key.owner)?;
        Some(KnownKey {
            secret: key.secret.clone(),
            identity: Identity::user(&user.record.path, &user.record.name),
            active: key.is_active,
        })
    }

    /// Notes that a key was used. Writes at most once an hour for each key; that fails without harm.
    pub(crate) fn note_use(&self, id: &str, service: &str, region: &str) {
        let now_us = self.clock.unix_us();
        let used = KeyUse {
            at_us: now_us,
            service: service.to_owned(),
            region: region.to_owned(),
        };
        {
            let state = self.state.load();
            let Some(key) = state.keys.get(id) else {
                return;
            };
            let mut known = key.used.lock();
            known.last = Some(used.clone());
            if known
                .stored_at_us
                .is_some_and(|at| now_us.saturating_sub(at) < USE_STORED_US)
            {
                return;
            }
            known.stored_at_us = Some(now_us);
        }
        let change = IdentityChange::NoteUse {
            key: id,
            used: &used,
        };
        if let Err(error) = self.store.apply(&[change]) {
            tracing::warn!(%error, key = id, "the last use of an access key was not stored");
        }
    }

    /// Makes an access key for a user, by name.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoUser`], [`IdentityError::Limit`].
    pub(crate) fn create_key(&self, user: &str) -> Result<NewKey, IdentityError> {
        let mut draft = self.draft();
        let owner = draft.state.user(user)?.record.id.clone();
        let count = draft.state.keys_of(&owner).len();
        within(count, "AccessKeysPerUser", KEYS_MAX)?;
        let id = generate::access_key_id();
        let secret = generate::secret();
        let key = AccessKey {
            sealed: self.sealer.seal(secret.expose().as_bytes(), &id),
            id: id.into(),
            owner,
            secret: secret.clone(),
            is_active: true,
            created_at_us: self.clock.unix_us(),
            used: Arc::default(),
        };
        let record = key.record();
        let new = NewKey {
            id: Arc::clone(&key.id),
            secret,
            created_at_us: key.created_at_us,
        };
        draft.state.put_key(key);
        draft.commit(&[IdentityChange::PutAccessKey(&record)])?;
        Ok(new)
    }

    /// Enables or disables a key of a user, by name.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoAccessKey`] when it is not theirs.
    pub(crate) fn set_key_active(
        &self,
        user: &str,
        id: &str,
        is_active: bool,
    ) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let key = own_key(&draft.state, user, id)?;
        let key = AccessKey {
            id: Arc::clone(&key.id),
            owner: key.owner.clone(),
            secret: key.secret.clone(),
            is_active,
            created_at_us: key.created_at_us,
            used: Arc::clone(&key.used),
            sealed: key.sealed.clone(),
        };
        let record = key.record();
        draft.state.put_key(key);
        draft.commit(&[IdentityChange::PutAccessKey(&record)])
    }

    /// Deletes a key of a user, by name.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoAccessKey`] when it is not theirs.
    pub(crate) fn delete_key(&self, user: &str, id: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let key = own_key(&draft.state, user, id)?;
        draft.state.keys.remove(&key.id);
        draft.commit(&[IdentityChange::DeleteAccessKey(id)])
    }

    /// Makes an API key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Exists`], [`IdentityError::Limit`].
    pub(crate) fn create_api_key(&self, name: &str) -> Result<NewApiKey, IdentityError> {
        let mut draft = self.draft();
        if draft.state.api_keys.contains_key(name) {
            return Err(IdentityError::Exists {
                what: "API key",
                name: name.to_owned(),
            });
        }
        within(draft.state.api_keys.len(), "ApiKeys", API_KEYS_MAX)?;
        let key = generate::secret();
        let record = ApiKeyRecord {
            name: name.to_owned(),
            sha256: Sha256::digest(key.expose()).into(),
            is_enabled: true,
            created_at_us: self.clock.unix_us(),
        };
        draft.state.put_api_key(record.clone());
        draft.commit(&[IdentityChange::PutApiKey(&record)])?;
        Ok(NewApiKey { record, key })
    }

    /// Deletes an API key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoApiKey`].
    pub(crate) fn delete_api_key(&self, name: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let removed = draft.state.api_keys.remove(name);
        let record = removed.ok_or_else(|| IdentityError::NoApiKey(name.to_owned()))?;
        draft.state.api_key_names.remove(&record.sha256);
        draft.commit(&[IdentityChange::DeleteApiKey(name)])
    }

    /// The name of the API key that a client sent, if it may be used. The key is looked up by its hash, so
    /// that the time it takes says nothing of keys that there are. Below a microsecond.
    pub(crate) fn api_key_name(&self, key: &str) -> Option<Arc<str>> {
        let sha256: [u8; 32] = Sha256::digest(key).into();
        self.state.load().api_key_names.get(&sha256).cloned()
    }

    /// Enables or disables an API key.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoApiKey`].
    pub(crate) fn set_api_key_enabled(
        &self,
        name: &str,
        is_enabled: bool,
    ) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let known = draft.state.api_keys.get(name);
        let known = known.ok_or_else(|| IdentityError::NoApiKey(name.to_owned()))?;
        let record = ApiKeyRecord {
            is_enabled,
            ..ApiKeyRecord::clone(known)
        };
        draft.state.put_api_key(record.clone());
        draft.commit(&[IdentityChange::PutApiKey(&record)])
    }
}

fn own_key(state: &State, user: &str, id: &str) -> Result<Arc<AccessKey>, IdentityError> {
    let owner = &state.user(user)?.record.id;
    match state.keys.get(id) {
        Some(key) if key.owner == *owner => Ok(Arc::clone(key)),
        _ => Err(IdentityError::NoAccessKey(id.to_owned())),
    }
}
