//! What clients declare about a function, when they create it and when they change it: read, checked,
//! and put into a configuration.
//!
//! Memory, timeout, environment and description are what they say. The rest is kept and given back,
//! since tools compare it, and changes nothing here.

use std::collections::BTreeMap;

use domain::{Limits, MemoryMb, Timeout};
use serde::Deserialize;

use super::super::error::ApiError;
use super::super::json::object;
use super::checks::Checks;
use super::environment::check_environment;
use crate::registry::{Configuration, Declared, DeclaredLogging};

/// Members of `CreateFunction` and `UpdateFunctionConfiguration`. What is not there is not changed.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Declaration {
    pub(super) runtime: Option<String>,
    pub(super) handler: Option<String>,
    pub(super) role: Option<String>,
    description: Option<String>,
    timeout: Option<i64>,
    memory_size: Option<i64>,
    #[serde(deserialize_with = "object")]
    environment: Option<Environment>,
    #[serde(deserialize_with = "object")]
    dead_letter_config: Option<DeadLetterConfig>,
    #[serde(deserialize_with = "object")]
    tracing_config: Option<TracingConfig>,
    layers: Option<Vec<String>>,
    architectures: Option<Vec<String>>,
    #[serde(deserialize_with = "object")]
    ephemeral_storage: Option<EphemeralStorage>,
    #[serde(deserialize_with = "object")]
    logging_config: Option<LoggingConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Environment {
    variables: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct DeadLetterConfig {
    target_arn: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TracingConfig {
    mode: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct EphemeralStorage {
    size: Option<i64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LoggingConfig {
    log_format: Option<String>,
    application_log_level: Option<String>,
    system_log_level: Option<String>,
    log_group: Option<String>,
}

/// What runs here, for errors.
const RUNTIMES: &str = "provided.al2023, provided.al2, provided, wasm, wasi";

/// Runtimes whose names begin so are what runs here: a module, whatever it was written in.
const RUNTIME_PREFIXES: [&str; 3] = ["provided", "wasm", "wasi"];

/// Characters of a runtime's name.
const RUNTIME_CHARS_MAX: usize = 64;

const ARCHITECTURES: [&str; 3] = ["x86_64", "arm64", "wasm32"];

impl Declaration {
    /// Whether every member is one that it may be.
    ///
    /// # Errors
    ///
    /// 400 that names the members and their rules.
    pub(super) fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.length("description", self.description.as_deref(), &(0..=256));
        checks.range("timeout", self.timeout, &(1..=900));
        checks.range("memorySize", self.memory_size, &(1..=4_096));
        checks.length("handler", self.handler.as_deref(), &(1..=128));
        checks.pattern("handler", self.handler.as_deref(), "[^\\s]+", |text| {
            !text.contains(char::is_whitespace)
        });
        checks.length("role", self.role.as_deref(), &(1..=2_048));
        if let Some(tracing) = &self.tracing_config {
            let modes = ["Active", "PassThrough"];
            checks.one_of("tracingConfig.mode", tracing.mode.as_deref(), &modes);
        }
        if let Some(storage) = &self.ephemeral_storage {
            checks.required("ephemeralStorage.size", storage.size.as_ref());
            checks.range("ephemeralStorage.size", storage.size, &(512..=10_240));
        }
        if let Some(logging) = &self.logging_config {
            logging.check(&mut checks);
        }
        check_architectures(&mut checks, self.architectures.as_deref());
        checks.done()?;
        if let Some(runtime) = &self.runtime {
            check_runtime(runtime)?;
        }
        if let Some(layer) = self.layers.iter().flatten().next() {
            return Err(ApiError::validation(format!(
                "Layer version {} does not exist. Mayfly has no layers: a module holds all that it needs.",
                layer.escape_debug()
            )));
        }
        let dead_letters = self.dead_letter_config.as_ref();
        if let Some(target) = dead_letters.and_then(|dead| dead.target_arn.as_ref())
            && !target.is_empty()
        {
            return Err(ApiError::validation(format!(
                "The provided DeadLetterConfig target {} is not here: events that are given up are kept by Mayfly itself, with their payload (`mayfly dlq list`). To hear of them, set an OnFailure destination with PutFunctionEventInvokeConfig.",
                target.escape_debug()
            )));
        }
        match self
            .environment
            .as_ref()
            .and_then(|environment| environment.variables.as_ref())
        {
            Some(variables) => check_environment(variables),
            None => Ok(()),
        }
    }

    /// Puts what is given into a configuration.
    pub(super) fn apply(self, configuration: &mut Configuration) {
        self.apply_limits(&mut configuration.limits);
        let Self {
            description,
            environment,
            ..
        } = &self;
        if let Some(description) = description {
            configuration.description = Some(description.clone()).filter(|text| !text.is_empty());
        }
        if let Some(environment) = environment {
            configuration.environment = environment.variables();
        }
        self.declare(&mut configuration.declared);
    }

    /// The description of a new function.
    pub(super) fn description(&self) -> Option<String> {
        self.description.clone().filter(|text| !text.is_empty())
    }

    /// The limits of a new function.
    pub(super) fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        self.apply_limits(&mut limits);
        limits
    }

    /// The variables of a new function.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let environment = self.environment.as_ref();
        environment.map_or_else(Vec::new, Environment::variables)
    }

    fn apply_limits(&self, limits: &mut Limits) {
        let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
        if let Some(memory) = number(self.memory_size).and_then(MemoryMb::new) {
            limits.memory = memory;
        }
        let timeout = number(self.timeout).map(|seconds| seconds.saturating_mul(1_000));
        if let Some(timeout) = timeout.and_then(Timeout::from_ms) {
            limits.timeout = timeout;
        }
    }

    /// Puts what is only given back into `declared`.
    pub(super) fn declare(self, declared: &mut Declared) {
        fn set<T>(place: &mut Option<T>, value: Option<T>) {
            if value.is_some() {
                *place = value;
            }
        }
        set(&mut declared.runtime, self.runtime);
        set(&mut declared.handler, self.handler);
        set(&mut declared.role, self.role);
        declared.has_environment |= self.environment.is_some();
        set(
            &mut declared.tracing_mode,
            self.tracing_config.and_then(|tracing| tracing.mode),
        );
        let size = self.ephemeral_storage.and_then(|storage| storage.size);
        set(
            &mut declared.ephemeral_storage_mb,
            size.and_then(|size| u32::try_from(size).ok()),
        );
        if let Some(architectures) = self.architectures {
            declared.architectures = architectures;
        }
        set(&mut declared.logging, self.logging_config.map(Into::into));
    }
}

impl Environment {
    fn variables(&self) -> Vec<(String, String)> {
        let variables = self.variables.iter().flatten();
        variables
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

impl LoggingConfig {
    fn check(&self, checks: &mut Checks) {
        let format = self.log_format.as_deref();
        checks.one_of("loggingConfig.logFormat", format, &["JSON", "Text"]);
        let levels = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
        let level = self.application_log_level.as_deref();
        checks.one_of("loggingConfig.applicationLogLevel", level, &levels);
        let level = self.system_log_level.as_deref();
        checks.one_of(
            "loggingConfig.systemLogLevel",
            level,
            &["DEBUG", "INFO", "WARN"],
        );
        let group = self.log_group.as_deref();
        checks.length("loggingConfig.logGroup", group, &(1..=512));
        let pattern = "[\\.\\-_/#A-Za-z0-9]+";
        checks.pattern("loggingConfig.logGroup", group, pattern, |text| {
            text.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_/#".contains(&byte))
        });
    }
}

impl From<LoggingConfig> for DeclaredLogging {
    fn from(logging: LoggingConfig) -> Self {
        Self {
            format: logging.log_format,
            application_level: logging.application_log_level,
            system_level: logging.system_log_level,
            group: logging.log_group,
        }
    }
}

/// At most one, and one that there is.
pub(super) fn check_architectures(checks: &mut Checks, architectures: Option<&[String]>) {
    let Some(architectures) = architectures else {
        return;
    };
    if architectures.len() != 1 {
        checks.breach(
            "architectures",
            &format!("{architectures:?}"),
            "have length equal to 1",
        );
    }
    for architecture in architectures {
        checks.one_of("architectures", Some(architecture), &ARCHITECTURES);
    }
}

fn check_runtime(runtime: &str) -> Result<(), ApiError> {
    let is_ours = RUNTIME_PREFIXES
        .iter()
        .any(|prefix| runtime.starts_with(prefix))
        && runtime.chars().count() <= RUNTIME_CHARS_MAX
        && runtime
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if is_ours {
        return Ok(());
    }
    let shown: String = runtime.chars().take(RUNTIME_CHARS_MAX).collect();
    Err(ApiError::validation(format!(
        "Value {} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{RUNTIMES}] or be a valid ARN. Mayfly runs WebAssembly: compile the function to a module for wasm32-wasip1 and declare provided.al2023.",
        shown.escape_debug()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_run_and_managed_runtimes_do_not() {
        for good in [
            "provided.al2023",
            "provided",
            "wasm",
            "wasm-wasi-preview2",
            "wasi_0.2",
        ] {
            check_runtime(good).unwrap();
        }
        for bad in [
            "nodejs22.x",
            "python3.13",
            "",
            "wasm 1",
            &format!("wasm{}", "x".repeat(64)),
        ] {
            let error = check_runtime(bad).unwrap_err();
            assert!(
                error
                    .message()
                    .contains("Member must satisfy enum value set: ["),
                "{error:?}"
            );
        }
    }

    fn declaration(json: &str) -> Declaration {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn what_is_given_is_applied_and_what_is_not_is_left() {
        let new = declaration(
            r#"{"Timeout": 7, "MemorySize": 256, "Environment": {"Variables": {"AB": "1"}}, "Handler": "h",
                "DeadLetterConfig": {"TargetArn": ""}, "Architectures": ["arm64"]}"#,
        );
        new.check().unwrap();
        assert_eq!(
            (new.limits().timeout.ms(), new.limits().memory.get()),
            (7_000, 256)
        );
        assert_eq!(new.environment(), [("AB".to_owned(), "1".to_owned())]);
        let mut declared = Declared {
            runtime: Some("wasm".to_owned()),
            ..Declared::default()
        };
        new.declare(&mut declared);
        let expected = Declared {
            runtime: Some("wasm".to_owned()),
            handler: Some("h".to_owned()),
            architectures: vec!["arm64".to_owned()],
            has_environment: true,
            ..Declared::default()
        };
        assert_eq!(declared, expected);
    }

    #[test]
    fn what_is_out_of_range_is_named_with_its_rule() {
        for (json, part) in [
            (
                r#"{"Timeout": 901}"#,
                "'timeout' failed to satisfy constraint: Member must have value less than or equal to 900",
            ),
            (r#"{"MemorySize": 4097}"#, "less than or equal to 4096"),
            (r#"{"MemorySize": 0}"#, "greater than or equal to 1"),
            (r#"{"Handler": "a b"}"#, "'handler'"),
            (r#"{"EphemeralStorage": {}}"#, "'ephemeralStorage.size'"),
            (r#"{"Architectures": ["mips"]}"#, "[x86_64, arm64, wasm32]"),
            (r#"{"Architectures": []}"#, "have length equal to 1"),
            (
                r#"{"Layers": ["arn:aws:lambda:local:000000000000:layer:x:1"]}"#,
                "Layer version",
            ),
            (
                r#"{"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:local:000000000000:q"}}"#,
                "are kept by Mayfly itself",
            ),
            (
                r#"{"Environment": {"Variables": {"AWS_REGION": "x"}}}"#,
                "AWS_REGION",
            ),
        ] {
            let error = declaration(json).check().unwrap_err();
            assert!(error.message().contains(part), "{json}: {error:?}");
        }
    }
}
