//! The one way a function changes: under the lock, recorded, then swapped in.
//!
//! Every change of the control API goes through [`Registry::change`] or makes or forgets a whole
//! function. What fails leaves everything as it was. Calls block for the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{AliasName, Fault, FunctionName};
use storage::{Origin, StorageError};
use uuid::Uuid;

use super::function::Function;
use super::publish::PublishError;
use super::settings::Settings;
use super::{Registry, UrlTarget};

/// What must stay for functions without a reservation, if the process runs as many; a tenth otherwise.
/// Lambda's figure.
const UNRESERVED_MIN: u32 = 100;

/// Why a function is not changed. Each text is for the caller.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("there is no function `{name}`")]
    UnknownFunction { name: FunctionName },
    #[error("function `{name}` has no version {number}")]
    UnknownVersion { name: FunctionName, number: u64 },
    #[error("function `{name}` has no alias `{alias}`")]
    UnknownAlias {
        name: FunctionName,
        alias: AliasName,
    },
    #[error("there is a function `{name}` already")]
    Exists { name: FunctionName },
    #[error("function `{name}` has an alias `{alias}` already")]
    AliasExists {
        name: FunctionName,
        alias: AliasName,
    },
    /// It was changed since the caller looked.
    #[error("the revision is not {given} any more; it is {current} now")]
    Revision { given: Uuid, current: Uuid },
    /// The code was changed since the caller looked.
    #[error(
        "the SHA-256 of $LATEST is not {}; it is {}", STANDARD.encode(given), STANDARD.encode(current)
    )]
    CodeSha { given: [u8; 32], current: [u8; 32] },
    #[error(
        "function `{name}` comes from the functions folder: its file {name}.wasm and the manifest beside it decide; change or remove those"
    )]
    FromDropFolder { name: FunctionName },
    #[error("version {number} of function `{name}` is what {} {}", list(aliases), if aliases.len() == 1 { "leads to" } else { "lead to" })]
    InUse {
        name: FunctionName,
        number: u64,
        aliases: Vec<AliasName>,
    },
    #[error(
        "reserving {asked} would leave less than {minimum} of {limit} for functions without a reservation"
    )]
    TooFewUnreserved {
        asked: u32,
        minimum: u32,
        limit: u32,
    },
    #[error("alias `{alias}` of function `{name}` never pointed elsewhere")]
    NothingBefore {
        name: FunctionName,
        alias: AliasName,
    },
    #[error("function `{name}` has {}; name the one that is meant", if aliases.is_empty() { "no alias".to_owned() } else { list(aliases) })]
    WhichAlias {
        name: FunctionName,
        aliases: Vec<AliasName>,
    },
    /// It contradicts a rule, which the text names.
    #[error("{0}")]
    Invalid(String),
    #[error(transparent)]
    Publish(#[from] PublishError),
    #[error("storing the function failed")]
    Storage(#[from] StorageError),
}

impl ChangeError {
    /// Whose failure this is.
    pub(crate) fn fault(&self) -> Fault {
        match self {
            Self::UnknownFunction { .. }
            | Self::UnknownVersion { .. }
            | Self::UnknownAlias { .. }
            | Self::Exists { .. }
            | Self::AliasExists { .. }
            | Self::Revision { .. }
            | Self::CodeSha { .. }
            | Self::FromDropFolder { .. }
            | Self::InUse { .. }
            | Self::TooFewUnreserved { .. }
            | Self::NothingBefore { .. }
            | Self::WhichAlias { .. }
            | Self::Invalid(_) => Fault::Caller,
            Self::Publish(error) => error.fault(),
            Self::Storage(_) => Fault::Host,
        }
    }
}

fn list(aliases: &[AliasName]) -> String {
    let names: Vec<_> = aliases.iter().map(|name| format!("`{name}`")).collect();
    let word = if names.len() == 1 { "alias" } else { "aliases" };
    format!("{word} {}", names.join(", "))
}

impl Registry {
    /// Changes the settings of a function. `change` is called under the lock with the function as it is.
    ///
    /// # Errors
    ///
    /// [`ChangeError`]; those of `change` among them.
    pub(crate) fn update_settings<T>(
        &self,
        name: &FunctionName,
        change: impl FnOnce(&Function, &mut Settings) -> Result<T, ChangeError>,
    ) -> Result<T, ChangeError> {
        let changed = self.change(name, |function| {
            let mut settings = function.settings.clone();
            let made = change(function, &mut settings)?;
            function.settings = settings;
            Ok(made)
        });
        changed.map(|(_function, made)| made)
    }

    /// How many invocations are reserved by all functions together.
    pub(crate) fn reserved_concurrency(&self) -> u32 {
        let reserved = self.functions.iter();
        reserved
            .filter_map(|function| function.settings.reserved_concurrency)
            .fold(0, u32::saturating_add)
    }

    /// Removes a function that was made through the API, whole.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn delete(&self, name: &FunctionName) -> Result<(), ChangeError> {
        let _publishing = self.publishing.lock();
        check_ours(&*self.existing(name)?)?;
        self.parts.records.delete_function(name)?;
        self.forget(name);
        self.unswept.fetch_add(1, Ordering::Relaxed);
        self.given_up.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Lets `edit` change a copy of a function, records it and swaps it in.
    pub(super) fn change<T>(
        &self,
        name: &FunctionName,
        edit: impl FnOnce(&mut Function) -> Result<T, ChangeError>,
    ) -> Result<(Arc<Function>, T), ChangeError> {
        let _publishing = self.publishing.lock();
        let old = self.existing(name)?;
        let mut new = Function::clone(&old);
        let made = edit(&mut new)?;
        self.check_reservation(&old, &new)?;
        let writes = new.writes(Some(&old));
        if writes.is_empty() {
            return Ok((old, made));
        }
        self.parts.records.write(&writes)?;
        let new = Arc::new(new);
        self.swap_in(&new);
        if !old.all_versions().all(|version| is_in(version, &new)) {
            self.unswept.fetch_add(1, Ordering::Relaxed);
        }
        Ok((new, made))
    }

    /// A function that is there.
    pub(super) fn existing(&self, name: &FunctionName) -> Result<Arc<Function>, ChangeError> {
        let unknown = || ChangeError::UnknownFunction { name: name.clone() };
        self.function(name).ok_or_else(unknown)
    }

    fn check_reservation(&self, old: &Function, new: &Function) -> Result<(), ChangeError> {
        let before = old.settings.reserved_concurrency;
        let Some(asked) = new
            .settings
            .reserved_concurrency
            .filter(|_| new.settings.reserved_concurrency > before)
        else {
            return Ok(());
        };
        let limit = self.parts.concurrency_max;
        let minimum = unreserved_min(limit);
        let others = self.reserved_concurrency() - before.unwrap_or(0);
        if u64::from(others) + u64::from(asked) + u64::from(minimum) > u64::from(limit) {
            return Err(ChangeError::TooFewUnreserved {
                asked,
                minimum,
                limit,
            });
        }
        Ok(())
    }

    /// What the API changed that concerns the drop folder: how much was given up since the start that a
    /// dropped function may want, and how much lies unswept; the latter is taken.
    pub(super) fn news_for_folder(&self) -> (u64, usize) {
        let given_up = self.given_up.load(Ordering::Relaxed);
        (given_up, self.unswept.swap(0, Ordering::Relaxed))
    }

    /// Where a function URL leads.
    pub(crate) fn url(&self, id: &str) -> Option<UrlTarget> {
        self.urls.get(id).map(|target| target.clone())
    }

    /// An id for a function URL that no other has.
    pub(crate) fn new_url_id(&self) -> String {
        const DIGITS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
        const DIGITS_OF_ONE: usize = 8;
        let mut id = String::with_capacity(32);
        while id.len() < 32 {
            let mut bits = self.random.bits();
            for _ in 0..DIGITS_OF_ONE {
                let digit = usize::try_from(bits % 36).unwrap_or(0);
                id.push(char::from(DIGITS[digit]));
                bits /= 36;
            }
        }
        id
    }
}

/// What must stay unreserved of `limit`.
pub(crate) fn unreserved_min(limit: u32) -> u32 {
    UNRESERVED_MIN.min(limit / 10)
}

/// What the files in the drop folder decide can't be changed otherwise.
pub(super) fn check_ours(function: &Function) -> Result<(), ChangeError> {
    match function.origin {
        Origin::Api => Ok(()),
        Origin::Drop => Err(ChangeError::FromDropFolder {
            name: function.name.clone(),
        }),
    }
}

/// A change that was asked for under a condition happens only while that holds.
pub(super) fn check_revision(given: Option<Uuid>, current: Uuid) -> Result<(), ChangeError> {
    match given {
        Some(given) if given != current => Err(ChangeError::Revision { given, current }),
        _ => Ok(()),
    }
}

fn is_in(version: &Arc<super::Version>, function: &Function) -> bool {
    function
        .version(version.id)
        .is_some_and(|other| Arc::ptr_eq(version, other))
}
