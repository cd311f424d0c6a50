//! The STS API: who one is. Temporary credentials are not offered.
//!
//! A GET has its parameters in the query: whoever is handed such an address, presigned, learns who signed
//! it, and other systems let people in by that.

use domain::names::ACCOUNT_ID;
use http::{Method, StatusCode};

use super::error::ApiError;
use super::form::{Encoding, Form};
use super::request::ApiRequest;
use super::xml::{Node, reply};
use crate::auth::Identity;
use crate::http::error::HttpResponse;

const VERSION: &str = "2011-06-15";
const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// What can be asked for. None asks for a permission: whoever signed knows who they are, as on AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operation {
    GetCallerIdentity,
    AssumeRole,
    GetSessionToken,
}

impl Operation {
    const ALL: [Self; 3] = [
        Self::GetCallerIdentity,
        Self::AssumeRole,
        Self::GetSessionToken,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::GetCallerIdentity => "GetCallerIdentity",
            Self::AssumeRole => "AssumeRole",
            Self::GetSessionToken => "GetSessionToken",
        }
    }
}

/// Answers a request for this API.
pub(super) fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let (encoding, form) = if request.parts.method == Method::GET {
        let query = request.parts.uri.query().unwrap_or_default();
        let form = Form::parse(query.as_bytes(), Encoding::Form)?;
        (Encoding::Form, form)
    } else {
        let encoding = request.encoding();
        (encoding, Form::parse(&request.body, encoding)?)
    };
    let action = form.required("Action")?;
    let version = form.text("Version").unwrap_or(VERSION);
    let known = Operation::ALL.into_iter().find(|o| o.name() == action);
    match known.filter(|_| version == VERSION) {
        Some(Operation::GetCallerIdentity) => {
            let identity = caller_identity(request);
            Ok(reply(
                action,
                NAMESPACE,
                Some(&identity),
                encoding,
                request.id,
            ))
        }
        Some(Operation::AssumeRole | Operation::GetSessionToken) => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "UnsupportedOperation",
            format!(
                "{action} is not offered: there are no temporary credentials here. Make a user with an access key instead."
            ),
        )),
        None => Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "InvalidAction",
            format!(
                "Could not find operation {} for version {}",
                action.escape_debug(),
                version.escape_debug()
            ),
        )),
    }
}

fn caller_identity(request: &ApiRequest<'_>) -> Node {
    let state = request.app.identities.now();
    let id = match &request.caller.identity {
        Identity::Root => ACCOUNT_ID.to_owned(),
        identity @ Identity::User(_) => identity
            .user_name()
            .and_then(|name| state.users.get(name))
            .map_or_else(String::new, |user| user.record.id.clone()),
    };
    Node::Fields(vec![
        ("UserId", Node::Text(id)),
        ("Account", Node::text(ACCOUNT_ID)),
        ("Arn", Node::Text(request.caller.arn())),
    ])
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: Operation| super::matrix::Row {
        service: "sts",
        name: operation.name(),
        action: match operation {
            Operation::GetCallerIdentity => "sts:GetCallerIdentity",
            Operation::AssumeRole => "sts:AssumeRole",
            Operation::GetSessionToken => "sts:GetSessionToken",
        },
        method: "POST",
        target: "/".to_owned(),
        about: "-",
    };
    Operation::ALL.into_iter().map(row).collect()
}
