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
use super::health::{self, Series};
use super::lambda::operation::labels;
use super::request::{ApiRequest, decode};
use crate::auth::{self, Denied, Refused};

/// What an operation is about, for policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Nothing in particular.
    Any,
    /// The alias, of the function that the label names, that the query names; without one, its only one.
    Alias,
    /// The log that the label names.
    Log,
    /// The API key that the label names.
    ApiKey,
}

/// What is known of an operation before it is looked into.
#[derive(Debug)]
struct Spec {
    /// What a policy has to allow.
    action: &'static str,
    method: Method,
    /// The path; `{}` stands for the label.
    path: &'static str,
    about: About,
}

/// Makes [`Operation`] and what is known of each: `NAME => METHOD PATH, ABOUT`.
macro_rules! operations {
    ($($name:ident => $method:ident $path:literal, $about:ident;)*) => {
        /// What can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Operation { $($name),* }

        impl Operation {
            const ALL: &[Self] = &[$(Self::$name),*];

            fn spec(self) -> Spec {
                match self {
                    $(Self::$name => Spec {
                        action: concat!("mayfly:", stringify!($name)),
                        method: Method::$method,
                        path: $path,
                        about: About::$about,
                    }),*
                }
            }
        }
    };
}

operations! {
    ListFunctions => GET "/mayfly/functions", Any;
    RollBack => POST "/mayfly/functions/{}/rollback", Alias;
    ListBilling => GET "/mayfly/billing", Any;
    SummariseBilling => GET "/mayfly/billing/summary", Any;
    GetInvoice => GET "/mayfly/billing/invoice", Any;
    ExportBilling => GET "/mayfly/billing/export", Any;
    ListBudgets => GET "/mayfly/billing/budgets", Any;
    ReadLogs => GET "/mayfly/logs/{}", Log;
    ListApiKeys => GET "/mayfly/api-keys", Any;
    CreateApiKey => POST "/mayfly/api-keys", Any;
    UpdateApiKey => PUT "/mayfly/api-keys/{}", ApiKey;
    DeleteApiKey => DELETE "/mayfly/api-keys/{}", ApiKey;
    ReadAudit => GET "/mayfly/audit", Any;
    Backup => GET "/mayfly/backup", Any;
    GetMetrics => GET "/metrics", Any;
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let (operation, label) = operation(request)?;
    let Spec { action, about, .. } = operation.spec();
    let query = request.query()?;
    let (mut asked, mut alias) = (None, None);
    let resource = match about {
        About::Any => "*".to_owned(),
        About::Alias => {
            let region = &request.app.config.region;
            let function = function(&label)?;
            // Who may not is told what they asked for: which alias there is, is not theirs to know.
            if rollback::named(&query)?.is_none() {
                asked = Some(function.arn(region));
            }
            alias = rollback::alias(request.app, &function, &query)?;
            match &alias {
                Some(alias) => format!("{}:{alias}", function.arn(region)),
                None => function.arn(region),
            }
        }
        About::Log => format!("arn:aws:mayfly:::logs/{label}"),
        About::ApiKey => {
            api_keys::check_name(&label)?;
            format!("arn:aws:mayfly:::api-key/{label}")
        }
    };
    let app = request.app;
    let _grant =
        auth::authorise(app, &request.caller, action, &resource).map_err(|refused| {
            match (refused, asked) {
                (Refused::Denied(denied), Some(resource)) => {
                    Refused::Denied(Denied { resource, ..denied })
                }
                (refused, _) => refused,
            }
        })?;
    let answered = match operation {
        Operation::ExportBilling => return billing::export(app, &query),
        Operation::Backup => return backup::backup(app, &query).await,
        Operation::ReadAudit => audit::read_audit(app, &query).await,
        Operation::ListFunctions => Ok(functions::list_functions(app)),
        Operation::RollBack => {
            // The alias that was decided on, even if there is another by now.
            rollback::roll_back(app, function(&label)?, alias, &query).await
        }
        Operation::ListBilling => billing::list_billing(app, &query).await,
        Operation::SummariseBilling => billing::summarise_billing(app, &query).await,
        Operation::GetInvoice => billing::invoice(app, &query).await,
        Operation::ListBudgets => billing::list_budgets(app, &query),
        Operation::ReadLogs => logs::read_logs(app, &label, &query).await,
        Operation::CreateApiKey => api_keys::create(app, request.json()?).await,
        Operation::ListApiKeys => Ok(api_keys::list(app)),
        Operation::UpdateApiKey => api_keys::update(app, label, request.json()?).await,
        Operation::DeleteApiKey => api_keys::delete(app, label).await,
        Operation::GetMetrics => Ok(health::metrics(app, Series::All)),
    };
    answered.map(whole)
}

/// The operation of a request, and the label of its path, decoded; empty when the path has none.
fn operation(request: &ApiRequest<'_>) -> Result<(Operation, String), ApiError> {
    let (method, path) = (&request.parts.method, request.parts.uri.path());
    let mut other = None;
    for operation in Operation::ALL {
        let spec = operation.spec();
        let Some(labels) = labels(spec.path, path) else {
            continue;
        };
        if spec.method == *method {
            let label = labels.first().map(|label| decode(label)).transpose()?;
            return Ok((*operation, label.unwrap_or_default()));
        }
        other = other.or(Some(spec.method));
    }
    Err(match other {
        Some(other) => ApiError::wrong_method(path, &other, method),
        None => ApiError::unknown_operation(method, path),
    })
}

fn function(label: &str) -> Result<FunctionName, ApiError> {
    FunctionName::parse(label).map_err(|error| ApiError::validation(error.to_string()))
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: &Operation| {
        let spec = operation.spec();
        super::matrix::Row {
            service: "mayfly",
            name: spec.action.trim_start_matches("mayfly:"),
            action: spec.action,
            method: super::matrix::method(&spec.method),
            target: spec.path.to_owned(),
            about: match spec.about {
                About::Any => "*",
                About::Alias => "alias",
                About::Log => "log",
                About::ApiKey => "api-key",
            },
        }
    };
    Operation::ALL.iter().map(row).collect()
}
