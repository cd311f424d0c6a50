//! The IAM API: users, keys, policies and roles, in AWS's query protocol.
//!
//! A new operation is a row in the table below: its name, its action and its place in the tests that go
//! over all operations follow. The same operations answer in JSON to whoever asks in JSON, which is
//! what our own command line does.

mod inline;
mod keys;
mod managed;
mod names;
mod page;
mod roles;
mod simulate;
#[cfg(test)]
mod tests;
mod users;

use std::sync::Arc;

use domain::names::ACCOUNT_ID;
use http::{Method, StatusCode};

use self::names::check_name;
use super::error::ApiError;
#[cfg(test)]
use super::form::Encoding;
use super::form::{Form, validation};
use super::request::ApiRequest;
use super::xml::{Node, reply};
use crate::auth::decide::ResourceSide;
use crate::auth::identities::{Identities, IdentityError, Owner, State};
use crate::auth::{self, Caller, Denied, Identity, Refused};
use crate::http::error::HttpResponse;
use crate::tokens::Tokens;

const VERSION: &str = "2010-05-08";
const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// What an operation is about, for policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Target {
    /// Nothing in particular.
    Any,
    /// The user in `UserName`; without one, whoever asks.
    User,
    /// The user of the name `UserName` that is made, at `Path`.
    NewUser,
    /// The same, and the user with the name and path that it gets.
    Rename,
    /// The role in `RoleName`.
    Role,
    /// The role of the name `RoleName` that is made, at `Path`.
    NewRole,
    /// The policy in `PolicyArn`.
    Policy,
    /// The policy of the name `PolicyName` that is made.
    NewPolicy,
    AllUsers,
    AllRoles,
    AllPolicies,
}

/// Makes [`Operation`] and what is known of each: `NAME => TARGET [PARAMETER ...]`.
macro_rules! operations {
    ($($name:ident => $target:ident [$($parameter:literal)*],)*) => {
        /// What can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Operation { $($name),* }

        impl Operation {
            const ALL: &[Self] = &[$(Self::$name),*];

            fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),* }
            }

            /// What a policy has to allow.
            fn action(self) -> &'static str {
                match self { $(Self::$name => concat!("iam:", stringify!($name))),* }
            }

            fn target(self) -> Target {
                match self { $(Self::$name => Target::$target),* }
            }

            /// The parameters that it takes. One that is not understood may be meant to restrict, so
            /// it is refused.
            fn parameters(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$($parameter),*]),* }
            }
        }
    };
}

operations! {
    CreateUser => NewUser ["UserName" "Path" "Tags"],
    GetUser => User ["UserName"],
    ListUsers => AllUsers ["PathPrefix" "Marker" "MaxItems"],
    UpdateUser => Rename ["UserName" "NewUserName" "NewPath"],
    DeleteUser => User ["UserName"],
    CreateAccessKey => User ["UserName"],
    ListAccessKeys => User ["UserName" "Marker" "MaxItems"],
    UpdateAccessKey => User ["UserName" "AccessKeyId" "Status"],
    DeleteAccessKey => User ["UserName" "AccessKeyId"],
    GetAccessKeyLastUsed => Any ["AccessKeyId"],
    PutUserPolicy => User ["UserName" "PolicyName" "PolicyDocument"],
    GetUserPolicy => User ["UserName" "PolicyName"],
    DeleteUserPolicy => User ["UserName" "PolicyName"],
    ListUserPolicies => User ["UserName" "Marker" "MaxItems"],
    AttachUserPolicy => User ["UserName" "PolicyArn"],
    DetachUserPolicy => User ["UserName" "PolicyArn"],
    ListAttachedUserPolicies => User ["UserName" "Marker" "MaxItems"],
    ListGroupsForUser => User ["UserName" "Marker" "MaxItems"],
    CreatePolicy => NewPolicy ["PolicyName" "Path" "PolicyDocument" "Description"],
    GetPolicy => Policy ["PolicyArn"],
    GetPolicyVersion => Policy ["PolicyArn" "VersionId"],
    ListPolicyVersions => Policy ["PolicyArn" "Marker" "MaxItems"],
    ListPolicies => AllPolicies ["Scope" "OnlyAttached" "PathPrefix" "Marker" "MaxItems"],
    DeletePolicy => Policy ["PolicyArn"],
    CreateRole => NewRole ["RoleName" "Path" "AssumeRolePolicyDocument" "Description" "MaxSessionDuration" "Tags"],
    GetRole => Role ["RoleName"],
    ListRoles => AllRoles ["PathPrefix" "Marker" "MaxItems"],
    DeleteRole => Role ["RoleName"],
    UpdateAssumeRolePolicy => Role ["RoleName" "PolicyDocument"],
    PutRolePolicy => Role ["RoleName" "PolicyName" "PolicyDocument"],
    GetRolePolicy => Role ["RoleName" "PolicyName"],
    DeleteRolePolicy => Role ["RoleName" "PolicyName"],
    ListRolePolicies => Role ["RoleName" "Marker" "MaxItems"],
    AttachRolePolicy => Role ["RoleName" "PolicyArn"],
    DetachRolePolicy => Role ["RoleName" "PolicyArn"],
    ListAttachedRolePolicies => Role ["RoleName" "Marker" "MaxItems"],
    ListInstanceProfilesForRole => Role ["RoleName" "Marker" "MaxItems"],
    SimulatePrincipalPolicy => Any ["PolicySourceArn" "ActionNames" "ResourceArns" "ContextEntries" "Marker" "MaxItems"],
}

