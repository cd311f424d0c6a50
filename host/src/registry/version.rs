//! One version of a function: an artifact, its configuration, and what is needed to run it.
//!
//! A version never changes; `$LATEST` changes by being another one. Knows nothing of aliases and of what
//! is true of a function whatever its versions are.

use std::sync::Arc;

use domain::billing::budget::Budget;
use domain::{FunctionName, Limits, VersionId};
use sandbox::{Guest, GuestKind};
use serde::{Deserialize, Serialize};
use storage::{ArtifactId, NumberedRecord, StorageError, VersionRecord};
use uuid::Uuid;

use super::to_json;
use crate::budgets::Spending;
use crate::concurrency::Running;
use crate::manifest::events::EventRules;
use crate::manifest::route_rules::HttpRoute;
use crate::manifest::schedule::ManifestSchedule;
use crate::manifest::subscribe::Subscription;
use crate::metrics::FunctionMetrics;

/// A version that can be invoked.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: FunctionName,
    pub(crate) id: VersionId,
    pub(crate) artifact: ArtifactId,
    pub(crate) code: Code,
    /// Changes with every change of what it names.
    pub(crate) revision: Uuid,
    /// The revision of `$LATEST` that a numbered version was made from.
    pub(crate) published_from: Option<Uuid>,
    /// When it was published, or changed, in Unix microseconds.
    pub(crate) updated_at_us: i64,
    pub(crate) configuration: Configuration,
    pub(crate) guest: Arc<Guest>,
    /// Shared by all versions of the function.
    pub(crate) running: Arc<Running>,
    /// Shared by all versions of the function.
    pub(crate) metrics: Arc<FunctionMetrics>,
    /// Shared by all versions of the function.
    pub(crate) spending: Arc<Spending>,
}

/// What all versions of a function count together.
#[derive(Debug, Clone)]
pub(super) struct Counters {
    pub(super) running: Arc<Running>,
    pub(super) metrics: Arc<FunctionMetrics>,
    pub(super) spending: Arc<Spending>,
}

/// What was uploaded: the module itself, or an archive with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) sha256: [u8; 32],
    pub(crate) bytes: u64,
}

/// What a version is made from, before it can run.
#[derive(Debug, Clone)]
pub(super) struct Content {
    pub(super) artifact: ArtifactId,
    pub(super) code: Code,
    pub(super) configuration: Configuration,
    pub(super) revision: Uuid,
    pub(super) published_from: Option<Uuid>,
    pub(super) updated_at_us: i64,
}

/// How a version is run, and what clients said about it. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) kind: GuestKind,
    pub(crate) description: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) environment: Vec<(String, String)>,
    /// How many may run at once, if fewer than the process allows: what the manifest says.
    pub(crate) concurrency: Option<u32>,
    /// What a month may cost: what the manifest says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) budget: Option<Budget>,
    pub(crate) routes: Vec<HttpRoute>,
    #[serde(default)]
    pub(crate) subscriptions: Vec<Subscription>,
    /// What becomes of its events: what the manifest says.
    #[serde(default)]
    pub(crate) events: EventRules,
    /// When it runs by itself.
    #[serde(default)]
    pub(crate) schedules: Vec<ManifestSchedule>,
    /// Of the artifact.
    pub(crate) size_bytes: u64,
    #[serde(default)]
    pub(crate) declared: Declared,
}

/// What AWS clients declare and get back, and what changes nothing here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Declared {
    pub(crate) runtime: Option<String>,
    pub(crate) handler: Option<String>,
    pub(crate) role: Option<String>,
    pub(crate) architectures: Vec<String>,
    pub(crate) ephemeral_storage_mb: Option<u32>,
    pub(crate) tracing_mode: Option<String>,
    pub(crate) logging: Option<DeclaredLogging>,
    pub(crate) layers: Vec<String>,
    /// Whether an environment was given, if only an empty one.
    pub(crate) has_environment: bool,
}

/// `LoggingConfig` as it was declared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct DeclaredLogging {
    pub(crate) format: Option<String>,
    pub(crate) application_level: Option<String>,
    pub(crate) system_level: Option<String>,
    pub(crate) group: Option<String>,
}

impl Code {
    /// A module that was uploaded as it is.
    pub(crate) fn of_module(artifact: ArtifactId, bytes: u64) -> Self {
        Self {
            sha256: *artifact.as_bytes(),
            bytes,
        }
    }
}

impl Content {
    /// What was stored.
    ///
    /// # Errors
    ///
    /// When the configuration is not one that we wrote.
    pub(super) fn read(
        record: &VersionRecord,
        published_from: Option<[u8; 16]>,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            artifact: record.artifact,
            code: Code {
                sha256: record.code_sha256,
                bytes: record.code_bytes,
            },
            configuration: serde_json::from_str(&record.configuration)?,
            revision: Uuid::from_bytes(record.revision),
            published_from: published_from.map(Uuid::from_bytes),
            updated_at_us: record.updated_at_us,
        })
    }
}

impl Version {
    /// What it counts together with the other versions of its function.
    pub(super) fn counters(&self) -> Counters {
        Counters {
            running: Arc::clone(&self.running),
            metrics: Arc::clone(&self.metrics),
            spending: Arc::clone(&self.spending),
        }
    }

    /// What it is made from.
    pub(super) fn content(&self) -> Content {
        Content {
            artifact: self.artifact,
            code: self.code,
            configuration: self.configuration.clone(),
            revision: self.revision,
            published_from: self.published_from,
            updated_at_us: self.updated_at_us,
        }
    }

    /// Whether `latest` is what this was made from, or the same by content.
    pub(super) fn is_publication_of(&self, latest: &Self) -> bool {
        self.published_from == Some(latest.revision)
            || (self.code == latest.code
                && self.artifact == latest.artifact
                && self.configuration == latest.configuration)
    }

    /// As it is stored.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when the configuration can't be written as JSON.
    pub(super) fn record(&self) -> Result<VersionRecord, StorageError> {
        Ok(VersionRecord {
            artifact: self.artifact,
            code_sha256: self.code.sha256,
            code_bytes: self.code.bytes,
            configuration: to_json(&self.configuration)?,
            revision: *self.revision.as_bytes(),
            updated_at_us: self.updated_at_us,
        })
    }

    /// A numbered version as it is stored.
    ///
    /// # Errors
    ///
    /// Those of [`Version::record`].
    pub(super) fn numbered_record(&self, number: u64) -> Result<NumberedRecord, StorageError> {
        Ok(NumberedRecord {
            function: self.name.clone(),
            number,
            published_from: *self.published_from.unwrap_or_default().as_bytes(),
            version: self.record()?,
        })
    }
}
