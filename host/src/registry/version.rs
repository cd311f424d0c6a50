//! One version of a function: an artifact, its configuration, and what is needed to run it.

use std::sync::Arc;

use domain::{FunctionName, Limits, VersionId};
use sandbox::{Guest, GuestKind};
use serde::{Deserialize, Serialize};
use storage::{ArtifactId, Origin};

use crate::concurrency::Running;
use crate::manifest::route_rules::HttpRoute;
use crate::metrics::FunctionMetrics;

/// A version that can be invoked.
#[derive(Debug)]
pub(crate) struct Version {
    pub(crate) name: FunctionName,
    pub(crate) id: VersionId,
    pub(crate) artifact: ArtifactId,
    pub(crate) origin: Origin,
    /// When it was published, in Unix microseconds.
    pub(crate) updated_at_us: i64,
    pub(crate) configuration: Configuration,
    pub(crate) guest: Arc<Guest>,
    pub(crate) running: Arc<Running>,
    pub(crate) metrics: Arc<FunctionMetrics>,
}

/// A manifest with its defaults filled in, and what was recognised of the artifact. Stored as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Configuration {
    pub(crate) kind: GuestKind,
    pub(crate) description: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) environment: Vec<(String, String)>,
    /// How many may run at once, if fewer than the process allows.
    pub(crate) concurrency: Option<u32>,
    pub(crate) routes: Vec<HttpRoute>,
    /// Of the artifact.
    pub(crate) size_bytes: u64,
}

impl Configuration {
    /// As it is stored.
    pub(super) fn to_json(&self) -> String {
        // Texts and numbers only: there is nothing that can fail.
        serde_json::to_string(self).unwrap_or_default()
    }
}
