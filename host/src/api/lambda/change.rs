//! What the registry can't be changed for, and conditions on a change, in the words of AWS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::Fault;
use http::StatusCode;
use uuid::Uuid;

use super::super::error::ApiError;
use super::call::{Call, function_not_found, internal};
use super::wire::version_arn;
use crate::app::App;
use crate::faults::chain;
use crate::registry::{ChangeError, PublishError, ResourcePolicy};

/// What has a revision, and the operation that tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Revised {
    Function,
    Policy,
}

impl Revised {
    /// 412: it has another revision than the one that a change was asked for under.
    fn differs(self) -> ApiError {
        let operation = match self {
            Self::Function => "GetFunction/GetAlias",
            Self::Policy => "GetPolicy",
        };
        ApiError::new(
            StatusCode::PRECONDITION_FAILED,
            "PreconditionFailedException",
            format!(
                "The Revision Id provided does not match the latest Revision Id. Call the {operation} API to retrieve the latest Revision Id"
            ),
        )
    }
}

/// The revision that a change is made under.
///
/// # Errors
///
/// 412 when it is no revision: then it is not the current one either.
pub(super) fn revision(text: Option<&str>, of: Revised) -> Result<Option<Uuid>, ApiError> {
    let given = text.filter(|text| !text.is_empty()).map(Uuid::parse_str);
    given.transpose().map_err(|_| of.differs())
}

/// Whether a policy has the revision that its change was asked for under.
///
/// # Errors
///
/// 412.
pub(super) fn policy_revision(
    expected: Option<Uuid>,
    policy: Option<&ResourcePolicy>,
) -> Result<(), ApiError> {
    match (expected, policy) {
        (None, _) => Ok(()),
        (Some(expected), Some(policy)) if policy.revision == expected => Ok(()),
        (Some(_), _) => Err(Revised::Policy.differs()),
    }
}

/// A revision for what changes now.
pub(super) fn new_revision(app: &App) -> Uuid {
    app.random.uuid()
}

/// 400: `$LATEST` has other code than the caller thinks.
pub(super) fn other_code(given: &str, current: &[u8; 32]) -> ApiError {
    let current = STANDARD.encode(current);
    ApiError::validation(format!(
        "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({current}). Please try again with the CodeSHA256 in $LATEST.",
        given.escape_debug()
    ))
}

impl Call<'_> {
    /// The answer to a change that could not be made.
    pub(super) fn change_error(&self, error: ChangeError) -> ApiError {
        let region = self.region();
        match error {
            ChangeError::UnknownFunction { name } => function_not_found(&name.arn(region)),
            ChangeError::UnknownVersion { name, number } => {
                let version = domain::VersionId::Number(number);
                function_not_found(&version_arn(&name, version, region))
            }
            ChangeError::UnknownAlias { name, alias } => {
                ApiError::not_found(format!("Alias not found: {}:{alias}", name.arn(region)))
            }
            ChangeError::Exists { name } => {
                ApiError::conflict(format!("Function already exist: {name}"))
            }
            ChangeError::AliasExists { name, alias } => ApiError::conflict(format!(
                "Alias already exists: {}:{alias}",
                name.arn(region)
            )),
            ChangeError::Revision { .. } => Revised::Function.differs(),
            ChangeError::CodeSha { given, current } => {
                other_code(&STANDARD.encode(given), &current)
            }
            ChangeError::TooFewUnreserved { minimum, .. } => ApiError::validation(format!(
                "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its minimum value of [{minimum}]."
            )),
            error @ (ChangeError::FromDropFolder { .. }
            | ChangeError::Absent { .. }
            | ChangeError::UnreadableAlias { .. }
            | ChangeError::InUse { .. }) => ApiError::conflict(error.to_string()),
            error @ (ChangeError::NothingBefore { .. }
            | ChangeError::WhichAlias { .. }
            | ChangeError::Invalid(_)) => ApiError::validation(error.to_string()),
            ChangeError::Publish(error) => publish_error(&error),
            ChangeError::Storage(error) => {
                tracing::error!("changing a function failed: {}", chain(&error));
                internal()
            }
        }
    }
}

fn publish_error(error: &PublishError) -> ApiError {
    match error {
        PublishError::CaseClash { .. }
        | PublishError::RouteTaken { .. }
        | PublishError::Unreadable { .. } => ApiError::conflict(error.to_string()),
        error if error.fault() == Fault::Caller => ApiError::validation(chain(error)),
        error => {
            tracing::error!("publishing a function failed: {}", chain(error));
            internal()
        }
    }
}
