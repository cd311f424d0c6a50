//! What requests of this API hold, the members of all operations together: a request is read once, and
//! each operation takes what it knows.

use serde::Deserialize;

/// The members of a request; those that are not there are `None`.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Members {
    pub(super) log_group_name: Option<String>,
    pub(super) log_group_identifier: Option<String>,
    pub(super) log_group_identifiers: Option<Vec<String>>,
    pub(super) log_group_name_prefix: Option<String>,
    pub(super) log_group_name_pattern: Option<String>,
    pub(super) log_stream_name: Option<String>,
    pub(super) log_stream_names: Option<Vec<String>>,
    pub(super) log_stream_name_prefix: Option<String>,
    pub(super) log_stream_name_prefixes: Option<Vec<String>>,
    pub(super) resource_arn: Option<String>,
    pub(super) filter_pattern: Option<String>,
    pub(super) log_event_filter_pattern: Option<String>,
    /// Unix milliseconds.
    pub(super) start_time: Option<i64>,
    /// Unix milliseconds.
    pub(super) end_time: Option<i64>,
    pub(super) start_from_head: Option<bool>,
    pub(super) order_by: Option<String>,
    pub(super) descending: Option<bool>,
    pub(super) limit: Option<i64>,
    pub(super) next_token: Option<String>,
}
