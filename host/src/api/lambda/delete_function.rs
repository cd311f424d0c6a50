//! `DELETE /2015-03-31/functions/{name}`: a function with all that belongs to it, or one version.

use domain::{Qualifier, VersionId};

use super::super::error::ApiError;
use super::call::{Call, function_not_found, no_content};
use crate::http::error::HttpResponse;

pub(super) async fn delete_function(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let target = call.target()?.clone();
    let name = target.name.clone();
    let is_known = call.request.app.registry.function(&name).is_some();
    if target.qualifier.is_some() && !is_known {
        return Err(function_not_found(&name.arn(call.region())));
    }
    match target.qualifier {
        None => call.change(move |app| app.registry.delete(&name)).await?,
        Some(Qualifier::Version(VersionId::Number(number))) => {
            let delete = move |app: &crate::app::App| app.registry.delete_version(&name, number);
            call.change(delete).await?;
        }
        Some(Qualifier::Version(VersionId::Latest)) => {
            return Err(ApiError::validation(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        Some(Qualifier::Alias(_)) => {
            return Err(ApiError::validation(
                "Deletion of aliases is not currently supported.",
            ));
        }
    }
    Ok(no_content())
}
