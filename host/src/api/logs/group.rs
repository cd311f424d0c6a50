//! Log groups: what requests call them, and which function each belongs to.

use domain::FunctionName;
use domain::names::ACCOUNT_ID;

use super::super::checks::Checks;
use super::super::error::ApiError;
use super::super::request::ApiRequest;
use super::members::Members;
use super::{client_error, done, invalid};
use crate::app::App;

/// What the groups of functions begin with.
pub(super) const PREFIX: &str = "/aws/lambda/";

/// Longest name of a group or stream, in characters.
const NAME_CHARS_MAX: usize = 512;

/// Most groups of a live tail.
const GROUPS_MAX: usize = 10;

/// A log group that a request names; it need not exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    /// The function whose log it would be, if its name is one of those.
    function: Option<FunctionName>,
}

impl Group {
    pub(super) fn of(function: &FunctionName) -> Self {
        Self {
            name: format!("{PREFIX}{function}"),
            function: Some(function.clone()),
        }
    }

    fn parse(name: &str) -> Result<Self, ApiError> {
        let mut checks = Checks::default();
        check_length(&mut checks, "logGroupName", name);
        checks.pattern(
            "logGroupName",
            Some(name),
            "[\\.\\-_/#A-Za-z0-9]+",
            |name| {
                name.chars()
                    .all(|c| c.is_ascii_alphanumeric() || ".-_/#".contains(c))
            },
        );
        done(checks)?;
        let function = name.strip_prefix(PREFIX);
        Ok(Self {
            name: name.to_owned(),
            function: function.and_then(|name| FunctionName::parse(name).ok()),
        })
    }

    /// A name, or an ARN of this account and of the region that the request is signed for.
    fn from_identifier(request: &ApiRequest<'_>, text: &str) -> Result<Self, ApiError> {
        let Some(rest) = text.strip_prefix("arn:") else {
            return Self::parse(text);
        };
        let wrong = |rule: &str| {
            Err(invalid(format!(
                "`{text}` is not the ARN of a log group: {rule}"
            )))
        };
        let parts = rest.splitn(6, ':').collect::<Vec<_>>();
        let [partition, service, region, account, kind, name] = parts.as_slice() else {
            return wrong("it has too few parts");
        };
        if !partition.starts_with("aws") || *service != "logs" || *kind != "log-group" {
            return wrong("it must begin with `arn:aws:logs:REGION:ACCOUNT:log-group:`");
        }
        if *account != ACCOUNT_ID {
            return wrong(&format!("its account must be {ACCOUNT_ID}"));
        }
        if *region != &*request.caller.region {
            let signed = &request.caller.region;
            return wrong(&format!(
                "its region must be `{signed}`, which the request is signed for"
            ));
        }
        Self::parse(name.strip_suffix(":*").unwrap_or(name))
    }

    /// The function whose log this is.
    ///
    /// # Errors
    ///
    /// 400 when there is neither the function nor a log of it.
    pub(super) fn function(&self, app: &App) -> Result<FunctionName, ApiError> {
        let exists = |function: &&FunctionName| {
            app.registry.function(function).is_some()
                || app.logs.stored_bytes(function).is_ok_and(|bytes| bytes > 0)
        };
        self.function
            .as_ref()
            .filter(exists)
            .cloned()
            .ok_or_else(|| {
                let message = "The specified log group does not exist.";
                client_error("ResourceNotFoundException", message)
            })
    }

    /// Its ARN in answers, without `:*`.
    pub(super) fn arn(&self, request: &ApiRequest<'_>) -> String {
        let region = &request.caller.region;
        format!("arn:aws:logs:{region}:{ACCOUNT_ID}:log-group:{}", self.name)
    }
}

/// 400: a member must be there.
pub(super) fn missing(member: &str) -> ApiError {
    let mut checks = Checks::default();
    checks.required::<()>(member, None);
    match done(checks) {
        Err(error) => error,
        Ok(()) => invalid(format!("{member} is missing")),
    }
}

/// The group that `logGroupName` or `logGroupIdentifier` names.
pub(super) fn required_group(
    request: &ApiRequest<'_>,
    members: &Members,
) -> Result<Group, ApiError> {
    match (&members.log_group_name, &members.log_group_identifier) {
        (Some(_), Some(_)) => Err(client_error(
            "ValidationException",
            "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
        )),
        (Some(name), None) => Group::parse(name),
        (None, Some(identifier)) => Group::from_identifier(request, identifier),
        (None, None) => Err(missing("logGroupName")),
    }
}

/// The groups of `logGroupIdentifiers`.
pub(super) fn identified(
    request: &ApiRequest<'_>,
    identifiers: Option<&[String]>,
) -> Result<Vec<Group>, ApiError> {
    let identifiers = identifiers.unwrap_or_default();
    if !(1..=GROUPS_MAX).contains(&identifiers.len()) {
        return Err(invalid(format!(
            "logGroupIdentifiers has {} members; it must have 1 to {GROUPS_MAX}",
            identifiers.len()
        )));
    }
    let mut groups: Vec<Group> = Vec::new();
    for identifier in identifiers {
        let group = Group::from_identifier(request, identifier)?;
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    Ok(groups)
}

/// The group of `resourceArn`.
pub(super) fn tagged(request: &ApiRequest<'_>, members: &Members) -> Result<Group, ApiError> {
    match &members.resource_arn {
        Some(arn) if arn.starts_with("arn:") => Group::from_identifier(request, arn),
        Some(other) => Err(invalid(format!(
            "resourceArn is `{other}`; it must be an ARN"
        ))),
        None => Err(invalid("resourceArn is missing")),
    }
}

/// Whether a text can be the name of a stream.
pub(super) fn check_stream_name(name: &str) -> Result<(), ApiError> {
    let mut checks = Checks::default();
    check_length(&mut checks, "logStreamName", name);
    checks.pattern("logStreamName", Some(name), "[^:*]*", |name| {
        !name.contains([':', '*'])
    });
    done(checks)
}

fn check_length(checks: &mut Checks, member: &str, name: &str) {
    checks.length(member, Some(name), &(1..=NAME_CHARS_MAX));
}
