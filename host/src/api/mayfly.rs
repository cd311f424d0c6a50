//! Our own API under `/mayfly/`: what the command line asks for and AWS has no word for.

mod api_keys;
mod audit;
mod backup;
pub(crate) mod billing;
mod cloud_events;
mod events;
pub(crate) mod functions;
mod logs;
mod queues;
mod rollback;
mod schedules;
mod subject;
mod topics;

use http::Method;

use self::events::change::{Change, change_events};
use self::subject::{About, Subject, function};
use super::body::{ApiResponse, whole};
use super::error::ApiError;
use super::health;
use super::lambda::operation::labels;
use super::request::ApiRequest;
use crate::auth;

/// What is known of an operation before it is looked into.
#[derive(Debug)]
struct Spec {
    #[cfg(test)]
    name: &'static str,
    /// What a policy has to allow.
    action: &'static str,
    method: Method,
    /// The path; `{}` stands for the label.
    path: &'static str,
    about: About,
}

/// What has to be allowed for events of a function, whatever they come from.
const INVOKE: &str = "lambda:InvokeFunction";

/// Makes [`Operation`] and what is known of each: `NAME => METHOD PATH, ABOUT`.
macro_rules! operations {
    ($($name:ident => $method:ident $path:literal, $about:expr;)*) => {
        /// What can be asked for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        enum Operation { $($name),* }

        impl Operation {
            const ALL: &[Self] = &[$(Self::$name),*];

            fn spec(self) -> Spec {
                match self {
                    $(Self::$name => Spec {
                        action: match $about {
                            About::Function => INVOKE,
                            _ => concat!("mayfly:", stringify!($name)),
                        },
                        #[cfg(test)]
                        name: stringify!($name),
                        method: Method::$method,
                        path: $path,
                        about: $about,
                    }),*
                }
            }
        }
    };
}

operations! {
    ListFunctions => GET "/mayfly/functions", About::Any;
    RollBack => POST "/mayfly/functions/{}/rollback", About::Alias;
    ListBilling => GET "/mayfly/billing", About::Any;
    SummariseBilling => GET "/mayfly/billing/summary", About::Any;
    GetInvoice => GET "/mayfly/billing/invoice", About::Any;
    ExportBilling => GET "/mayfly/billing/export", About::Any;
    ListBudgets => GET "/mayfly/billing/budgets", About::Any;
    ListEvents => GET "/mayfly/events", About::Filtered;
    RedriveEvents => POST "/mayfly/events/redrive", About::Selected(Change::Redrive);
    PurgeEvents => POST "/mayfly/events/purge", About::Selected(Change::Purge);
    GetEvent => GET "/mayfly/events/{}", About::Event;
    SendCloudEvent => POST "/mayfly/events/{}", About::Function;
    ValidateWebhook => OPTIONS "/mayfly/events/{}", About::Function;
    ListQueues => GET "/mayfly/queues", About::Filtered;
    ListTopics => GET "/mayfly/topics", About::Any;
    PublishTopic => POST "/mayfly/topics/{}", About::Topic;
    ReadLogs => GET "/mayfly/logs/{}", About::Log;
    ListApiKeys => GET "/mayfly/api-keys", About::Any;
    CreateApiKey => POST "/mayfly/api-keys", About::Any;
    UpdateApiKey => PUT "/mayfly/api-keys/{}", About::ApiKey;
    DeleteApiKey => DELETE "/mayfly/api-keys/{}", About::ApiKey;
    ListSchedules => GET "/mayfly/schedules", About::Any;
    ReadAudit => GET "/mayfly/audit", About::Any;
    Backup => GET "/mayfly/backup", About::Any;
    GetMetrics => GET "/metrics", About::Any;
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let (operation, label) = operation(request)?;
    let Spec { action, about, .. } = operation.spec();
    let query = request.query()?;
    let app = request.app;
    let subject = Subject::of(request, about, &label, &query).await?;
    let _grant = auth::authorise(app, &request.caller, action, &subject.resource)
        .map_err(|refused| subject.refused(refused))?;
    let answered = match operation {
        Operation::ExportBilling => return billing::export(app, &query),
        Operation::Backup => return backup::backup(app, &query).await,
        Operation::ReadAudit => audit::read_audit(app, &query).await,
        Operation::ListSchedules => Ok(schedules::list(app)),
        Operation::ListFunctions => Ok(functions::list_functions(app)),
        Operation::RollBack => {
            rollback::roll_back(app, function(&label)?, subject.alias()?, &query).await
        }
        Operation::ListBilling => billing::list_billing(app, &query).await,
        Operation::SummariseBilling => billing::summarise_billing(app, &query).await,
        Operation::GetInvoice => billing::invoice(app, &query).await,
        Operation::ListBudgets => billing::list_budgets(app, &query),
        Operation::ListEvents => events::list_events(app, &query).await,
        Operation::GetEvent => events::get_event(app, &subject.event()?).await,
        Operation::RedriveEvents => change_events(app, Change::Redrive, subject.selected()?).await,
        Operation::PurgeEvents => change_events(app, Change::Purge, subject.selected()?).await,
        Operation::SendCloudEvent => cloud_events::send(request, &subject.function()?).await,
        Operation::ValidateWebhook => cloud_events::validate(request, &subject.function()?),
        Operation::ListQueues => queues::list_queues(app, &query).await,
        Operation::ListTopics => topics::list_topics(app),
        Operation::PublishTopic => topics::publish(request, &subject.topic()?).await,
        Operation::ReadLogs => logs::read_logs(app, &label, &query).await,
        Operation::CreateApiKey => api_keys::create(app, request.json()?).await,
        Operation::ListApiKeys => Ok(api_keys::list(app)),
        Operation::UpdateApiKey => api_keys::update(app, label, request.json()?).await,
        Operation::DeleteApiKey => api_keys::delete(app, label).await,
        Operation::GetMetrics => Ok(health::all_metrics(app).await),
    };
    answered.map(whole)
}

/// The operation of a request, and the label of its path, decoded; empty when the path has none.
fn operation(request: &ApiRequest<'_>) -> Result<(Operation, String), ApiError> {
    request.operation(Operation::ALL.iter().map(|operation| {
        let spec = operation.spec();
        (*operation, spec.method, spec.path)
    }))
}

/// Whether a request may be made twice with one signature: what reads, and what makes events.
pub(super) fn may_repeat(method: &Method, path: &str) -> bool {
    let mut found = Operation::ALL.iter().map(|operation| operation.spec());
    let found = found.find(|spec| spec.method == *method && labels(spec.path, path).is_some());
    found.is_some_and(|spec| {
        *method == Method::GET || matches!(spec.about, About::Function | About::Topic)
    })
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: &Operation| {
        let spec = operation.spec();
        super::matrix::Row {
            service: "mayfly",
            name: spec.name,
            action: spec.action,
            method: super::matrix::method(&spec.method),
            target: spec.path.to_owned(),
            about: match spec.about {
                About::Any => "*",
                About::Alias => "alias",
                About::Log => "log",
                About::ApiKey => "api-key",
                About::Filtered | About::Selected(_) => "*",
                About::Event => "event",
                About::Function => "function",
                About::Topic => "topic",
            },
        }
    };
    Operation::ALL.iter().map(row).collect()
}
