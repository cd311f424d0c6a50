//! `GET /mayfly/audit`: who asked for what, and what came of it.

use std::sync::Arc;

use http::StatusCode;
use serde_json::json;
use storage::AuditQuery;
use storage::audit::read;

use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::App;
use crate::faults::chain;
use crate::http::error::{HttpResponse, json_response};
use crate::time_text::rfc3339_ms;

/// Most entries of one answer.
const ENTRIES_MAX: u64 = 10_000;

/// Entries that are shown when nobody says how many.
const ENTRIES_DEFAULT: u64 = 1_000;

pub(super) async fn read_audit(app: &Arc<App>, query: &Query) -> Result<HttpResponse, ApiError> {
    query.only(&["since", "user", "action", "denied", "limit"])?;
    let limit = query
        .number("limit", ENTRIES_MAX)?
        .unwrap_or(ENTRIES_DEFAULT);
    let wanted = AuditQuery {
        since: query.instant_us("since")?.map(rfc3339_ms),
        user: query.text("user").map(str::to_owned),
        action: query.text("action").map(str::to_owned),
        denied: match query.text("denied") {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(ApiError::validation(format!(
                    "query parameter `denied` is `{other}`; it must be true or false"
                )));
            }
        },
        limit: usize::try_from(limit).unwrap_or(usize::MAX),
    };
    let app = Arc::clone(app);
    let reading = tokio::task::spawn_blocking(move || read(app.data_dir.path(), &wanted));
    let internal = || ApiError::service(StatusCode::INTERNAL_SERVER_ERROR);
    let page = reading.await.map_err(|_| internal())?.map_err(|error| {
        tracing::error!("reading the audit log failed: {}", chain(&error));
        internal()
    })?;
    let body = json!({ "entries": page.entries, "damaged": page.damaged });
    Ok(json_response(StatusCode::OK, body.to_string()))
}
