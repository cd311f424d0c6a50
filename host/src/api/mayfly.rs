//! Our own API under `/mayfly/`: what the command line asks for and AWS has no word for.

mod audit;
mod backup;
pub(crate) mod billing;
pub(crate) mod functions;
mod logs;
mod rollback;

use domain::FunctionName;
use http::Method;

use super::body::{ApiResponse, whole};
use super::error::ApiError;
use super::request::{ApiRequest, decode};
use crate::auth;

/// What can be asked for.
#[derive(Debug, PartialEq, Eq)]
enum Operation {
    ListFunctions,
    RollBack { function: FunctionName },
    ListBilling,
    SummariseBilling,
    ReadLogs { function: String },
    ReadAudit,
    Backup,
}

impl Operation {
    /// What a policy has to allow.
    fn action(&self) -> &'static str {
        match self {
            Self::ListFunctions => "mayfly:ListFunctions",
            Self::RollBack { .. } => "mayfly:RollBack",
            Self::ListBilling => "mayfly:ListBilling",
            Self::SummariseBilling => "mayfly:SummariseBilling",
            Self::ReadLogs { .. } => "mayfly:ReadLogs",
            Self::ReadAudit => "mayfly:ReadAudit",
            Self::Backup => "mayfly:Backup",
        }
    }

    /// What it is about, for policies.
    fn resource(&self, region: &str) -> String {
        match self {
            Self::ListFunctions
            | Self::ListBilling
            | Self::SummariseBilling
            | Self::ReadAudit
            | Self::Backup => "*".to_owned(),
            Self::RollBack { function } => function.arn(region),
            Self::ReadLogs { function } => format!("arn:aws:mayfly:::logs/{function}"),
        }
    }
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let operation = operation(request)?;
    let _grant = auth::authorise(
        request.app,
        &request.caller,
        operation.action(),
        &operation.resource(&request.app.config.region),
    )?;
    let app = request.app;
    let query = request.query()?;
    let answered = match operation {
        Operation::Backup => return backup::backup(app, &query).await,
        Operation::ReadAudit => audit::read_audit(app, &query).await,
        Operation::ListFunctions => Ok(functions::list_functions(app)),
        Operation::RollBack { function } => rollback::roll_back(app, function, &query).await,
        Operation::ListBilling => billing::list_billing(app, &query).await,
        Operation::SummariseBilling => billing::summarise_billing(app, &query).await,
        Operation::ReadLogs { function } => logs::read_logs(app, &function, &query).await,
    };
    answered.map(whole)
}

fn operation(request: &ApiRequest<'_>) -> Result<Operation, ApiError> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let (expected, operation) = match request.segments().as_slice() {
        ["mayfly", "functions"] => (Method::GET, Operation::ListFunctions),
        ["mayfly", "functions", function, "rollback"] => {
            let function = FunctionName::parse(&decode(function)?)
                .map_err(|error| ApiError::validation(error.to_string()))?;
            (Method::POST, Operation::RollBack { function })
        }
        ["mayfly", "audit"] => (Method::GET, Operation::ReadAudit),
        ["mayfly", "backup"] => (Method::GET, Operation::Backup),
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
