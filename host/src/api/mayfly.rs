//! Our own API under `/mayfly/`: what the command line asks for and AWS has no word for.

pub(crate) mod billing;
pub(crate) mod functions;
mod logs;

use http::Method;

use super::error::ApiError;
use super::request::{ApiRequest, decode};
use crate::auth;
use crate::http::error::HttpResponse;

/// What can be asked for.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    ListFunctions,
    ListBilling,
    SummariseBilling,
    ReadLogs { function: String },
}

impl Operation {
    /// What a policy has to allow.
    fn action(&self) -> &'static str {
        match self {
            Self::ListFunctions => "mayfly:ListFunctions",
            Self::ListBilling => "mayfly:ListBilling",
            Self::SummariseBilling => "mayfly:SummariseBilling",
            Self::ReadLogs { .. } => "mayfly:ReadLogs",
        }
    }

    /// What it is about, for policies.
    fn resource(&self) -> String {
        match self {
            Self::ListFunctions | Self::ListBilling | Self::SummariseBilling => "*".to_owned(),
            Self::ReadLogs { function } => format!("arn:aws:mayfly:::logs/{function}"),
        }
    }
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let operation = operation(request)?;
    let _grant = auth::authorise(
        request.app,
        &request.caller,
        operation.action(),
        &operation.resource(),
    )?;
    let app = request.app;
    let query = request.query()?;
    match operation {
        Operation::ListFunctions => Ok(functions::list_functions(app)),
        Operation::ListBilling => billing::list_billing(app, &query).await,
        Operation::SummariseBilling => billing::summarise_billing(app, &query).await,
        Operation::ReadLogs { function } => logs::read_logs(app, &function, &query).await,
    }
}

fn operation(request: &ApiRequest<'_>) -> Result<Operation, ApiError> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let (expected, operation) = match request.segments().as_slice() {
        ["mayfly", "functions"] => (Method::GET, Operation::ListFunctions),
        ["mayfly", "billing"] => (Method::GET, Operation::ListBilling),
        ["mayfly", "billing", "summary"] => (Method::GET, Operation::SummariseBilling),
        ["mayfly", "logs", function] => {
            let function = decode(function)?;
            (Method::GET, Operation::ReadLogs { function })
        }
        _ => return Err(ApiError::unknown_operation(method, path)),
    };
    if *method == expected {
        Ok(operation)
    } else {
        Err(ApiError::wrong_method(path, &expected, method))
    }
}
