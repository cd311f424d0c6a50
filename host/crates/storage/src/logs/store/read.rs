//! Reading log files by their ends: the last events, and those after a place.

use std::fs;
use std::io;
use std::path::Path;

use super::super::{LogCursor, LogEvent};
use super::{list, parse_event};
use crate::StorageError;

/// The complete lines of a file from `from` on, and where they end.
fn read_lines(path: &Path, from: u64) -> Result<Option<(Vec<u8>, u64)>, StorageError> {
    let mut bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StorageError::io("reading", path)(error)),
    };
    let complete = bytes
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |last| last + 1);
    bytes.truncate(complete);
    let from = usize::try_from(from).unwrap_or(usize::MAX).min(complete);
    bytes.drain(..from);
    Ok(Some((bytes, u64::try_from(complete).unwrap_or(u64::MAX))))
}

fn lines(bytes: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    let bytes = bytes.strip_suffix(b"\n");
    bytes
        .into_iter()
        .flat_map(|bytes| bytes.split(|byte| *byte == b'\n'))
}

/// See [`crate::Logs::tail`].
pub(in crate::logs) fn tail(
    directory: &Path,
    last: usize,
    since_ms: Option<u64>,
) -> Result<(Vec<LogEvent>, LogCursor), StorageError> {
    let mut newest_first = Vec::new();
    let mut cursor = LogCursor::START;
    for (segment, path) in list(directory)?.into_iter().rev() {
        let Some((bytes, end)) = read_lines(&path, 0)? else {
            continue;
        };
        cursor = cursor.max(LogCursor {
            segment,
            offset: end,
        });
        let events = lines(&bytes)
            .rev()
            .filter_map(parse_event)
            .filter(|event| since_ms.is_none_or(|since| event.at_unix_ms >= since));
        newest_first.extend(events.take(last - newest_first.len()));
        if newest_first.len() == last {
            break;
        }
    }
    newest_first.reverse();
    Ok((newest_first, cursor))
}

/// See [`crate::Logs::read_after`].
pub(in crate::logs) fn read_after(
    directory: &Path,
    mut cursor: LogCursor,
    max: usize,
) -> Result<(Vec<LogEvent>, LogCursor), StorageError> {
    let mut events = Vec::new();
    for (segment, path) in list(directory)? {
        if segment < cursor.segment || events.len() == max {
            continue;
        }
        let from = if segment == cursor.segment {
            cursor.offset
        } else {
            0
        };
        let Some((bytes, end)) = read_lines(&path, from)? else {
            continue;
        };
        let mut offset = end - u64::try_from(bytes.len()).unwrap_or(0);
        for line in lines(&bytes) {
            if events.len() == max {
                break;
            }
            events.extend(parse_event(line));
            offset += u64::try_from(line.len() + 1).unwrap_or(0);
        }
        cursor = LogCursor { segment, offset };
    }
    Ok((events, cursor))
}
