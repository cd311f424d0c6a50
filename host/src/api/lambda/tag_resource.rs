//! `POST /2017-03-31/tags/{arn}`: sets tags of a function.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::super::error::ApiError;
use super::call::{Call, no_content};
use super::checks::Checks;
use crate::http::error::HttpResponse;

/// Most tags of a function. Lambda's limit.
const TAGS_MAX: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    tags: Option<BTreeMap<String, String>>,
}

pub(super) async fn tag_resource(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    let mut checks = Checks::default();
    checks.required("tags", request.tags.as_ref());
    checks.done()?;
    let tags = request.tags.unwrap_or_default();
    check_tags(&tags)?;
    call.function()?;
    call.settings(move |_function, settings| {
        let mut all = settings.tags.clone();
        all.extend(tags);
        check_tags(&all)?;
        settings.tags = all;
        Ok(())
    })
    .await?;
    Ok(no_content())
}

/// Whether these may be the tags of a function.
///
/// # Errors
///
/// 400.
pub(super) fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), ApiError> {
    let mut checks = Checks::default();
    for (key, value) in tags {
        checks.length("tags", Some(key), &(1..=128));
        checks.length("tags", Some(value), &(0..=256));
    }
    checks.done()?;
    if tags.keys().any(|key| key.starts_with("aws:")) {
        return Err(ApiError::validation(
            "Tag keys that start with aws: are reserved for system use.",
        ));
    }
    if tags.len() > TAGS_MAX {
        return Err(ApiError::validation(
            "Number of tags exceeds resource tag limit.",
        ));
    }
    Ok(())
}
