//! Events that wait in memory to be written, within a bound.
//!
//! One function may take a quarter of the room, so that a noisy one does not silence the others.

use std::collections::HashMap;
use std::sync::Arc;

use domain::FunctionName;

use super::LogEvent;

/// What an event takes beyond its text.
const EVENT_OVERHEAD_BYTES: usize = size_of::<LogEvent>() + 16;
/// A function's share of the room is one in this many.
const SHARES: usize = 4;

/// What waits for one function, in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Could not be written earlier.
    pub(super) lost_before: Lost,
    pub(super) events: Vec<LogEvent>,
    /// The streams that the events belong to: each with the index of its first event.
    pub(super) streams: Vec<(usize, Arc<str>)>,
    /// There was no room for.
    pub(super) lost_after: Lost,
    bytes: usize,
}

/// Events that were dropped.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lost {
    pub(super) events: u64,
    /// When the last of them was said, in Unix milliseconds.
    pub(super) at_unix_ms: u64,
}

impl Lost {
    fn add(&mut self, events: u64, at_unix_ms: u64) {
        self.events = self.events.saturating_add(events);
        self.at_unix_ms = self.at_unix_ms.max(at_unix_ms);
    }
}

#[derive(Debug)]
pub(super) struct Buffer {
    waiting: HashMap<FunctionName, Waiting>,
    bytes: usize,
    bytes_max: usize,
}

impl Buffer {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self {
            waiting: HashMap::new(),
            bytes: 0,
            bytes_max,
        }
    }

    /// Takes what there is room for and says how many events were dropped.
    pub(super) fn push(
        &mut self,
        function: &FunctionName,
        stream: &Arc<str>,
        events: Vec<LogEvent>,
    ) -> u64 {
        if events.is_empty() {
            return 0;
        }
        let waiting = self.waiting.entry(function.clone()).or_default();
        let lost_before = waiting.lost_after.events;
        if waiting
            .streams
            .last()
            .is_none_or(|(_, last)| last != stream)
        {
            let bytes = stream.len() + EVENT_OVERHEAD_BYTES;
            self.bytes += bytes;
            waiting.bytes += bytes;
            let first = waiting.events.len();
            waiting.streams.push((first, Arc::clone(stream)));
        }
        for mut event in events {
            // Nothing is kept that would be cut before it is written.
            event
                .text
                .truncate(event.text.floor_char_boundary(super::TEXT_BYTES_MAX));
            let bytes = event.text.len() + EVENT_OVERHEAD_BYTES;
            let has_room = self.bytes.saturating_add(bytes) <= self.bytes_max
                && waiting.bytes.saturating_add(bytes) <= self.bytes_max / SHARES;
            // Once one is lost, so are those after it, up to the next write: the log has one gap, and
            // says where.
            if waiting.lost_after.events > 0 || !has_room {
                waiting.lost_after.add(1, event.at_unix_ms);
                continue;
            }
            self.bytes += bytes;
            waiting.bytes += bytes;
            waiting.events.push(event);
        }
        waiting.lost_after.events - lost_before
    }

    /// Notes that what was taken could not be written, and says how many events that is that were
    /// not lost before.
    pub(super) fn put_back_as_lost(&mut self, function: &FunctionName, taken: &Waiting) -> u64 {
        let lost = &mut self
            .waiting
            .entry(function.clone())
            .or_default()
            .lost_before;
        let events = u64::try_from(taken.events.len()).unwrap_or(u64::MAX);
        let at_unix_ms = taken.events.last().map_or(0, |event| event.at_unix_ms);
        lost.add(events, at_unix_ms);
        for earlier in [taken.lost_before, taken.lost_after] {
            lost.add(earlier.events, earlier.at_unix_ms);
        }
        events
    }

    pub(super) fn take(&mut self) -> HashMap<FunctionName, Waiting> {
        self.bytes = 0;
        std::mem::take(&mut self.waiting)
    }

    pub(super) fn forget(&mut self, function: &FunctionName) {
        if let Some(waiting) = self.waiting.remove(function) {
            self.bytes = self.bytes.saturating_sub(waiting.bytes);
        }
    }
}
