//! Users and roles: made, renamed, deleted.

use std::sync::Arc;

use domain::policy::PolicyDocument;
use storage::IdentityChange;
use storage::identity::{RoleRecord, UserRecord};

use super::error::IdentityError;
use super::state::{Holdings, Role, State, User};
use super::{Identities, new_id};

/// Users and roles that there may be: AWS's quotas.
const USERS_MAX: usize = 5_000;
const ROLES_MAX: usize = 1_000;

/// What a user becomes.
#[derive(Debug, Default)]
pub(crate) struct UserUpdate {
    pub(crate) name: Option<String>,
    pub(crate) path: Option<String>,
}

/// A role to be made.
#[derive(Debug)]
pub(crate) struct NewRole {
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) trust: String,
    pub(crate) description: String,
    pub(crate) session_seconds_max: u32,
    pub(crate) tags: Vec<(String, String)>,
}

impl Identities {
    /// Makes a user.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Exists`] when the name is taken, in any case; [`IdentityError::Limit`].
    pub(crate) fn create_user(
        &self,
        name: &str,
        path: &str,
        tags: Vec<(String, String)>,
    ) -> Result<Arc<User>, IdentityError> {
        let mut draft = self.draft();
        free_user_name(&draft.state, name, None)?;
        within(draft.state.users.len(), "UsersPerAccount", USERS_MAX)?;
        let record = UserRecord {
            id: new_id("AIDA"),
            name: name.to_owned(),
            path: path.to_owned(),
            tags,
            created_at_us: self.clock.unix_us(),
        };
        let user = Arc::new(User {
            record,
            holdings: Holdings::default(),
        });
        draft.state.put_user(Arc::clone(&user));
        draft.commit(&[IdentityChange::PutUser(&user.record)])?;
        Ok(user)
    }

    /// Gives a user another name or path. Keys and policies stay.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoUser`], [`IdentityError::Exists`].
    pub(crate) fn update_user(&self, name: &str, update: UserUpdate) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let mut user = User::clone(draft.state.user(name)?);
        if let Some(new) = update.name {
            free_user_name(&draft.state, &new, Some(&user.record.id))?;
            user.record.name = new;
        }
        if let Some(path) = update.path {
            user.record.path = path;
        }
        let user = Arc::new(user);
        draft.state.put_user(Arc::clone(&user));
        draft.commit(&[IdentityChange::PutUser(&user.record)])
    }

    /// Deletes a user who holds nothing any more.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoUser`], [`IdentityError::DeleteConflict`].
    pub(crate) fn delete_user(&self, name: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let user = Arc::clone(draft.state.user(name)?);
        if !draft.state.keys_of(&user.record.id).is_empty() {
            return Err(IdentityError::DeleteConflict {
                what: "a user",
                remains: "access keys",
            });
        }
        holds_nothing("a user", &user.holdings)?;
        draft.state.users.remove(name);
        draft.state.user_names.remove(&user.record.id);
        draft.commit(&[IdentityChange::DeleteUser(&user.record.id)])
    }

    /// Makes a role.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Malformed`] when its trust policy is not understood, [`IdentityError::Exists`],
    /// [`IdentityError::Limit`].
    pub(crate) fn create_role(&self, new: NewRole) -> Result<Arc<Role>, IdentityError> {
        let trust = PolicyDocument::parse_trust(&new.trust)?;
        let mut draft = self.draft();
        let is_taken = |name: &String| name.eq_ignore_ascii_case(&new.name);
        if draft.state.roles.keys().any(is_taken) {
            return Err(IdentityError::Exists {
                what: "Role",
                name: new.name,
            });
        }
        within(draft.state.roles.len(), "RolesPerAccount", ROLES_MAX)?;
        let record = RoleRecord {
            id: new_id("AROA"),
            name: new.name,
            path: new.path,
            trust: new.trust,
            description: new.description,
            session_seconds_max: new.session_seconds_max,
            tags: new.tags,
            created_at_us: self.clock.unix_us(),
        };
        let role = Arc::new(Role {
            record,
            trust,
            holdings: Holdings::default(),
        });
        draft
            .state
            .roles
            .insert(role.record.name.clone(), Arc::clone(&role));
        draft.commit(&[IdentityChange::PutRole(&role.record)])?;
        Ok(role)
    }

    /// Replaces the policy that says who may take on a role.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoRole`], [`IdentityError::Malformed`].
    pub(crate) fn update_trust(&self, name: &str, text: &str) -> Result<(), IdentityError> {
        let trust = PolicyDocument::parse_trust(text)?;
        let mut draft = self.draft();
        let mut role = Role::clone(draft.state.role(name)?);
        role.trust = trust;
        text.clone_into(&mut role.record.trust);
        let role = Arc::new(role);
        draft.state.roles.insert(name.to_owned(), Arc::clone(&role));
        draft.commit(&[IdentityChange::PutRole(&role.record)])
    }

    /// Deletes a role that holds nothing any more.
    ///
    /// # Errors
    ///
    /// [`IdentityError::NoRole`], [`IdentityError::DeleteConflict`].
    pub(crate) fn delete_role(&self, name: &str) -> Result<(), IdentityError> {
        let mut draft = self.draft();
        let role = Arc::clone(draft.state.role(name)?);
        holds_nothing("a role", &role.holdings)?;
        draft.state.roles.remove(name);
        draft.commit(&[IdentityChange::DeleteRole(&role.record.id)])
    }
}

/// Whether nobody but the user with the id `own` has the name, in any case.
fn free_user_name(state: &State, name: &str, own: Option<&str>) -> Result<(), IdentityError> {
    let is_taken = state.users.values().any(|user| {
        user.record.name.eq_ignore_ascii_case(name) && own != Some(user.record.id.as_str())
    });
    if is_taken {
        return Err(IdentityError::Exists {
            what: "User",
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn holds_nothing(what: &'static str, holdings: &Holdings) -> Result<(), IdentityError> {
    let conflict = |remains| Err(IdentityError::DeleteConflict { what, remains });
    if !holdings.inline.is_empty() {
        conflict("inline policies")
    } else if !holdings.attached.is_empty() {
        conflict("attached policies")
    } else {
        Ok(())
    }
}

/// Whether there may be one more.
pub(super) fn within(count: usize, quota: &'static str, max: usize) -> Result<(), IdentityError> {
    if count < max {
        Ok(())
    } else {
        Err(IdentityError::Limit { quota, max })
    }
}
