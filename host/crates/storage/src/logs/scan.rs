//! Reading logs by time, from any place on, with bounds on what is read.
//!
//! The order of a log is the order in which it was written. Since the events of an invocation are
//! written when it ends, their times go back and forth a little; each event gets a *stamp* that does
//! not: its time, or the stamp of the event before if that is later. Whoever has read up to a stamp
//! and asks for that stamp again later misses nothing.
//!
//! Files whose last change is before the wanted time are not opened.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use super::store::{STREAM_EVERY_BYTES, list, parse_event};
use super::{LogCursor, LogEvent, TEXT_BYTES_MAX, text};
use crate::StorageError;
use crate::calendar::day_text;

/// How far before a place its stream is named at the latest: see `store`.
const NAMED_WITHIN_BYTES: usize = 2 * STREAM_EVERY_BYTES + TEXT_BYTES_MAX + 4_096;

/// How much later than the file's last change an event in it may seem to be, in ms.
const CLOCK_SLACK_MS: u64 = 1_000;

/// Which events are read, by their stamps in Unix milliseconds, and how many bytes at most.
#[derive(Debug, Clone, Copy)]
pub struct LogRange {
    /// From this on.
    pub since_ms: u64,
    /// Up to this, itself included.
    pub until_ms: u64,
    /// Reading stops after so many bytes, wherever that is.
    pub bytes_max: u64,
}

/// An event and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedEvent {
    /// Its place; no other event of the log ever has it.
    pub place: LogCursor,
    /// When it was said or a little later, in Unix milliseconds; never before an earlier event.
    pub stamp_ms: u64,
    /// The stream it belongs to.
    pub stream: Arc<str>,
    /// The event.
    pub event: LogEvent,
}

/// How far a log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScanEnd {
    /// Where to go on.
    pub next: LogCursor,
    /// The latest stamp up to there.
    pub stamp_ms: u64,
    /// Nothing of the range was left when it ended.
    pub is_complete: bool,
}

impl ScanEnd {
    /// Before the first event.
    pub const START: Self = Self {
        next: LogCursor::START,
        stamp_ms: 0,
        is_complete: false,
    };
}

/// What reading back found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScannedBack {
    /// Oldest first.
    pub events: Vec<ScannedEvent>,
    /// Nothing before this was read.
    pub begin: LogCursor,
    /// Where to go on reading forward.
    pub end: ScanEnd,
}

/// A stream of a log, with times in Unix milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStream {
    /// Such as `2026/11/22/[$LATEST]0123456789abcdef0123456789abcdef`.
    pub name: Arc<str>,
    /// When its earliest event was said.
    pub first_ms: u64,
    /// When its latest event was said.
    pub last_ms: u64,
}

/// One line of a file.
enum Line {
    Event(LogEvent),
    /// The lines after it belong to this stream.
    Stream(Arc<str>),
    Other,
}

fn parse(line: &[u8]) -> Line {
    if let Some(event) = parse_event(line) {
        return Line::Event(event);
    }
    let named = || {
        let line = std::str::from_utf8(line).ok()?;
        let (at_unix_ms, rest) = line.split_once(' ')?;
        at_unix_ms.parse::<u64>().ok()?;
        rest.strip_prefix("s ")
    };
    named().map_or(Line::Other, |name| Line::Stream(text::escape(name).into()))
}

/// A file that is read line by line.
struct Segment {
    number: u64,
    reader: BufReader<File>,
    offset: u64,
    stream: Option<Arc<str>>,
    line: Vec<u8>,
}

