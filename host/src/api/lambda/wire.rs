//! The shapes that several operations answer with, as AWS clients read them.
//!
//! Members that are not set are left out, never `null`. Knows nothing of how they come about.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::names::ACCOUNT_ID;
use domain::{AliasName, FunctionName, VersionId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

pub(super) use crate::registry::settings_key;
use crate::registry::{Alias, DeclaredLogging, Version};
use crate::time_text::rfc3339_ms;

/// A version of a function.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct FunctionConfiguration {
    function_name: String,
    function_arn: String,
    runtime: String,
    role: String,
    handler: String,
    code_size: u64,
    description: String,
    timeout: u32,
    memory_size: u32,
    last_modified: String,
    code_sha256: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<Value>,
    tracing_config: Value,
    revision_id: Uuid,
    package_type: &'static str,
    architectures: Vec<String>,
    ephemeral_storage: Value,
    snap_start: Value,
    logging_config: Value,
    #[serde(flatten)]
    state: Option<State>,
}

/// What lists leave out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    state: &'static str,
    last_update_status: &'static str,
    runtime_version_config: Value,
}

/// Whether a version is shown alone, with its state, or as one of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    Single,
    Listed,
}

impl FunctionConfiguration {
    /// `version`, under the name `arn` that it was asked for.
    pub(super) fn of(version: &Version, arn: String, region: &str, detail: Detail) -> Self {
        let configuration = &version.configuration;
        let declared = &configuration.declared;
        let environment: BTreeMap<_, _> = configuration.environment.iter().cloned().collect();
        let has_environment = declared.has_environment || !environment.is_empty();
        let tracing_mode = text(declared.tracing_mode.as_ref(), "PassThrough");
        Self {
            function_name: version.name.to_string(),
            function_arn: arn,
            runtime: text(declared.runtime.as_ref(), "provided.al2023"),
            role: text(declared.role.as_ref(), &default_role()),
            handler: text(declared.handler.as_ref(), "bootstrap"),
            code_size: version.code.bytes,
            description: configuration.description.clone().unwrap_or_default(),
            timeout: configuration.limits.timeout.ms().div_ceil(1_000),
            memory_size: configuration.limits.memory.get(),
            last_modified: lambda_time(version.updated_at_us),
            code_sha256: STANDARD.encode(version.code.sha256),
            version: version.id.to_string(),
            environment: has_environment.then(|| json!({ "Variables": environment })),
            tracing_config: json!({ "Mode": tracing_mode }),
            revision_id: version.revision,
            package_type: "Zip",
            architectures: match declared.architectures.as_slice() {
                [] => vec!["x86_64".to_owned()],
                declared => declared.to_vec(),
            },
            ephemeral_storage: json!({ "Size": declared.ephemeral_storage_mb.unwrap_or(512) }),
            snap_start: json!({ "ApplyOn": "None", "OptimizationStatus": "Off" }),
            logging_config: logging(declared.logging.as_ref(), &version.name),
            state: (detail == Detail::Single).then(|| State {
                state: "Active",
                last_update_status: "Successful",
                runtime_version_config: json!({
                    "RuntimeVersionArn": format!("arn:aws:lambda:{region}::runtime:{}", version.artifact)
                }),
            }),
        }
    }
}

/// What was declared, or what Lambda would say.
fn text(declared: Option<&String>, default: &str) -> String {
    declared.map_or_else(|| default.to_owned(), Clone::clone)
}

/// The role of functions that were declared without one: there is none, and clients want a name.
fn default_role() -> String {
    format!("arn:aws:iam::{ACCOUNT_ID}:role/mayfly")
}

fn logging(declared: Option<&DeclaredLogging>, name: &FunctionName) -> Value {
    let nothing = DeclaredLogging::default();
    let declared = declared.unwrap_or(&nothing);
    let format = text(declared.format.as_ref(), "Text");
    let mut shown = json!({
        "LogFormat": format,
        "LogGroup": text(declared.group.as_ref(), &name.log_group()),
    });
    if format == "JSON" {
        let level = text(declared.application_level.as_ref(), "INFO");
        shown["ApplicationLogLevel"] = json!(level);
        shown["SystemLogLevel"] = json!(text(declared.system_level.as_ref(), "INFO"));
    }
    shown
}

/// An alias.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AliasConfiguration {
    alias_arn: String,
    name: String,
    function_version: String,
    description: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    routing_config: Option<Value>,
    revision_id: Uuid,
}

impl AliasConfiguration {
    pub(super) fn of(
        function: &FunctionName,
        name: &AliasName,
        alias: &Alias,
        region: &str,
    ) -> Self {
        Self {
            alias_arn: format!("{}:{name}", function.arn(region)),
            name: name.to_string(),
            function_version: alias.version.to_string(),
            description: alias.description.clone(),
            routing_config: alias.additional.as_ref().map(|additional| {
                let version = additional.version.to_string();
                json!({ "AdditionalVersionWeights": { version: additional.weight } })
            }),
            revision_id: alias.revision,
        }
    }
}

/// The weights of an alias, as requests have them.
#[derive(Debug, Deserialize)]
pub(super) struct RoutingConfig {
    #[serde(rename = "AdditionalVersionWeights")]
    pub(super) additional: Option<BTreeMap<String, f64>>,
}

/// The name of `version` of `function`.
pub(super) fn version_arn(function: &FunctionName, version: VersionId, region: &str) -> String {
    format!("{}:{version}", function.arn(region))
}

/// The name of what belongs to the qualifier of a settings key.
pub(super) fn qualified_arn(function_arn: &str, key: &str) -> String {
    if key.is_empty() {
        function_arn.to_owned()
    } else {
        format!("{function_arn}:{key}")
    }
}

/// An instant as Lambda writes it: `2026-11-22T15:56:31.123+0000`.
pub(super) fn lambda_time(unix_us: i64) -> String {
    rfc3339_ms(unix_us).replace('Z', "+0000")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_written_as_lambda_does() {
        assert_eq!(
            lambda_time(1_795_364_897_840_000),
            "2026-11-22T16:28:17.840+0000"
        );
    }
}
