//! Records in the order in which they were appended, for exports: one segment in memory at a time.
//!
//! Knows nothing of what becomes of them.

use std::ops::ControlFlow;

use domain::Report;

use super::Ledger;
use super::frame::{self, Found};
use super::query::{EntryQuery, Source, is_sealed};
use super::reader::LedgerReader;
use super::segment::HEADER_BYTES;
use crate::StorageError;

impl Ledger {
    /// Gives `visit` each record that `query` wants, in the order in which they were appended, until it
    /// breaks. The query's limit does not count.
    ///
    /// # Errors
    ///
    /// Those of [`Ledger::entries`].
    pub fn each(
        &self,
        query: &EntryQuery,
        visit: impl FnMut(Report) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        each(query, &self.sources(query.filter())?, visit)
    }
}

impl LedgerReader {
    /// Gives `visit` each record that `query` wants, in the order in which they were appended, until it
    /// breaks. The query's limit does not count.
    ///
    /// # Errors
    ///
    /// Those of [`LedgerReader::entries`].
    pub fn each(
        &self,
        query: &EntryQuery,
        visit: impl FnMut(Report) -> ControlFlow<()>,
    ) -> Result<(), StorageError> {
        let segments = self.segments()?.into_iter();
        each(
            query,
            &segments.map(|(_, source)| source).collect::<Vec<_>>(),
            visit,
        )
    }
}

fn each(
    query: &EntryQuery,
    sources: &[Source],
    mut visit: impl FnMut(Report) -> ControlFlow<()>,
) -> Result<(), StorageError> {
    for source in sources {
        // One that retention dropped meanwhile is gone.
        let Some(bytes) = source.read()? else {
            continue;
        };
        if each_of(query, source, &bytes, &mut visit)?.is_break() {
            break;
        }
    }
    Ok(())
}

fn each_of(
    query: &EntryQuery,
    source: &Source,
    bytes: &[u8],
    visit: &mut impl FnMut(Report) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, StorageError> {
    let path = source.path();
    let mut offset = HEADER_BYTES;
    while frame::u64_at(bytes, offset).is_some_and(|word| word != 0) {
        let end = frame::end_of(bytes, offset);
        let is_last = end.is_none_or(|end| frame::u64_at(bytes, end).is_none_or(|word| word == 0));
        match frame::at(bytes, offset) {
            Found::Frame(frame) => {
                let is_wanted = query
                    .function
                    .as_ref()
                    .is_none_or(|function| frame.is_of(function));
                if is_wanted {
                    let report = frame
                        .report()
                        .map_err(|reason| StorageError::corrupt(path, offset, reason))?;
                    if query.wants(&report) && visit(report).is_break() {
                        return Ok(ControlFlow::Break(()));
                    }
                }
            }
            // The other process is just writing it, or was killed while it did.
            Found::Bad(_) if is_last && !is_sealed(path, bytes) => {}
            Found::Bad(reason) => {
                let reason = format!("a record can't be read: {reason}");
                return Err(StorageError::corrupt(path, offset, reason));
            }
            Found::End => break,
        }
        match end {
            Some(end) => offset = end,
            None => break,
        }
    }
    Ok(ControlFlow::Continue(()))
}
