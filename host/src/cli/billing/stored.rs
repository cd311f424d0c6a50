//! Billing from the data directory, for when no server runs: the same rows as the server's.

use storage::{DataDir, EntryQuery, Ledger, LedgerReader, StorageError, SummaryQuery};

use super::{Grouping, Wanted};
use crate::api::mayfly::billing::{EntryView, SummaryView};
use crate::config::Config;

/// The records that are wanted, as JSON; `None` when there is no data directory.
pub(super) fn entries(config: &Config, wanted: &Wanted) -> anyhow::Result<Option<String>> {
    let Some(ledger) = open(config)? else {
        return Ok(None);
    };
    let limit = wanted.limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    });
    let found = ledger.entries(&EntryQuery {
        function: wanted.function.clone(),
        since_us: wanted.since.map(jiff::Timestamp::as_microsecond),
        until_us: None,
        limit,
    })?;
    let views: Vec<_> = found.iter().map(EntryView::from).collect();
    Ok(Some(serde_json::to_string(&views)?))
}

/// The sums that are wanted, as JSON; `None` when there is no data directory.
pub(super) fn sums(
    config: &Config,
    wanted: &Wanted,
    grouping: Grouping,
) -> anyhow::Result<Option<String>> {
    let Some(ledger) = open(config)? else {
        return Ok(None);
    };
    let by = grouping.by.period();
    let found = ledger.summary(&SummaryQuery {
        function: wanted.function.clone(),
        since_us: wanted.since.map(jiff::Timestamp::as_microsecond),
        until_us: None,
        by,
        by_version: grouping.version,
        by_trigger: grouping.trigger,
    })?;
    let views: Vec<_> = found.iter().map(|row| SummaryView::new(row, by)).collect();
    Ok(Some(serde_json::to_string(&views)?))
}

pub(super) fn open(config: &Config) -> anyhow::Result<Option<LedgerReader>> {
    match DataDir::open_for_reading(&config.data_dir) {
        Ok(data_dir) => Ok(Some(Ledger::open_for_reading(&data_dir)?)),
        Err(StorageError::Missing { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
