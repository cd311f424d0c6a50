//! Logs from the data directory, for when no server runs.

use domain::FunctionName;
use storage::{DataDir, LogSettings, LogSource, Logs, StorageError};

use super::{Event, Wanted};
use crate::config::Config;

/// The lines that are wanted; `None` when there is no data directory.
pub(super) fn read(
    config: &Config,
    function: &FunctionName,
    wanted: Wanted,
) -> anyhow::Result<Option<Vec<Event>>> {
    let data_dir = match DataDir::open_for_reading(&config.data_dir) {
        Ok(data_dir) => data_dir,
        Err(StorageError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let logs = Logs::open(&data_dir, LogSettings::default())?;
    let tail = usize::try_from(wanted.tail).unwrap_or(usize::MAX);
    let (found, _) = logs.tail(function, tail, wanted.since_ms)?;
    let events = found.into_iter().map(|event| Event {
        timestamp: i64::try_from(event.at_unix_ms).unwrap_or(i64::MAX),
        source: match event.source {
            LogSource::Platform => "platform".to_owned(),
            LogSource::Function => "function".to_owned(),
        },
        text: event.text,
    });
    Ok(Some(events.collect()))
}
