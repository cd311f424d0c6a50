//! The names and paths that IAM takes.

use crate::api::checks::Checks;
use crate::api::error::ApiError;
use crate::api::form::{Form, VALIDATION, validation};

pub(super) const USER_CHARS_MAX: usize = 64;
pub(super) const ROLE_CHARS_MAX: usize = 64;
pub(super) const POLICY_CHARS_MAX: usize = 128;
const PATH_CHARS_MAX: usize = 512;
const ARN_CHARS_MAX: usize = 2_048;

fn is_allowed(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+=,.@_-".contains(c)
}

/// A name of 1 to `chars_max` letters, digits and `+=,.@_-`. `member` is what AWS calls it.
///
/// # Errors
///
/// 400 that says which rule is broken.
pub(super) fn check_name<'a>(
    member: &str,
    name: &'a str,
    chars_max: usize,
) -> Result<&'a str, ApiError> {
    if !name.chars().all(is_allowed) {
        return Err(validation(format!(
            "The specified value for {member} is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-"
        )));
    }
    let mut checks = Checks::default();
    checks.length(member, Some(name), &(1..=chars_max));
    checks.done_as(VALIDATION)?;
    Ok(name)
}

/// The path in a parameter; `/` without one.
///
/// # Errors
///
/// 400 when it does not begin and end with `/` or has other characters than names have.
pub(super) fn path<'a>(form: &'a Form, name: &str) -> Result<&'a str, ApiError> {
    let path = form.text(name).unwrap_or("/");
    let is_path = path.starts_with('/')
        && path.ends_with('/')
        && path.len() <= PATH_CHARS_MAX
        && path.chars().all(|c| c == '/' || is_allowed(c));
    if is_path {
        Ok(path)
    } else {
        Err(validation(
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters."
                .to_owned(),
        ))
    }
}

/// The beginning of paths in `PathPrefix`.
pub(super) fn path_prefix(form: &Form) -> Result<&str, ApiError> {
    let prefix = form.text("PathPrefix").unwrap_or("/");
    if prefix.starts_with('/') && prefix.chars().all(|c| c == '/' || is_allowed(c)) {
        Ok(prefix)
    } else {
        Err(validation(
            "The specified value for pathPrefix is invalid. It must begin with /.".to_owned(),
        ))
    }
}

/// `PolicyArn`.
///
/// # Errors
///
/// 400 when it is not the ARN of a policy.
pub(super) fn policy_arn(form: &Form) -> Result<&str, ApiError> {
    let arn = form.required("PolicyArn")?;
    let is_arn = arn.starts_with("arn:aws:iam::")
        && arn.contains(":policy/")
        && arn.len() <= ARN_CHARS_MAX
        && arn.chars().all(|c| matches!(c, ':' | '/') || is_allowed(c));
    if is_arn {
        Ok(arn)
    } else {
        Err(validation(format!(
            "ARN {} is not valid.",
            arn.chars().take(200).collect::<String>().escape_debug()
        )))
    }
}
