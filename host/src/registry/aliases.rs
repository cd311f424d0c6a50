//! Aliases: made, pointed elsewhere, rolled back, removed.
//!
//! Invariant: an alias leads to versions that are there; [`Registry::delete_version`] keeps it so.

use std::sync::Arc;

use domain::{AliasName, FunctionName, Qualifier, VersionId};
use uuid::Uuid;

use super::Registry;
use super::change::{ChangeError, check_revision};
use super::function::{Additional, Alias, Function, Target};

/// What is to become of an alias; `None` leaves a thing as it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct AliasChange {
    pub(crate) version: Option<VersionId>,
    pub(crate) description: Option<String>,
    /// `Some(None)` ends the sharing with a second version.
    #[expect(clippy::option_option, reason = "a second version, none, or as it is")]
    pub(crate) additional: Option<Option<Additional>>,
    /// Only if the alias still has this revision.
    pub(crate) revision: Option<Uuid>,
}

impl Registry {
    /// Makes an alias that points at `target`.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn create_alias(
        &self,
        name: &FunctionName,
        alias: AliasName,
        target: Target,
        description: String,
    ) -> Result<(Arc<Function>, Alias), ChangeError> {
        self.change(name, |function| {
            if function.aliases.contains_key(&alias) {
                let name = name.clone();
                return Err(ChangeError::AliasExists { name, alias });
            }
            if function
                .unreadable
                .contains(&Qualifier::Alias(alias.clone()))
            {
                let name = name.clone();
                return Err(ChangeError::UnreadableAlias { name, alias });
            }
            check_target(function, target)?;
            let made = Alias {
                version: target.version,
                additional: target.additional,
                description,
                revision: self.random.uuid(),
                previous: None,
            };
            function.aliases.insert(alias, made.clone());
            Ok(made)
        })
    }

    /// Changes an alias.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn update_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        change: AliasChange,
    ) -> Result<(Arc<Function>, Alias), ChangeError> {
        self.change_alias(name, alias, |function, changed| {
            check_revision(change.revision, changed.revision)?;
            let mut target = changed.target();
            target.version = change.version.unwrap_or(target.version);
            target.additional = change.additional.unwrap_or(target.additional);
            check_target(function, target)?;
            changed.point_at(target);
            if let Some(description) = change.description {
                changed.description = description;
            }
            Ok(())
        })
    }

    /// Removes an alias and what is set for it: its URL, its policy, what becomes of its events. False
    /// when there was none.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn delete_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
    ) -> Result<bool, ChangeError> {
        let deleted = self.change(name, |function| {
            let is_unreadable = function.unreadable.remove(&Qualifier::Alias(alias.clone()));
            let existed = function.aliases.remove(alias).is_some() || is_unreadable;
            if existed {
                function.settings.forget(alias.as_str());
            }
            Ok(existed)
        });
        deleted.map(|(_function, existed)| existed)
    }

    /// Points an alias at what it pointed at before it was last pointed elsewhere; once more leads back
    /// again. Without a name it is the function's only alias.
    ///
    /// # Errors
    ///
    /// [`ChangeError`].
    pub(crate) fn roll_back(
        &self,
        name: &FunctionName,
        alias: Option<AliasName>,
    ) -> Result<(AliasName, Alias), ChangeError> {
        let alias = match alias {
            Some(alias) => alias,
            None => self.only_alias(name)?,
        };
        let rolled_back = self.change_alias(name, &alias, |function, changed| {
            let Some(target) = changed.previous else {
                let (name, alias) = (name.clone(), alias.clone());
                return Err(ChangeError::NothingBefore { name, alias });
            };
            // It may be gone by now.
            check_target(function, target)?;
            changed.point_at(target);
            Ok(())
        });
        rolled_back.map(|(_function, changed)| (alias, changed))
    }

    fn only_alias(&self, name: &FunctionName) -> Result<AliasName, ChangeError> {
        let function = self.existing(name)?;
        let aliases: Vec<_> = function.aliases.keys().cloned().collect();
        match aliases.as_slice() {
            [only] => Ok(only.clone()),
            _ => Err(ChangeError::WhichAlias {
                name: name.clone(),
                aliases,
            }),
        }
    }

    fn change_alias(
        &self,
        name: &FunctionName,
        alias: &AliasName,
        edit: impl FnOnce(&Function, &mut Alias) -> Result<(), ChangeError>,
    ) -> Result<(Arc<Function>, Alias), ChangeError> {
        self.change(name, |function| {
            let Some(mut changed) = function.aliases.get(alias).cloned() else {
                let (name, alias) = (name.clone(), alias.clone());
                return Err(ChangeError::UnknownAlias { name, alias });
            };
            edit(function, &mut changed)?;
            changed.revision = self.random.uuid();
            function.aliases.insert(alias.clone(), changed.clone());
            Ok(changed)
        })
    }
}

/// Whether an alias may point there. Texts as Lambda has them.
fn check_target(function: &Function, target: Target) -> Result<(), ChangeError> {
    let check_exists = |number| match function.versions.contains_key(&number) {
        true => Ok(()),
        false => Err(ChangeError::UnknownVersion {
            name: function.name.clone(),
            number,
        }),
    };
    let invalid = |message: String| Err(ChangeError::Invalid(message));
    if let VersionId::Number(number) = target.version {
        check_exists(number)?;
    }
    let Some(additional) = target.additional else {
        return Ok(());
    };
    if target.version == VersionId::Latest {
        return invalid(
            "$LATEST is not supported for an alias pointing to more than 1 version".to_owned(),
        );
    }
    let number = additional.version;
    if target.version == VersionId::Number(number) {
        return invalid(format!(
            "Invalid function version {number}. Function version {number} is already included in routing configuration."
        ));
    }
    if !(0.0..=1.0).contains(&additional.weight) {
        let weight = additional.weight;
        return invalid(format!(
            "the weight of version {number} is {weight}; it must be from 0 to 1"
        ));
    }
    check_exists(number)
}
