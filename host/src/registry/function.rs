//! A function at one moment: its versions, its aliases and its settings.
//!
//! A [`Function`] is a snapshot that never changes; a change makes another one, which is recorded and
//! then swapped in whole. What has to be written for that follows from the two.
//!
//! Knows nothing of locks, disks and maps.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::{AliasName, FunctionName, Qualifier, VersionId};
use serde::{Deserialize, Serialize};
use storage::{AliasRecord, FunctionRecord, Origin, StorageError, Write};
use uuid::Uuid;

use super::settings::Settings;
use super::to_json;
use super::version::Version;
use crate::manifest::route_rules::HttpRoute;
use crate::manifest::schedule::ManifestSchedule;
use crate::manifest::subscribe::Subscription;

/// A function at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: FunctionName,
    pub(crate) origin: Origin,
    /// Unix microseconds.
    pub(crate) created_at_us: i64,
    pub(crate) latest: Arc<Version>,
    pub(crate) versions: BTreeMap<u64, Arc<Version>>,
    pub(crate) aliases: BTreeMap<AliasName, Alias>,
    pub(crate) settings: Settings,
    /// Versions and aliases whose records can't be read: they stay until they are deleted.
    pub(super) unreadable: BTreeSet<Qualifier>,
    /// Numbers are never used twice.
    pub(super) next_version: u64,
}

/// A name for a version, or for two with weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Alias {
    pub(crate) version: VersionId,
    pub(crate) additional: Option<Additional>,
    pub(crate) description: String,
    pub(crate) revision: Uuid,
    /// What it pointed at before it was last pointed elsewhere.
    pub(super) previous: Option<Target>,
}

/// What an alias points at.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Target {
    pub(crate) version: VersionId,
    pub(crate) additional: Option<Additional>,
}

/// A second version that gets a part of an alias's events.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Additional {
    pub(crate) version: u64,
    /// The part, 0 to 1.
    pub(crate) weight: f64,
}

impl Function {
    /// A function that was not there before.
    pub(super) fn new(origin: Origin, latest: Arc<Version>, settings: Settings) -> Self {
        Self {
            name: latest.name.clone(),
            origin,
            created_at_us: latest.updated_at_us,
            latest,
            versions: BTreeMap::new(),
            aliases: BTreeMap::new(),
            settings,
            unreadable: BTreeSet::new(),
            next_version: 1,
        }
    }

    /// A version by what it is.
    pub(crate) fn version(&self, id: VersionId) -> Option<&Arc<Version>> {
        match id {
            VersionId::Latest => Some(&self.latest),
            VersionId::Number(number) => self.versions.get(&number),
        }
    }

    /// The version that a qualifier names; of an alias, the one it points at, whatever its weights.
    pub(crate) fn named(&self, qualifier: Option<&Qualifier>) -> Option<&Arc<Version>> {
        match qualifier {
            None => Some(&self.latest),
            Some(Qualifier::Version(id)) => self.version(*id),
            Some(Qualifier::Alias(name)) => self.version(self.aliases.get(name)?.version),
        }
    }

    /// A version by what it is, if it may run: `$LATEST` does while its file is there.
    pub(super) fn to_run(&self, id: VersionId) -> Option<&Arc<Version>> {
        match id {
            VersionId::Latest if self.origin == Origin::Absent => None,
            id => self.version(id),
        }
    }

    /// The version to run that a qualifier leads to; `random` bits choose between the two of an alias.
    pub(super) fn find(&self, qualifier: &Qualifier, random: u64) -> Option<&Arc<Version>> {
        match qualifier {
            Qualifier::Version(id) => self.to_run(*id),
            Qualifier::Alias(name) => self.to_run(self.aliases.get(name)?.choose(random)),
        }
    }

    /// What it answers to: nothing while its file is gone.
    pub(crate) fn routes(&self) -> &[HttpRoute] {
        match self.origin {
            Origin::Drop | Origin::Api => &self.latest.configuration.routes,
            Origin::Absent => &[],
        }
    }

    /// What it gets events of: nothing while its file is gone.
    pub(crate) fn subscriptions(&self) -> &[Subscription] {
        match self.origin {
            Origin::Drop | Origin::Api => &self.latest.configuration.subscriptions,
            Origin::Absent => &[],
        }
    }

    /// When it runs by itself.
    pub(crate) fn schedules(&self) -> &[ManifestSchedule] {
        &self.latest.configuration.schedules
    }

    /// Whether there is something that its file in the drop folder does not say. Versions that were
    /// deleted count, since their numbers are not used again.
    pub(super) fn is_more_than_its_file(&self) -> bool {
        self.next_version > 1
            || !self.aliases.is_empty()
            || !self.unreadable.is_empty()
            || self.settings != Settings::default()
    }

    /// How many may run at once, if fewer than the process allows.
    pub(crate) fn concurrency(&self) -> Option<u32> {
        self.settings
            .reserved_concurrency
            .or(self.latest.configuration.concurrency)
    }

