//! The one way a function changes: under the lock, recorded, then swapped in.
//!
//! Every change of the control API goes through [`Registry::change`] or makes or forgets a whole
//! function. What fails leaves everything as it was. Calls block for the disk.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{AliasName, Fault, FunctionName, Qualifier, VersionId};
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
    #[error(
        "the file of function `{name}` is gone from the functions folder; put it back to change the function, or delete the function"
    )]
    Absent { name: FunctionName },
    #[error(
        "the record of alias `{alias}` of function `{name}` can't be read; delete the alias to make it anew"
    )]
    UnreadableAlias {
        name: FunctionName,
        alias: AliasName,
    },
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
            | Self::Absent { .. }
            | Self::UnreadableAlias { .. }
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
    /// [`ChangeError`], and those of `change`.
    pub(crate) fn update_settings<T, E: From<ChangeError>>(
        &self,
        name: &FunctionName,
        change: impl FnOnce(&Function, &mut Settings) -> Result<T, E>,
    ) -> Result<T, E> {
        let changed = self.change(name, |function| {
            let mut settings = function.settings.clone();
            let made = change(function, &mut settings)?;
            check_subjects(function, &settings)?;
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

    /// Lets `edit` change a copy of a function, records it and swaps it in.
    pub(super) fn change<T, E: From<ChangeError>>(
        &self,
        name: &FunctionName,
        edit: impl FnOnce(&mut Function) -> Result<T, E>,
    ) -> Result<(Arc<Function>, T), E> {
        let _publishing = self.publishing.lock();
        let old = self.existing(name)?;
        let mut new = Function::clone(&old);
        let made = edit(&mut new)?;
        self.check_reservation(&old, &new)?;
        let writes = new.writes(Some(&old)).map_err(ChangeError::from)?;
        if writes.is_empty() {
            return Ok((old, made));
        }
        let written = self.parts.records.write(&writes);
        written.map_err(ChangeError::from)?;
        let new = Arc::new(new);
        self.swap_in(&new);
        if !old.all_versions().all(|version| is_in(version, &new)) {
            self.unswept.fetch_add(1, Ordering::Relaxed);
        }
        Ok((new, made))
    }

    /// A function that is there.
    pub(super) fn existing(&self, name: &FunctionName) -> Result<Arc<Function>, ChangeError> {
        self.check_readable(name)?;
        let unknown = || ChangeError::UnknownFunction { name: name.clone() };
        self.function(name).ok_or_else(unknown)
    }

    /// What can't be read is not overwritten.
    pub(super) fn check_readable(&self, name: &FunctionName) -> Result<(), PublishError> {
        match self.unreadable.contains(name) {
            true => Err(PublishError::Unreadable { name: name.clone() }),
            false => Ok(()),
        }
    }

    fn check_reservation(&self, old: &Function, new: &Function) -> Result<(), ChangeError> {
        let before = old.settings.reserved_concurrency.unwrap_or(0);
        let asked = new.settings.reserved_concurrency.unwrap_or(0);
        // Less is always possible, and 0 takes nothing from others.
        if asked <= before {
            return Ok(());
        }
        let limit = self.parts.concurrency_max;
        let minimum = unreserved_min(limit);
        let others = self.reserved_concurrency() - before;
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
    pub(crate) fn url(&self, id: &str) -> Option<Arc<UrlTarget>> {
        self.urls.get(id).map(|target| Arc::clone(&target))
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
        Origin::Absent => Err(ChangeError::Absent {
            name: function.name.clone(),
        }),
    }
}

/// Something is newly set only for versions and aliases that are there: it would fall to whoever gets
/// the name next.
fn check_subjects(function: &Function, new: &Settings) -> Result<(), ChangeError> {
    let old: BTreeSet<&str> = function.settings.qualifiers().collect();
    for text in new.qualifiers().filter(|text| !old.contains(text)) {
        let name = || function.name.clone();
        match Qualifier::parse(text) {
            Ok(Qualifier::Alias(alias)) if !function.aliases.contains_key(&alias) => {
                return Err(ChangeError::UnknownAlias {
                    name: name(),
                    alias,
                });
            }
            Ok(Qualifier::Version(VersionId::Number(number)))
                if !function.versions.contains_key(&number) =>
            {
                return Err(ChangeError::UnknownVersion {
                    name: name(),
                    number,
                });
            }
            // The empty text is the function itself.
            _ => {}
        }
    }
    Ok(())
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
