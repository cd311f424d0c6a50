//! From records to functions, at the start.
//!
//! What can't be read any more is left out and logged: a version or an alias alone, a function with all
//! of it. Its records and artifacts stay, and nothing takes its name, until it is deleted.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use domain::{AliasName, FunctionName, Qualifier, VersionId};
use storage::{AliasRecord, FunctionRecord, NumberedRecord, StorageError, Stored};

use super::Registry;
use super::function::{Alias, Function};
use super::version::{Content, Counters, Version};

/// Numbered versions and aliases of one function.
#[derive(Default)]
struct Rest {
    versions: Vec<NumberedRecord>,
    aliases: Vec<AliasRecord>,
}

impl Registry {
    pub(super) fn load(&self) -> Result<(), StorageError> {
        let Stored {
            functions,
            versions,
            aliases,
        } = self.parts.records.read()?;
        let mut rests: HashMap<FunctionName, Rest> = HashMap::new();
        for version in versions {
            let rest = rests.entry(version.function.clone()).or_default();
            rest.versions.push(version);
        }
        for alias in aliases {
            let rest = rests.entry(alias.function.clone()).or_default();
            rest.aliases.push(alias);
        }
        for (record, source) in functions {
            let name = record.name.clone();
            let rest = rests.remove(&name).unwrap_or_default();
            match self.restore(record, rest) {
                Ok(function) => {
                    let source = source.map(|source| (name, source));
                    self.sources.lock().extend(source);
                    self.swap_in(&Arc::new(function));
                }
                Err(error) => {
                    left_out(&name, "the record", &error);
                    self.unreadable.insert(name);
                }
            }
        }
        Ok(())
    }

    fn restore(&self, record: FunctionRecord, rest: Rest) -> Result<Function, serde_json::Error> {
        let name = record.name;
        let settings = serde_json::from_str(&record.settings)?;
        let latest = Content::read(&record.latest, None)?;
        let counters = self.counters(&name);
        let mut unreadable = BTreeSet::new();
        let versions = self.restore_versions(&name, rest.versions, &counters, &mut unreadable);
        Ok(Function {
            versions,
            aliases: restore_aliases(&name, rest.aliases, &mut unreadable),
            latest: Arc::new(self.version(&name, VersionId::Latest, latest, counters)),
            unreadable,
            origin: record.origin,
            created_at_us: record.created_at_us,
            settings,
            next_version: record.next_version,
            name,
        })
    }

    fn restore_versions(
        &self,
        name: &FunctionName,
        records: Vec<NumberedRecord>,
        counters: &Counters,
        unreadable: &mut BTreeSet<Qualifier>,
    ) -> BTreeMap<u64, Arc<Version>> {
        let mut versions = BTreeMap::new();
        for record in records {
            let id = VersionId::Number(record.number);
            match Content::read(&record.version, Some(record.published_from)) {
                Ok(content) => {
                    let version = self.version(name, id, content, counters.clone());
                    versions.insert(record.number, Arc::new(version));
                }
                Err(error) => {
                    left_out(name, &format!("version {id}"), &error);
                    unreadable.insert(Qualifier::Version(id));
                }
            }
        }
        versions
    }
}

fn restore_aliases(
    name: &FunctionName,
    records: Vec<AliasRecord>,
    unreadable: &mut BTreeSet<Qualifier>,
) -> BTreeMap<AliasName, Alias> {
    let mut aliases = BTreeMap::new();
    for record in records {
        match serde_json::from_str(&record.alias) {
            Ok(alias) => drop(aliases.insert(record.name, alias)),
            Err(error) => {
                left_out(name, &format!("alias `{}`", record.name), &error);
                unreadable.insert(Qualifier::Alias(record.name));
            }
        }
    }
    aliases
}

fn left_out(name: &FunctionName, what: &str, error: &serde_json::Error) {
    tracing::error!(function.name = %name, %error, "{what} of function `{name}` can't be read");
}
