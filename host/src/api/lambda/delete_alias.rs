//! `DELETE /2015-03-31/functions/{name}/aliases/{alias}`; one that is not there is gone already.

use super::super::error::ApiError;
use super::call::{Call, alias_name, no_content};
use crate::http::error::HttpResponse;

pub(super) async fn delete_alias(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let alias = alias_name("name", call.label()?)?;
    let function = call.function()?;
    if function.aliases.contains_key(&alias) {
        let name = function.name.clone();
        let delete = move |app: &crate::app::App| app.registry.delete_alias(&name, &alias);
        call.change(delete).await?;
    }
    Ok(no_content())
}
