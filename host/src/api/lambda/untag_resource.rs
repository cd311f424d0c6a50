//! `DELETE /2017-03-31/tags/{arn}?tagKeys=a&tagKeys=b`: takes tags away; those that are not there are
//! gone already.

use super::super::error::ApiError;
use super::call::{Call, no_content};
use super::checks::Checks;
use crate::http::error::HttpResponse;

pub(super) async fn untag_resource(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let keys: Vec<String> = call.query.all("tagKeys").map(str::to_owned).collect();
    let mut checks = Checks::default();
    checks.required("tagKeys", keys.first());
    checks.done()?;
    call.function()?;
    call.settings(move |_function, settings| {
        settings.tags.retain(|key, _| !keys.contains(key));
        Ok(())
    })
    .await?;
    Ok(no_content())
}
