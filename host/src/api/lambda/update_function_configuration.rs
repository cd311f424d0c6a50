//! `PUT /2015-03-31/functions/{name}/configuration`: changes `$LATEST`; what is not given stays.

use http::StatusCode;
use serde::Deserialize;

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::change::{Revised, revision};
use super::declaration::Declaration;
use super::wire::{Detail, FunctionConfiguration};
use crate::http::error::HttpResponse;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    revision_id: Option<String>,
    #[serde(flatten)]
    declaration: Declaration,
}

pub(super) async fn update_function_configuration(
    call: &Call<'_>,
) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    request.declaration.check()?;
    let revision = revision(request.revision_id.as_deref(), Revised::Function)?;
    let name = call.function()?.name.clone();
    let function = call
        .change(move |app| {
            let change = |configuration: &mut _| request.declaration.apply(configuration);
            app.registry.update_configuration(&name, revision, change)
        })
        .await?;
    let (arn, region) = (call.target_arn()?, call.region());
    let shown = FunctionConfiguration::of(&function.latest, arn, region, Detail::Single);
    reply(StatusCode::OK, &shown)
}
