//! Who there is, what they hold and what their policies say: the copy in memory that is asked.
//!
//! A copy is immutable and swapped whole. A change is made to a draft of the next copy, stored, and
//! swapped in when it is durable: a key that is disabled or deleted is refused by the next request.
//!
//! Knows nothing of requests, signatures, or of who may change what.

mod error;
mod keys;
mod people;
mod policies;
mod state;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::Clock;
use parking_lot::{Mutex, MutexGuard};
use storage::{IdentityChange, IdentityStore};

pub(crate) use self::error::IdentityError;
pub(crate) use self::people::{NewRole, UserUpdate};
pub(crate) use self::policies::Owner;
pub(crate) use self::state::{AccessKey, Holdings, Policy, Role, State, User};
use super::generate;
use super::seal::Sealer;

/// All identities.
#[derive(Debug)]
pub(crate) struct Identities {
    store: IdentityStore,
    sealer: Sealer,
    clock: Clock,
    state: ArcSwap<State>,
    /// Held while a change is made.
    changing: Mutex<()>,
    /// Held from the decision about a change to its end.
    deciding: Mutex<()>,
}

impl Identities {
    /// Reads what is stored and opens its secrets.
    ///
    /// # Errors
    ///
    /// [`IdentityError::Storage`]; [`IdentityError::Sealed`] when a secret was sealed with another key;
    /// [`IdentityError::Stored`] when a policy is not understood.
    pub(crate) fn open(
        store: IdentityStore,
        sealer: Sealer,
        clock: Clock,
    ) -> Result<Self, IdentityError> {
        let state = State::from_records(store.load()?, &sealer)?;
        Ok(Self {
            store,
            sealer,
            clock,
            state: ArcSwap::from_pointee(state),
            changing: Mutex::default(),
            deciding: Mutex::default(),
        })
    }

    /// Everybody and everything as it is now.
    pub(crate) fn now(&self) -> Arc<State> {
        self.state.load_full()
    }

    /// Until this is dropped, changes that somebody asks for wait before they are decided on. Waits for
    /// the disk.
    pub(crate) fn hold(&self) -> MutexGuard<'_, ()> {
        self.deciding.lock()
    }

    /// The next state, to be changed and committed. Others wait until it is dropped.
    fn draft(&self) -> Draft<'_> {
        let changing = self.changing.lock();
        Draft {
            identities: self,
            state: State::clone(&self.state.load()),
            _changing: changing,
        }
    }
}

/// A state that is not in force yet.
struct Draft<'a> {
    identities: &'a Identities,
    state: State,
    _changing: MutexGuard<'a, ()>,
}

impl Draft<'_> {
    /// Stores what was changed, and then puts the draft in force.
    fn commit(self, changes: &[IdentityChange<'_>]) -> Result<(), IdentityError> {
        self.identities.store.apply(changes)?;
        self.identities.state.store(Arc::new(self.state));
        Ok(())
    }
}

/// A new id of a user, role or policy: the prefix that says which, and 17 of `A-Z2-7`.
fn new_id(prefix: &str) -> String {
    let (first, second) = (generate::access_key_id(), generate::access_key_id());
    let chars = first.chars().skip(4).chain(second.chars().skip(4));
    prefix.chars().chain(chars.take(17)).collect()
}