    /// All versions, `$LATEST` first.
    pub(crate) fn all_versions(&self) -> impl Iterator<Item = &Arc<Version>> {
        std::iter::once(&self.latest).chain(self.versions.values())
    }

    /// The aliases that lead to a numbered version, alone or beside another.
    pub(crate) fn aliases_of(&self, number: u64) -> Vec<AliasName> {
        let leads = |alias: &Alias| {
            alias.version == VersionId::Number(number)
                || alias
                    .additional
                    .is_some_and(|other| other.version == number)
        };
        let aliases = self.aliases.iter().filter(|(_, alias)| leads(alias));
        aliases.map(|(name, _)| name.clone()).collect()
    }

    fn record(&self) -> Result<FunctionRecord, StorageError> {
        Ok(FunctionRecord {
            name: self.name.clone(),
            origin: self.origin,
            created_at_us: self.created_at_us,
            next_version: self.next_version,
            settings: to_json(&self.settings)?,
            latest: self.latest.record()?,
        })
    }

    /// What leads from the records of `old` to those of this; from nothing, when there is no old one.
    ///
    /// # Errors
    ///
    /// [`StorageError`] for what can't be written as JSON.
    pub(super) fn writes(&self, old: Option<&Self>) -> Result<Vec<Write>, StorageError> {
        let Some(old) = old else {
            let mut writes = vec![Write::Function(self.record()?)];
            self.add_new_versions(&BTreeMap::new(), &mut writes)?;
            self.add_changed_aliases(&BTreeMap::new(), &mut writes)?;
            return Ok(writes);
        };
        let mut writes = Vec::new();
        if !Arc::ptr_eq(&self.latest, &old.latest)
            || self.origin != old.origin
            || self.next_version != old.next_version
            || self.settings != old.settings
        {
            writes.push(Write::Function(self.record()?));
        }
        self.add_new_versions(&old.versions, &mut writes)?;
        self.add_changed_aliases(&old.aliases, &mut writes)?;
        for gone in old.unreadable.difference(&self.unreadable) {
            writes.extend(match gone {
                Qualifier::Alias(name) => Some(Write::NoAlias(self.name.clone(), name.clone())),
                Qualifier::Version(VersionId::Number(number)) => {
                    Some(Write::NoVersion(self.name.clone(), *number))
                }
                Qualifier::Version(VersionId::Latest) => None,
            });
        }
        let gone = old
            .aliases
            .keys()
            .filter(|name| !self.aliases.contains_key(*name));
        writes.extend(gone.map(|name| Write::NoAlias(self.name.clone(), name.clone())));
        let gone = old
            .versions
            .keys()
            .filter(|number| !self.versions.contains_key(number));
        writes.extend(gone.map(|number| Write::NoVersion(self.name.clone(), *number)));
        Ok(writes)
    }

    fn add_new_versions(
        &self,
        old: &BTreeMap<u64, Arc<Version>>,
        writes: &mut Vec<Write>,
    ) -> Result<(), StorageError> {
        for (number, version) in &self.versions {
            if !old.contains_key(number) {
                writes.push(Write::Version(version.numbered_record(*number)?));
            }
        }
        Ok(())
    }

    fn add_changed_aliases(
        &self,
        old: &BTreeMap<AliasName, Alias>,
        writes: &mut Vec<Write>,
    ) -> Result<(), StorageError> {
        for (name, alias) in &self.aliases {
            if old.get(name) != Some(alias) {
                writes.push(Write::Alias(AliasRecord {
                    function: self.name.clone(),
                    name: name.clone(),
                    alias: to_json(alias)?,
                }));
            }
        }
        Ok(())
    }
}

impl Alias {
    /// What it pointed at before it was last pointed elsewhere; a rollback leads there.
    pub(crate) fn previous(&self) -> Option<&Target> {
        self.previous.as_ref()
    }

    /// What it points at.
    pub(crate) fn target(&self) -> Target {
        Target {
            version: self.version,
            additional: self.additional,
        }
    }

    /// Points it elsewhere, if that is elsewhere, and remembers where it pointed.
    pub(super) fn point_at(&mut self, target: Target) {
        let old = self.target();
        if old != target {
            (self.version, self.additional) = (target.version, target.additional);
            self.previous = Some(old);
        }
    }

    /// The version for an event.
    fn choose(&self, random: u64) -> VersionId {
        match self.additional {
            Some(additional) if additional.takes(random) => VersionId::Number(additional.version),
            _ => self.version,
        }
    }
}

/// Two to the power of 32.
const STEPS: f64 = 4_294_967_296.0;

impl Additional {
    /// Whether it takes an event, by 32 of the random bits.
    fn takes(self, random: u64) -> bool {
        let [a, b, c, d, ..] = random.to_le_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) < self.weight * STEPS
    }
}