/// What an operation needs to act, once it may.
struct Call<'a> {
    identities: &'a Identities,
    caller: &'a Caller,
    form: &'a Form,
    /// Makes and reads markers of lists.
    tokens: &'a Tokens,
    /// The server's own region.
    region: &'a str,
    /// In Unix microseconds.
    now_us: i64,
    /// What the resource of a name says of itself.
    resource_side: &'a dyn Fn(&str) -> ResourceSide,
}

/// An operation without anything to say.
const DONE: Result<Option<Node>, ApiError> = Ok(None);

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    if *method != Method::POST {
        return Err(ApiError::wrong_method(path, &Method::POST, method));
    }
    let encoding = request.encoding();
    let form = Form::parse(&request.body, encoding)?;
    let operation = operation(&form)?;
    let app = Arc::clone(request.app);
    let caller = request.caller.clone();
    // Changes wait for the disk.
    let acting = tokio::task::spawn_blocking(move || {
        // Until this is done nobody becomes somebody else: what was decided on is what is changed.
        let _unchanged = operation.changes().then(|| app.identities.hold());
        let state = app.identities.now();
        let keys = keys(operation, &form)?;
        let keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        for resource in resources(operation.target(), &state, &caller, &form)? {
            let _grant = auth::authorise_with(&app, &caller, operation.action(), &resource, &keys)
                .map_err(|refused| as_asked(refused, operation, &form))?;
        }
        let call = Call {
            identities: &app.identities,
            caller: &caller,
            form: &form,
            tokens: &app.tokens,
            region: &app.config.region,
            now_us: app.clock.unix_us(),
            resource_side: &|resource| ResourceSide::of(&app, resource),
        };
        act(operation, &call)
    });
    let result = acting
        .await
        .map_err(|_| ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))??;
    Ok(reply(
        operation.name(),
        NAMESPACE,
        result.as_ref(),
        encoding,
        request.id,
    ))
}

/// Who may not do something to a user or a role is told its name as they wrote it, as on AWS: the path
/// would say whether there is one.
fn as_asked(refused: Refused, operation: Operation, form: &Form) -> ApiError {
    let name = match operation.target() {
        Target::User | Target::NewUser | Target::Rename => {
            form.text("UserName").map(|name| format!("user {name}"))
        }
        Target::Role | Target::NewRole => form.text("RoleName").map(|name| format!("role {name}")),
        _ => None,
    };
    match (refused, name) {
        (Refused::Denied(denied), Some(resource)) => {
            Refused::Denied(Denied { resource, ..denied }).into()
        }
        (refused, _) => refused.into(),
    }
}

impl Operation {
    /// Whether it changes who there is or what they may.
    fn changes(self) -> bool {
        let reads = ["Get", "List", "Simulate"];
        !reads.iter().any(|verb| self.name().starts_with(verb))
    }
}

/// What the conditions of policies may know of an operation.
fn keys(operation: Operation, form: &Form) -> Result<Vec<(String, String)>, ApiError> {
    let mut keys = Vec::new();
    if let Some(arn) = form.text("PolicyArn") {
        keys.push(("iam:PolicyARN".to_owned(), arn.to_owned()));
    }
    if operation.parameters().contains(&"Tags") {
        for (name, value) in form.tags()? {
            keys.push((format!("aws:RequestTag/{name}"), value));
            keys.push(("aws:TagKeys".to_owned(), name));
        }
    }
    Ok(keys)
}

