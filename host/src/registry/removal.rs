//! Functions that go: with their file, or because somebody deletes them.
//!
//! A file may be gone for a moment, and its folder may be one that is not mounted. So what the file does
//! not hold (versions, aliases, settings) is never lost with it: such a function stays, absent, without
//! routes and without a `$LATEST` that runs, until its file is back or somebody deletes it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::FunctionName;
use storage::{Origin, StorageError, Write};

use super::Registry;
use super::change::ChangeError;
use super::function::Function;

/// What became of a function whose file is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Removed {
    /// There was none that had come from the drop folder.
    Nothing,
    /// It is gone.
    Whole,
    /// It is absent: its versions, aliases and settings are kept.
    Kept,
}

impl Registry {
    /// Takes a function that was dropped out of service, now that its file is gone; what runs of it ends
    /// by itself.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; the function is as it was.
    pub(crate) fn remove(&self, name: &FunctionName) -> Result<Removed, StorageError> {
        let _publishing = self.publishing.lock();
        let Some(function) = self.dropped(name) else {
            return Ok(Removed::Nothing);
        };
        if !function.is_more_than_its_file() {
            self.parts.records.delete_function(name)?;
            self.forget(name);
            return Ok(Removed::Whole);
        }
        let absent = Function {
            origin: Origin::Absent,
            ..Function::clone(&function)
        };
        let mut writes = absent.writes(Some(&function))?;
        writes.push(Write::Source(name.clone(), None));
        self.parts.records.write(&writes)?;
        self.swap_in(&Arc::new(absent));
        Ok(Removed::Kept)
    }

    /// Deletes a function whole, unless its file in the drop folder says that it is there. What can't be
    /// read is deleted too.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn delete(&self, name: &FunctionName) -> Result<(), ChangeError> {
        let _publishing = self.publishing.lock();
        if !self.unreadable.contains(name) && self.existing(name)?.origin == Origin::Drop {
            return Err(ChangeError::FromDropFolder { name: name.clone() });
        }
        self.parts.records.delete_function(name)?;
        self.unreadable.remove(name);
        self.forget(name);
        self.unswept.fetch_add(1, Ordering::Relaxed);
        self.given_up.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}
