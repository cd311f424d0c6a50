//! Our own API under `/mayfly/`: what the command line asks for and AWS has no word for.

mod api_keys;
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
    CreateApiKey,
    ListApiKeys,
    UpdateApiKey { name: String },
    DeleteApiKey { name: String },
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
            Self::CreateApiKey => "mayfly:CreateApiKey",
            Self::ListApiKeys => "mayfly:ListApiKeys",
            Self::UpdateApiKey { .. } => "mayfly:UpdateApiKey",
            Self::DeleteApiKey { .. } => "mayfly:DeleteApiKey",
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
            | Self::Backup
            | Self::CreateApiKey
            | Self::ListApiKeys => "*".to_owned(),
            Self::UpdateApiKey { name } | Self::DeleteApiKey { name } => {
                format!("arn:aws:mayfly:::api-key/{name}")
            }
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
        Operation::CreateApiKey => api_keys::create(app, request.json()?).await,
        Operation::ListApiKeys => Ok(api_keys::list(app)),
        Operation::UpdateApiKey { name } => api_keys::update(app, name, request.json()?).await,
        Operation::DeleteApiKey { name } => api_keys::delete(app, name).await,
    };
    answered.map(whole)
}

fn operation(request: &ApiRequest<'_>) -> Result<Operation, ApiError> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let offered = match request.segments().as_slice() {
        ["mayfly", "functions"] => vec![(Method::GET, Operation::ListFunctions)],
        ["mayfly", "functions", function, "rollback"] => {
            let function = FunctionName::parse(&decode(function)?)
                .map_err(|error| ApiError::validation(error.to_string()))?;
            vec![(Method::POST, Operation::RollBack { function })]
        }
        ["mayfly", "audit"] => vec![(Method::GET, Operation::ReadAudit)],
        ["mayfly", "backup"] => vec![(Method::GET, Operation::Backup)],
        ["mayfly", "billing"] => vec![(Method::GET, Operation::ListBilling)],
        ["mayfly", "billing", "summary"] => vec![(Method::GET, Operation::SummariseBilling)],
        ["mayfly", "logs", function] => {
            let function = decode(function)?;
            vec![(Method::GET, Operation::ReadLogs { function })]
        }
        ["mayfly", "api-keys"] => vec![
            (Method::GET, Operation::ListApiKeys),
            (Method::POST, Operation::CreateApiKey),
        ],
        ["mayfly", "api-keys", name] => {
            let name = decode(name)?;
            api_keys::check_name(&name)?;
            vec![
                (Method::PUT, Operation::UpdateApiKey { name: name.clone() }),
                (Method::DELETE, Operation::DeleteApiKey { name }),
            ]
        }
        _ => return Err(ApiError::unknown_operation(method, path)),
    };
    let expected = offered
        .first()
        .map_or(Method::GET, |(known, _)| known.clone());
    let found = offered.into_iter().find(|(known, _)| known == method);
    found
        .map(|(_, operation)| operation)
        .ok_or_else(|| ApiError::wrong_method(path, &expected, method))
}
