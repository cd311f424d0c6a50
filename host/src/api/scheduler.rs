//! The API of EventBridge Scheduler: schedules that call functions, in groups.
//!
//! Whoever makes a schedule needs permission to invoke its function too: what a schedule does, its maker
//! could do. Knows nothing of when anything runs.

mod groups;
mod list;
mod schedules;
mod tags;
mod wire;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::error::ApiError;
use super::json;
use super::query::Query;
use super::request::ApiRequest;
use crate::auth;
use crate::http::error::{HttpResponse, json_response};
use crate::trigger::schedule::definition::{DEFAULT_GROUP, group_arn, schedule_arn};

/// Where schedules, groups and tags are, for telling this API from others.
pub(super) fn is_path(path: &str) -> bool {
    ["/schedules", "/schedule-groups", "/tags"]
        .iter()
        .any(|root| {
            path.strip_prefix(root)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
}

/// What an operation is about, for policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum About {
    /// Nothing in particular.
    Any,
    /// The schedule that the label names, in the group of the query.
    Schedule,
    /// The same, in the group of the body.
    ScheduleInBody,
    /// The group that the label names.
    Group,
    /// The group whose ARN is the label.
    Tagged,
}

/// What is known of an operation before it is looked into.
#[derive(Debug)]
struct Spec {
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
                        action: concat!("scheduler:", stringify!($name)),
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
    CreateSchedule => POST "/schedules/{}", ScheduleInBody;
    GetSchedule => GET "/schedules/{}", Schedule;
    UpdateSchedule => PUT "/schedules/{}", ScheduleInBody;
    DeleteSchedule => DELETE "/schedules/{}", Schedule;
    ListSchedules => GET "/schedules", Any;
    CreateScheduleGroup => POST "/schedule-groups/{}", Group;
    GetScheduleGroup => GET "/schedule-groups/{}", Group;
    DeleteScheduleGroup => DELETE "/schedule-groups/{}", Group;
    ListScheduleGroups => GET "/schedule-groups", Any;
    TagResource => POST "/tags/{}", Tagged;
    UntagResource => DELETE "/tags/{}", Tagged;
    ListTagsForResource => GET "/tags/{}", Tagged;
}

/// A request that may do what it asks for.
struct Call<'a> {
    request: &'a ApiRequest<'a>,
    query: Query,
    /// The name of a group, for every operation that is about one or about something in one.
    group: String,
    /// The name of a schedule.
    name: String,
    _grant: auth::Grant,
}

impl Call<'_> {
    fn region(&self) -> &str {
        &self.request.caller.region
    }
}

/// The one member of a body that says what it is about.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct GroupInBody {
    group_name: Option<String>,
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let (operation, label) = operation(request)?;
    let Spec { action, about, .. } = operation.spec();
    let query = request.query()?;
    let in_query = || query.text("groupName").map(str::to_owned);
    let (group, name) = match about {
        About::Any => (None, String::new()),
        About::Schedule => (in_query(), label),
        About::ScheduleInBody => {
            let body: GroupInBody = match request.body.is_empty() {
                true => GroupInBody { group_name: None },
                false => json::peek(&request.body)?,
            };
            (body.group_name, label)
        }
        About::Group => (Some(label), String::new()),
        About::Tagged => (Some(tags::group(&label, request)?), String::new()),
    };
    let group = group.unwrap_or_else(|| DEFAULT_GROUP.to_owned());
    wire::check_names(&group, (!name.is_empty()).then_some(&*name))?;
    let region = &request.caller.region;
    let resource = match about {
        About::Any => "*".to_owned(),
        About::Schedule | About::ScheduleInBody => schedule_arn(region, &group, &name),
        About::Group | About::Tagged => group_arn(region, &group),
    };
    let grant = auth::authorise(request.app, &request.caller, action, &resource)?;
    let call = Call {
        request,
        query,
        group,
        name,
        _grant: grant,
    };
    let body = match operation {
        Operation::CreateSchedule => schedules::create(&call).await?,
        Operation::GetSchedule => schedules::get(&call)?,
        Operation::UpdateSchedule => schedules::update(&call).await?,
        Operation::DeleteSchedule => schedules::delete(&call).await?,
        Operation::ListSchedules => list::schedules(&call)?,
        Operation::CreateScheduleGroup => groups::create(&call).await?,
        Operation::GetScheduleGroup => groups::get(&call)?,
        Operation::DeleteScheduleGroup => groups::delete(&call).await?,
        Operation::ListScheduleGroups => list::groups(&call)?,
        Operation::TagResource => tags::tag(&call).await?,
        Operation::UntagResource => tags::untag(&call).await?,
        Operation::ListTagsForResource => tags::list(&call)?,
    };
    Ok(json_response(StatusCode::OK, body.to_string()))
}

/// The operation of a request, and the label of its path, decoded; empty when the path has none.
fn operation(request: &ApiRequest<'_>) -> Result<(Operation, String), ApiError> {
    request.operation(Operation::ALL.iter().map(|operation| {
        let spec = operation.spec();
        (*operation, spec.method, spec.path)
    }))
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    let row = |operation: &Operation| {
        let spec = operation.spec();
        super::matrix::Row {
            service: "scheduler",
            name: spec.action.trim_start_matches("scheduler:"),
            action: spec.action,
            method: super::matrix::method(&spec.method),
            target: spec.path.to_owned(),
            about: match spec.about {
                About::Any => "*",
                About::Schedule | About::ScheduleInBody => "schedule",
                About::Group | About::Tagged => "schedule-group",
            },
        }
    };
    Operation::ALL.iter().map(row).collect()
}