fn operation(form: &Form) -> Result<Operation, ApiError> {
    let name = form.required("Action")?;
    let version = form.text("Version").unwrap_or(VERSION);
    let found = Operation::ALL.iter().find(|known| known.name() == name);
    found
        .filter(|_| version == VERSION)
        .copied()
        .ok_or_else(|| {
            ApiError::new(
                StatusCode::BAD_REQUEST,
                "InvalidAction",
                format!(
                    "Could not find operation {} for version {}",
                    name.escape_debug(),
                    version.escape_debug()
                ),
            )
        })
}

/// The names of what an operation is about.
fn resources(
    target: Target,
    state: &State,
    caller: &Caller,
    form: &Form,
) -> Result<Vec<String>, ApiError> {
    let arn = |kind: &str, path: &str, name: &str| {
        format!("arn:aws:iam::{ACCOUNT_ID}:{kind}{path}{name}")
    };
    // Something that is made is where the request says, if it is not there already. What is not there at all has no path, whatever
    // the request says.
    let path = || names::path(form, "Path");
    let user = |name: &str| match state.users.get(name) {
        Some(user) => user.arn(),
        None => arn("user", "/", name),
    };
    Ok(vec![match target {
        Target::Any => "*".to_owned(),
        Target::User if form.text("UserName").is_none() => caller.arn(),
        Target::User => user(user_name(form)?),
        Target::NewUser => match state.users.get(user_name(form)?) {
            Some(user) => user.arn(),
            None => arn("user", path()?, user_name(form)?),
        },
        Target::NewRole => match state.roles.get(role_name(form)?) {
            Some(role) => role.arn(),
            None => arn("role", path()?, role_name(form)?),
        },
        Target::Rename => {
            let name = user_name(form)?;
            let old = user(name);
            let known = state.users.get(name);
            let path = match form.text("NewPath") {
                Some(_) => names::path(form, "NewPath")?,
                None => known.map_or("/", |user| user.record.path.as_str()),
            };
            let new = match form.text("NewUserName") {
                Some(new) => check_name("newUserName", new, names::USER_CHARS_MAX)?,
                None => name,
            };
            return Ok(vec![old, arn("user", path, new)]);
        }
        Target::Role => {
            let name = role_name(form)?;
            match state.roles.get(name) {
                Some(role) => role.arn(),
                None => arn("role", "/", name),
            }
        }
        Target::Policy => names::policy_arn(form)?.to_owned(),
        Target::NewPolicy => arn("policy", path()?, policy_name(form)?),
        Target::AllUsers => arn("user", "/", ""),
        Target::AllRoles => arn("role", "/", ""),
        Target::AllPolicies => arn("policy", "/", ""),
    }])
}

fn act(operation: Operation, call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    use Operation as O;
    call.form.only(operation.name(), operation.parameters())?;
    match operation {
        O::CreateUser => users::create(call),
        O::GetUser => users::get(call),
        O::ListUsers => users::list(call),
        O::UpdateUser => users::update(call),
        O::DeleteUser => users::delete(call),
        O::ListGroupsForUser => Ok(Some(page::empty("Groups"))),
        O::CreateAccessKey => keys::create(call),
        O::ListAccessKeys => keys::list(call),
        O::UpdateAccessKey => keys::update(call),
        O::DeleteAccessKey => keys::delete(call),
        O::GetAccessKeyLastUsed => keys::last_used(call),
        O::PutUserPolicy => inline::put(call, Owner::User(user_name(call.form)?)),
        O::GetUserPolicy => inline::get(call, Owner::User(user_name(call.form)?)),
        O::DeleteUserPolicy => inline::delete(call, Owner::User(user_name(call.form)?)),
        O::ListUserPolicies => inline::list(call, Owner::User(user_name(call.form)?)),
        O::AttachUserPolicy => managed::attach(call, Owner::User(user_name(call.form)?)),
        O::DetachUserPolicy => managed::detach(call, Owner::User(user_name(call.form)?)),
        O::ListAttachedUserPolicies => {
            managed::list_attached(call, Owner::User(user_name(call.form)?))
        }
        O::CreatePolicy => managed::create(call),
        O::GetPolicy => managed::get(call),
        O::GetPolicyVersion => managed::get_version(call),
        O::ListPolicyVersions => managed::list_versions(call),
        O::ListPolicies => managed::list(call),
        O::DeletePolicy => managed::delete(call),
        O::CreateRole => roles::create(call),
        O::GetRole => roles::get(call),
        O::ListRoles => roles::list(call),
        O::DeleteRole => roles::delete(call),
        O::UpdateAssumeRolePolicy => roles::update_trust(call),
        O::ListInstanceProfilesForRole => Ok(Some(page::empty("InstanceProfiles"))),
        O::PutRolePolicy => inline::put(call, Owner::Role(role_name(call.form)?)),
        O::GetRolePolicy => inline::get(call, Owner::Role(role_name(call.form)?)),
        O::DeleteRolePolicy => inline::delete(call, Owner::Role(role_name(call.form)?)),
        O::ListRolePolicies => inline::list(call, Owner::Role(role_name(call.form)?)),
        O::AttachRolePolicy => managed::attach(call, Owner::Role(role_name(call.form)?)),
        O::DetachRolePolicy => managed::detach(call, Owner::Role(role_name(call.form)?)),
        O::ListAttachedRolePolicies => {
            managed::list_attached(call, Owner::Role(role_name(call.form)?))
        }
        O::SimulatePrincipalPolicy => simulate::simulate(call),
    }
}

