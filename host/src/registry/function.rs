//! A function at one moment: its versions, its aliases and its settings.
//!
//! A [`Function`] is a snapshot that never changes; a change makes another one, which is recorded and
//! then swapped in whole. What has to be written for that follows from the two.
//!
//! Knows nothing of locks, disks and maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{AliasName, FunctionName, Qualifier, VersionId};
use serde::{Deserialize, Serialize};
use storage::{AliasRecord, FunctionRecord, Origin, Write};
use uuid::Uuid;

use super::settings::Settings;
use super::version::Version;

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

    /// The version that a qualifier leads to; `random` bits choose between the two of an alias.
    pub(crate) fn find(&self, qualifier: &Qualifier, random: u64) -> Option<&Arc<Version>> {
        match qualifier {
            Qualifier::Version(id) => self.version(*id),
            Qualifier::Alias(name) => self.version(self.aliases.get(name)?.choose(random)),
        }
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

    fn record(&self) -> FunctionRecord {
        FunctionRecord {
            name: self.name.clone(),
            origin: self.origin,
            created_at_us: self.created_at_us,
            next_version: self.next_version,
            settings: self.settings.to_json(),
            latest: self.latest.record(),
        }
    }

    /// What leads from the records of `old` to those of this; from nothing, when there is no old one.
    pub(super) fn writes(&self, old: Option<&Self>) -> Vec<Write> {
        let Some(old) = old else {
            // Whatever is left of one that could not be read goes.
            let mut writes = vec![
                Write::NoFunction(self.name.clone()),
                Write::Function(self.record()),
            ];
            writes.extend(self.new_versions(&BTreeMap::new()));
            writes.extend(self.changed_aliases(&BTreeMap::new()));
            return writes;
        };
        let mut writes = Vec::new();
        if !Arc::ptr_eq(&self.latest, &old.latest)
            || self.next_version != old.next_version
            || self.settings != old.settings
        {
            writes.push(Write::Function(self.record()));
        }
        writes.extend(self.new_versions(&old.versions));
        writes.extend(self.changed_aliases(&old.aliases));
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
        writes
    }

    fn new_versions(&self, old: &BTreeMap<u64, Arc<Version>>) -> impl Iterator<Item = Write> {
        let new = self
            .versions
            .iter()
            .filter(|(number, _)| !old.contains_key(number));
        new.map(|(number, version)| Write::Version(version.numbered_record(*number)))
    }

    fn changed_aliases(&self, old: &BTreeMap<AliasName, Alias>) -> impl Iterator<Item = Write> {
        let changed = self
            .aliases
            .iter()
            .filter(|(name, alias)| old.get(*name) != Some(*alias));
        changed.map(|(name, alias)| {
            Write::Alias(AliasRecord {
                function: self.name.clone(),
                name: name.clone(),
                // Texts and numbers only: there is nothing that can fail.
                alias: serde_json::to_string(alias).unwrap_or_default(),
            })
        })
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
