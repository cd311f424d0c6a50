//! `GET /mayfly/backup`: everything that a site needs to go on elsewhere, while this one goes on.

use std::sync::Arc;

use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use storage::{Backup, StorageError};

use super::super::body::{ApiResponse, Pieces, stream};
use super::super::error::ApiError;
use super::super::query::Query;
use crate::app::App;
use crate::faults::chain;

pub(super) async fn backup(app: &Arc<App>, query: &Query) -> Result<ApiResponse, ApiError> {
    query.only(&[])?;
    let permit = Arc::clone(&app.backups).try_acquire_owned().map_err(|_| {
        let message = "another backup is being made";
        ApiError::new(StatusCode::CONFLICT, "ResourceConflictException", message)
    })?;
    let (pieces, body) = stream();
    let made_at_ms = app.clock.unix_ms();
    let app = Arc::clone(app);
    // What can't be copied is found before the answer begins, so it can still say no.
    let (begun, beginning) = tokio::sync::oneshot::channel();
    tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let made_by = (env!("CARGO_PKG_VERSION"), made_at_ms);
        let backup = match Backup::begin(&app.data_dir, Some(&app.queue), &app.ledger, made_by) {
            Ok(backup) => backup,
            Err(error) => {
                drop(begun.send(Err(error)));
                return;
            }
        };
        // Its reader may have left already; then the first piece finds out.
        drop(begun.send(Ok(())));
        let mut out = Pieces::new(pieces);
        match backup.write(&mut out) {
            Ok(manifest) => tracing::info!("a backup of {} files was made", manifest.files.len()),
            Err(error) => {
                tracing::error!("a backup was cut: {}", chain(&error));
                out.cut();
            }
        }
    });
    let begun: Result<(), StorageError> = beginning
        .await
        .map_err(|_| ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))?;
    begun.map_err(|error| {
        tracing::error!("a backup could not be made: {}", chain(&error));
        match error {
            StorageError::Full { .. } => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "ServiceException",
                "little space is left where the data directory is; a backup copies the databases there first",
            ),
            _ => ApiError::service(StatusCode::INTERNAL_SERVER_ERROR),
        }
    })?;
    let mut response = Response::new(body);
    let content_type = HeaderValue::from_static("application/x-tar");
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    Ok(response)
}
