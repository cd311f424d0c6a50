//! `GET /2021-10-31/functions/{name}/urls`: the function's URL and those of its aliases.

use http::StatusCode;
use serde::Serialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::paging::page;
use super::urls::{Moment, UrlView};
use super::wire::qualified_arn;
use crate::http::error::HttpResponse;

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Urls {
    function_url_configs: Vec<UrlView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_marker: Option<String>,
}

pub(super) fn list_function_url_configs(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let function = call
        .function()
        .map_err(|_| ApiError::not_found("Function does not exist"))?;
    let urls = function.settings.urls.iter().collect();
    let page = page(call, 50, urls, |(qualifier, _)| (*qualifier).clone())?;
    let arn = function.name.arn(call.region());
    let urls = Urls {
        function_url_configs: page
            .items
            .iter()
            .map(|(key, url)| UrlView::of(call, qualified_arn(&arn, key), url, Moment::Later))
            .collect(),
        next_marker: page.next_marker,
    };
    reply(StatusCode::OK, &urls)
}
