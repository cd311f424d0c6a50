//! What a request is about: the function, version or alias that its path, its query or its body names,
//! in any of the spellings that clients use.
//!
//! Knows nothing of which functions there are.

use domain::names::NameError;
use domain::{FunctionRef, FunctionRefError, Qualifier};

use super::super::checks::Checks;
use super::super::operation::{Operation, Resource};
use super::{alias_name, internal};
use crate::api::error::ApiError;
use crate::api::query::Query;
use crate::api::request::{ApiRequest, decode};

/// What names of functions look like, for the texts of errors.
const NAME_PATTERN: &str = "(arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)(:(\\$LATEST|[a-zA-Z0-9-_]+))?";

/// The same for versions and aliases.
const QUALIFIER_PATTERN: &str = "(|[a-zA-Z0-9$_-]+)";

const FUNCTIONS_ONLY: &str = "This operation is permitted on Lambda functions only. Aliases and versions do not support this operation. Please specify either a function name or an unqualified function ARN.";

const TAGS_ON_FUNCTIONS_ONLY: &str =
    "Tags on function aliases and versions are not supported. Please specify a function ARN.";

/// What a request is about.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) function: Option<FunctionRef>,
    /// The second label of the path, decoded.
    pub(super) label: Option<String>,
    /// For policies.
    pub(super) resource: String,
}

/// What a request is about. `in_body` is the name in its body.
///
/// # Errors
///
/// 400 for names that are none, 403 for another account, 404 for another region.
pub(super) fn subject(
    request: &ApiRequest<'_>,
    operation: Operation,
    labels: &[&str],
    in_body: Option<String>,
    query: &Query,
) -> Result<Subject, ApiError> {
    let resource = operation.spec().resource;
    let mut labels = labels.iter().map(|label| decode(label));
    let named = match resource {
        Resource::Account => None,
        Resource::InBody => in_body,
        Resource::Qualified | Resource::Function | Resource::Alias | Resource::Tagged => {
            labels.next().transpose()?
        }
    };
    let label = labels.next().transpose()?;
    let Some(named) = named else {
        return Ok(Subject {
            function: None,
            label,
            resource: "*".to_owned(),
        });
    };
    if resource == Resource::Tagged && !named.starts_with("arn:") {
        return Err(ApiError::validation(format!(
            "`{}` is not the ARN of a function",
            named.escape_debug()
        )));
    }
    let mut function = FunctionRef::parse(&named).map_err(|error| refused(&named, &error))?;
    let region = &request.caller.region;
    if let Some(named) = function.region.as_deref()
        && named != &**region
    {
        return Err(ApiError::not_found(format!(
            "Functions from '{named}' are not reachable in this region ('{region}')"
        )));
    }
    let mut resource_arn = None;
    match resource {
        Resource::Account => {}
        Resource::Qualified => function.qualifier = qualifier(function.qualifier, query)?,
        Resource::Tagged if function.qualifier.is_some() => {
            return Err(ApiError::validation(TAGS_ON_FUNCTIONS_ONLY));
        }
        Resource::Function | Resource::InBody | Resource::Tagged | Resource::Alias => {
            if function.qualifier.is_some() {
                return Err(ApiError::validation(FUNCTIONS_ONLY));
            }
        }
    }
    if resource == Resource::Alias {
        let alias = alias_name("name", label.as_deref().unwrap_or(""))?;
        resource_arn = Some(format!("{}:{alias}", function.arn(region)));
    }
    Ok(Subject {
        resource: resource_arn.unwrap_or_else(|| function.arn(region)),
        function: Some(function),
        label,
    })
}

/// The qualifier of the path and that of the query, which must be the same if both are there.
fn qualifier(in_path: Option<Qualifier>, query: &Query) -> Result<Option<Qualifier>, ApiError> {
    let Some(text) = query.text("Qualifier") else {
        return Ok(in_path);
    };
    let Ok(in_query) = Qualifier::parse(text) else {
        let mut checks = Checks::default();
        checks.length("qualifier", Some(text), &(1..=128));
        checks.pattern("qualifier", Some(text), QUALIFIER_PATTERN, |_| {
            text.is_empty()
        });
        checks.done()?;
        return Err(internal());
    };
    match in_path {
        Some(in_path) if in_path != in_query => Err(ApiError::validation(
            "The derived qualifier from the function name does not match the specified qualifier.",
        )),
        _ => Ok(Some(in_query)),
    }
}

/// The error for a text that names no function here.
fn refused(text: &str, error: &FunctionRefError) -> ApiError {
    match error {
        FunctionRefError::OtherAccount { .. } => ApiError::denied(&error.to_string()),
        FunctionRefError::Name(NameError::TooLong { .. }) => {
            let mut checks = Checks::default();
            checks.length("functionName", Some(text), &(1..=64));
            match checks.done() {
                Err(error) => ApiError::validation(error.message()),
                Ok(()) => ApiError::validation(error.to_string()),
            }
        }
        FunctionRefError::Malformed { .. }
        | FunctionRefError::Name(_)
        | FunctionRefError::Qualifier(_) => {
            let mut checks = Checks::default();
            checks.pattern("functionName", Some(text), NAME_PATTERN, |_| false);
            checks.done().err().unwrap_or_else(internal)
        }
    }
}
