//! `GET /2019-09-25/functions/{name}/event-invoke-config/list`.

use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::event_invoke::EventInvokeView;
use super::paging::page;
use crate::http::error::HttpResponse;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Configs {
    function_event_invoke_configs: Vec<EventInvokeView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) fn list_function_event_invoke_configs(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    let function = call
        .function()
        .map_err(|_| ApiError::not_found("The function doesn't exist."))?;
    let all = function.settings.event_invoke.iter().collect();
    let page = page(call, 50, all, |(key, _)| (*key).clone())?;
    let arn = function.name.arn(call.region());
    let configs = Configs {
        function_event_invoke_configs: page
            .items
            .iter()
            .map(|(key, found)| EventInvokeView::of(&arn, key, found))
            .collect(),
        next_marker: page.next_marker,
    };
    reply(StatusCode::OK, &configs)
}