impl Call<'_> {
    /// The user in `UserName`; without one, the user who asks.
    fn user_or_caller(&self) -> Result<&str, ApiError> {
        if self.form.text("UserName").is_some() {
            return user_name(self.form);
        }
        match &self.caller.identity {
            Identity::Root => Err(validation(
                "Must specify userName when calling with non-User credentials".to_owned(),
            )),
            identity @ Identity::User(_) => identity
                .user_name()
                .ok_or_else(|| validation("Must specify userName".to_owned())),
        }
    }
}

fn user_name(form: &Form) -> Result<&str, ApiError> {
    check_name(
        "userName",
        form.required("UserName")?,
        names::USER_CHARS_MAX,
    )
}

fn role_name(form: &Form) -> Result<&str, ApiError> {
    check_name(
        "roleName",
        form.required("RoleName")?,
        names::ROLE_CHARS_MAX,
    )
}

fn policy_name(form: &Form) -> Result<&str, ApiError> {
    check_name(
        "policyName",
        form.required("PolicyName")?,
        names::POLICY_CHARS_MAX,
    )
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        let (status, code) = match &error {
            IdentityError::NoUser(_)
            | IdentityError::NoRole(_)
            | IdentityError::NoAccessKey(_)
            | IdentityError::NoInlinePolicy { .. }
            | IdentityError::NoPolicy(_)
            | IdentityError::NotAttachable(_)
            | IdentityError::NotAttached(_)
            | IdentityError::NoApiKey(_) => (StatusCode::NOT_FOUND, "NoSuchEntity"),
            IdentityError::Exists { .. } => (StatusCode::CONFLICT, "EntityAlreadyExists"),
            IdentityError::Limit { .. } => (StatusCode::CONFLICT, "LimitExceeded"),
            IdentityError::DeleteConflict { .. } => (StatusCode::CONFLICT, "DeleteConflict"),
            IdentityError::Malformed(_) => (StatusCode::BAD_REQUEST, "MalformedPolicyDocument"),
            IdentityError::Managed(_) => (StatusCode::BAD_REQUEST, "InvalidInput"),
            IdentityError::Stored { .. } | IdentityError::Sealed(_) | IdentityError::Storage(_) => {
                let cause: &dyn std::error::Error = &error;
                tracing::error!(cause, "changing identities failed");
                return Self::service(StatusCode::INTERNAL_SERVER_ERROR);
            }
        };
        Self::new(status, code, error.to_string())
    }
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: &Operation| super::matrix::Row {
        service: "iam",
        name: operation.name(),
        action: operation.action(),
        method: "POST",
        target: "/".to_owned(),
        about: match operation.target() {
            Target::Any => "*",
            Target::User | Target::NewUser | Target::Rename => "user",
            Target::Role | Target::NewRole => "role",
            Target::Policy | Target::NewPolicy => "policy",
            Target::AllUsers => "users",
            Target::AllRoles => "roles",
            Target::AllPolicies => "policies",
        },
    };
    Operation::ALL.iter().map(row).collect()
}
