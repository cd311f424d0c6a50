//! The rules of a function's environment, in the words of AWS.
//!
//! Values are never quoted: they may be secrets.

use std::collections::BTreeMap;

use http::StatusCode;

use super::super::error::ApiError;

/// Bytes of the variables as JSON. Lambda's limit.
const ENVIRONMENT_BYTES_MAX: usize = 4_096;

/// What names look like.
const NAME_PATTERN: &str = "[a-zA-Z]([a-zA-Z0-9_])+";

/// Names that the platform sets, besides those that begin with [`RESERVED_PREFIXES`].
const RESERVED: [&str; 4] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
];
const RESERVED_PREFIXES: [&str; 2] = ["AWS_", "MAYFLY_"];

/// Whether these may be the variables of a function.
///
/// # Errors
///
/// 400.
pub(super) fn check_environment(variables: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let reserved: Vec<&str> = variables
        .keys()
        .map(String::as_str)
        .filter(|name| is_reserved(name))
        .collect();
    if !reserved.is_empty() {
        return Err(ApiError::validation(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided contains reserved keys that are currently not supported for modification. Reserved keys used in this request: {}",
            reserved.join(", ")
        )));
    }
    if !variables.keys().all(|name| is_name(name)) {
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "ValidationException",
            format!(
                "1 validation error detected: Value at 'environment.variables' failed to satisfy constraint: Map keys must satisfy constraint: [Member must satisfy regular expression pattern: {NAME_PATTERN}]"
            ),
        ));
    }
    if let Some((name, _)) = variables.iter().find(|(_, value)| value.contains('\0')) {
        return Err(ApiError::validation(format!(
            "The environment variable {name} has a NUL character in its value."
        )));
    }
    // Texts into memory: there is nothing that can fail.
    let measured = serde_json::to_string(variables).unwrap_or_default();
    if measured.len() > ENVIRONMENT_BYTES_MAX {
        // AWS shows all of it; what is in there may be secret, so only its size is shown.
        return Err(ApiError::validation(format!(
            "Lambda was unable to configure your environment variables because the environment variables you have provided exceeded the 4KB limit. String measured: {} bytes",
            measured.len()
        )));
    }
    Ok(())
}

fn is_reserved(name: &str) -> bool {
    RESERVED.contains(&name)
        || RESERVED_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

fn is_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, value: &str, part: Option<&str>) {
        let variables = BTreeMap::from([(name.to_owned(), value.to_owned())]);
        match (check_environment(&variables), part) {
            (Ok(()), None) => {}
            (Err(error), Some(part)) => assert!(error.message().contains(part), "{error:?}"),
            (checked, _) => panic!("{name}: {checked:?}"),
        }
    }

    #[test]
    fn names_values_and_size_have_rules() {
        check("NAME_1", "any = value\n", None);
        for reserved in ["AWS_REGION", "MAYFLY_X", "_HANDLER"] {
            check(reserved, "x", Some(reserved));
        }
        for bad in ["", "A", "1A", "A=B", "A\nB", "A\0", "Ä1", "_A"] {
            check(bad, "x", Some("Map keys must satisfy constraint"));
        }
        check("NAME", "a\0b", Some("NUL"));
        check("NAME", &"x".repeat(4_085), None);
        check("NAME", &"x".repeat(4_086), Some("exceeded the 4KB limit"));
    }

    #[test]
    fn a_value_is_never_shown() {
        let secret = "canary-secret-".repeat(400);
        let variables = BTreeMap::from([("NAME".to_owned(), secret)]);
        let error = check_environment(&variables).unwrap_err();
        assert!(!error.message().contains("canary"), "{error:?}");
    }
}