impl Segment {
    /// Opens a file at `offset`; `None` when it is gone.
    fn open(number: u64, path: &Path, offset: u64) -> Result<Option<Self>, StorageError> {
        let open = || {
            let mut file = File::open(path)?;
            let stream = stream_before(&file, offset)?;
            file.seek(SeekFrom::Start(offset))?;
            Ok((file, stream))
        };
        match open() {
            Ok((file, stream)) => Ok(Some(Self {
                number,
                reader: BufReader::with_capacity(64 << 10, file),
                offset,
                stream,
                line: Vec::new(),
            })),
            Err(error) if io::Error::kind(&error) == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StorageError::io("reading", path)(error)),
        }
    }

    /// The next event with its place and its stream. A line without its end is still being written.
    fn next(&mut self, path: &Path) -> Result<Option<ScannedEvent>, StorageError> {
        loop {
            self.line.clear();
            let read = self
                .reader
                .read_until(b'\n', &mut self.line)
                .map_err(StorageError::io("reading", path))?;
            let Some(line) = self.line.strip_suffix(b"\n") else {
                return Ok(None);
            };
            let place = LogCursor::new(self.number, self.offset);
            self.offset += u64::try_from(read).unwrap_or(0);
            match parse(line) {
                Line::Stream(name) => self.stream = Some(name),
                Line::Other => {}
                Line::Event(event) => {
                    let stream = match &self.stream {
                        Some(stream) => Arc::clone(stream),
                        None => unnamed_stream(event.at_unix_ms),
                    };
                    return Ok(Some(ScannedEvent {
                        place,
                        stamp_ms: event.at_unix_ms,
                        stream,
                        event,
                    }));
                }
            }
        }
    }
}

/// The stream that was named last before `offset`.
fn stream_before(file: &File, offset: u64) -> io::Result<Option<Arc<str>>> {
    let window = u64::try_from(NAMED_WITHIN_BYTES).unwrap_or(0).min(offset);
    let mut bytes = vec![0; usize::try_from(window).unwrap_or(0)];
    match file.read_exact_at(&mut bytes, offset - window) {
        // The place is behind the end: nothing follows.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut lines = bytes.split(|byte| *byte == b'\n').rev();
    Ok(lines.find_map(|line| match parse(line) {
        Line::Stream(name) => Some(name),
        Line::Event(_) | Line::Other => None,
    }))
}

/// The stream of an event from before streams were named: one a day.
fn unnamed_stream(at_unix_ms: u64) -> Arc<str> {
    const MS_PER_DAY: u64 = 86_400_000;
    /// What a damaged line may say at most.
    const DAYS_MAX: u64 = 100_000_000;
    let days = i64::try_from((at_unix_ms / MS_PER_DAY).min(DAYS_MAX)).unwrap_or(0);
    let day = day_text(days).replace('-', "/");
    format!("{day}/[$LATEST]{:032}", 0).into()
}

/// How long a file is, if nothing in it can be as late as `since_ms`.
fn length_if_before(path: &Path, since_ms: u64) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    let changed_ms = u64::try_from(changed.as_millis()).ok()?;
    (changed_ms.saturating_add(CLOCK_SLACK_MS) < since_ms).then_some(metadata.len())
}

/// See [`super::Logs::scan`].
pub(super) fn forward(
    directory: &Path,
    from: ScanEnd,
    range: LogRange,
    mut visit: impl FnMut(ScannedEvent) -> ControlFlow<()>,
) -> Result<ScanEnd, StorageError> {
    let mut end = ScanEnd {
        is_complete: false,
        ..from
    };
    let mut bytes_left = range.bytes_max;
    for (number, path) in list(directory)? {
        if number < from.next.segment() {
            continue;
        }
        let offset = match number == from.next.segment() {
            true => from.next.offset(),
            false => 0,
        };
        if offset == 0
            && let Some(length) = length_if_before(&path, range.since_ms)
        {
            end.next = LogCursor::new(number, length);
            continue;
        }
        let Some(mut segment) = Segment::open(number, &path, offset)? else {
            continue;
        };
        let mut at = offset;
        while let Some(mut scanned) = segment.next(&path)? {
            let stamp_ms = scanned.stamp_ms.max(end.stamp_ms);
            if stamp_ms > range.until_ms {
                return Ok(ScanEnd {
                    is_complete: true,
                    ..end
                });
            }
            if bytes_left == 0 {
                return Ok(end);
            }
            if stamp_ms >= range.since_ms {
                scanned.stamp_ms = stamp_ms;
                if visit(scanned).is_break() {
                    return Ok(end);
                }
            }
            bytes_left = bytes_left.saturating_sub(segment.offset - at);
            at = segment.offset;
            end.stamp_ms = stamp_ms;
            end.next = LogCursor::new(number, at);
        }
        // What is behind the last event names streams.
        end.next = LogCursor::new(number, segment.offset);
    }
    end.is_complete = true;
    Ok(end)
}

