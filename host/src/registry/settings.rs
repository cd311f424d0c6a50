//! What is set for a function whatever its versions are: concurrency, tags, URLs, policies, what becomes
//! of asynchronous events. Data only, stored as JSON.
//!
//! Maps are keyed by the qualifier's text, and by the empty text for the function itself.

use std::collections::BTreeMap;

use domain::{Qualifier, VersionId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::manifest::route_rules::Cors;

/// The settings of a function.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Settings {
    /// How many may run at once; `None` leaves it to the manifest and the process.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserved_concurrency: Option<u32>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) tags: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) urls: BTreeMap<String, UrlConfig>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) policies: BTreeMap<String, ResourcePolicy>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) event_invoke: BTreeMap<String, EventInvoke>,
}

/// A URL that invokes a function.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UrlConfig {
    /// 32 of `a-z0-9`; see [`super::Registry::new_url_id`].
    pub(crate) id: String,
    pub(crate) auth: UrlAuth,
    /// Which web pages may use it.
    pub(crate) cors: Option<Cors>,
    pub(crate) invoke_mode: Option<InvokeMode>,
    /// Unix microseconds.
    pub(crate) created_at_us: i64,
    /// Unix microseconds.
    pub(crate) modified_at_us: i64,
}

/// Who may use a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum UrlAuth {
    /// Anybody, as far as the resource policy allows.
    #[serde(rename = "NONE")]
    None,
    /// Callers who sign.
    #[serde(rename = "AWS_IAM")]
    AwsIam,
}

/// How an answer through a URL is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum InvokeMode {
    #[serde(rename = "BUFFERED")]
    Buffered,
    #[serde(rename = "RESPONSE_STREAM")]
    ResponseStream,
}

/// Who may do what with a function, besides what identities may.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ResourcePolicy {
    pub(crate) revision: Uuid,
    pub(crate) statements: Vec<serde_json::Value>,
}

/// What becomes of asynchronous events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EventInvoke {
    /// Unix microseconds.
    pub(crate) modified_at_us: i64,
    pub(crate) maximum_retry_attempts: Option<u8>,
    pub(crate) maximum_event_age_s: Option<u32>,
    /// Resource names.
    pub(crate) on_success: Option<String>,
    pub(crate) on_failure: Option<String>,
}

impl Settings {
    /// The qualifiers that something is set for.
    pub(super) fn qualifiers(&self) -> impl Iterator<Item = &str> {
        let keys = self.urls.keys().chain(self.policies.keys());
        keys.chain(self.event_invoke.keys()).map(String::as_str)
    }

    /// Forgets what is set for a version or alias that is gone.
    pub(super) fn forget(&mut self, qualifier: &str) {
        self.urls.remove(qualifier);
        self.policies.remove(qualifier);
        self.event_invoke.remove(qualifier);
    }
}

/// The key under which settings keep what belongs to a qualifier: nothing for the function itself.
pub(crate) fn settings_key(qualifier: Option<&Qualifier>) -> String {
    match qualifier {
        None | Some(Qualifier::Version(VersionId::Latest)) => String::new(),
        Some(qualifier) => qualifier.to_string(),
    }
}