/// See [`super::Logs::scan_back`]. The stamps are those of a log that begins with the oldest file read.
pub(super) fn back(
    directory: &Path,
    before: Option<LogCursor>,
    (range, max): (LogRange, usize),
    mut is_wanted: impl FnMut(&ScannedEvent) -> bool,
) -> Result<ScannedBack, StorageError> {
    let mut found = VecDeque::new();
    let mut end = before.unwrap_or(LogCursor::START);
    let mut begin = before;
    let mut bytes_left = range.bytes_max;
    for (number, path) in list(directory)?.into_iter().rev() {
        if before.is_some_and(|before| LogCursor::new(number, 0) >= before) {
            continue;
        }
        if found.len() >= max
            || bytes_left == 0
            || length_if_before(&path, range.since_ms).is_some()
        {
            break;
        }
        let Some(mut segment) = Segment::open(number, &path, 0)? else {
            continue;
        };
        let start = LogCursor::new(number, 0);
        begin = Some(begin.map_or(start, |begin| begin.min(start)));
        let mut last = VecDeque::new();
        while let Some(scanned) = segment.next(&path)? {
            if before.is_some_and(|before| scanned.place >= before) {
                break;
            }
            end = end.max(LogCursor::new(number, segment.offset));
            let is_in_range = (range.since_ms..=range.until_ms).contains(&scanned.stamp_ms);
            if is_in_range && is_wanted(&scanned) {
                last.push_back(scanned);
                if last.len() + found.len() > max {
                    last.pop_front();
                }
            }
        }
        bytes_left = bytes_left.saturating_sub(segment.offset);
        last.append(&mut found);
        found = last;
    }
    let mut stamp_ms = 0;
    for scanned in &mut found {
        stamp_ms = scanned.stamp_ms.max(stamp_ms);
        scanned.stamp_ms = stamp_ms;
    }
    let end = ScanEnd {
        next: end,
        stamp_ms,
        is_complete: true,
    };
    Ok(ScannedBack {
        events: found.into(),
        begin: begin.unwrap_or(LogCursor::START),
        end,
    })
}

/// See [`super::Logs::streams`].
pub(super) fn streams(directory: &Path) -> Result<Vec<LogStream>, StorageError> {
    let mut streams: Vec<LogStream> = Vec::new();
    let mut places: HashMap<Arc<str>, usize> = HashMap::new();
    let range = LogRange {
        since_ms: 0,
        until_ms: u64::MAX,
        bytes_max: u64::MAX,
    };
    forward(directory, ScanEnd::START, range, |scanned| {
        let at_ms = scanned.event.at_unix_ms;
        let place = *places
            .entry(Arc::clone(&scanned.stream))
            .or_insert(streams.len());
        match streams.get_mut(place) {
            Some(stream) => {
                stream.first_ms = stream.first_ms.min(at_ms);
                stream.last_ms = stream.last_ms.max(at_ms);
            }
            None => streams.push(LogStream {
                name: scanned.stream,
                first_ms: at_ms,
                last_ms: at_ms,
            }),
        }
        ControlFlow::Continue(())
    })?;
    Ok(streams)
}

/// See [`super::Logs::stored_bytes`].
pub(super) fn stored_bytes(directory: &Path) -> Result<u64, StorageError> {
    let sizes = list(directory)?
        .into_iter()
        .map(|(_, path)| fs::metadata(path));
    // One that is gone takes nothing.
    Ok(sizes.flatten().map(|metadata| metadata.len()).sum())
}
