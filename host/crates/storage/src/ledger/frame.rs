//! Frames: how one report is written in a segment.
//!
//! ```text
//! 0   payload length, u32       the two words are stored last, as one,
//! 4   CRC32C, u32               so that a frame is there whole or not at all
//! 8   sequence number, u64
//! 16  CRC32C of the frame before, u32
//! 20  payload format, u16       1: postcard of `EntryV1`
//! 22  zero, u16
//! 24  payload, then zeros up to a multiple of 8
//! ```
//!
//! All numbers are little-endian. The CRC covers the payload, its length and bytes 8 to 24, in this
//! order: whoever appends sums the payload up before the lock is taken. Since each frame carries the
//! CRC of the one before, frames that were swapped, left out or put in show.
//!
//! Knows nothing of files and threads.

use domain::{FunctionName, MemoryMb, Report, RequestId, Status, Trigger, VersionId};
use serde::{Deserialize, Serialize};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 24;
/// Frames begin at multiples of this.
pub(super) const ALIGNMENT: usize = 8;
/// Longest payload. A report with the longest allowed texts takes about 700 bytes.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1_000;
/// Longest frame.
pub(super) const FRAME_BYTES_MAX: usize =
    (HEADER_BYTES + PAYLOAD_BYTES_MAX).next_multiple_of(ALIGNMENT);
/// What is kept of an error type; guests choose its text.
pub(super) const ERROR_TYPE_BYTES_MAX: usize = 512;

const FORMAT: u16 = 1;
/// Stands for `$LATEST`; published versions begin at 1.
const LATEST: u64 = 0;

/// A report as it is written. New fields make a new format; new statuses and triggers go to the end
/// of their enums.
#[derive(Serialize, Deserialize)]
struct EntryV1<'a> {
    /// First, so that a query can look at it without reading the rest.
    function: &'a str,
    started_at_us: i64,
    request_id: [u8; 16],
    attempt: u32,
    version: u64,
    trigger: Trigger,
    status: Status,
    error_type: Option<&'a str>,
    init_ns: Option<u64>,
    duration_ns: u64,
    cpu_ns: u64,
    billed_ms: u64,
    memory_mb: u32,
    memory_used_mb: u32,
    charge_picousd: u64,
}

/// What no two records share: an event, and which attempt at it.
pub(super) type AttemptKey = (RequestId, u32);

/// A report on its way into a segment: everything but its place there.
#[derive(Debug)]
pub(super) struct Encoded {
    bytes: [u8; FRAME_BYTES_MAX],
    payload_bytes: usize,
    payload_crc: u32,
}

/// A frame with its place.
#[derive(Debug, Clone, Copy)]
pub(super) struct Placed {
    /// Length and CRC: what makes the frame valid.
    pub(super) word: u64,
    /// The frame's CRC, for the next one.
    pub(super) crc: u32,
}

impl Encoded {
    /// Encodes `report`. A long error type is cut at a character.
    pub(super) fn new(report: &Report) -> Result<Self, postcard::Error> {
        let Report {
            request_id,
            attempt,
            function,
            version,
            trigger,
            started_at_us,
            status,
            error_type,
            init_ns,
            duration_ns,
            cpu_ns,
            billed_ms,
            memory,
            memory_used_mb,
            charge_picousd,
        } = report;
        let entry = EntryV1 {
            function: function.as_str(),
            started_at_us: *started_at_us,
            request_id: *request_id.as_bytes(),
            attempt: *attempt,
            version: match version {
                VersionId::Latest => LATEST,
                VersionId::Number(number) => *number,
            },
            trigger: *trigger,
            status: *status,
            error_type: error_type
                .as_deref()
                .map(|text| &text[..text.floor_char_boundary(ERROR_TYPE_BYTES_MAX)]),
            init_ns: *init_ns,
            duration_ns: *duration_ns,
            cpu_ns: *cpu_ns,
            billed_ms: *billed_ms,
            memory_mb: memory.get(),
            memory_used_mb: *memory_used_mb,
            charge_picousd: *charge_picousd,
        };
        let mut bytes = [0; FRAME_BYTES_MAX];
        let payload = postcard::to_slice(&entry, &mut bytes[HEADER_BYTES..])?;
        let (payload_bytes, payload_crc) = (payload.len(), crc32c::crc32c(payload));
        Ok(Self {
            bytes,
            payload_bytes,
            payload_crc,
        })
    }

    /// How much of a segment the frame takes.
    pub(super) fn frame_bytes(&self) -> usize {
        frame_bytes(self.payload_bytes)
    }

    /// Gives the frame its place in the journal.
    pub(super) fn place(&mut self, sequence: u64, previous_crc: u32) -> Placed {
        let length = u32::try_from(self.payload_bytes).unwrap_or(u32::MAX);
        self.bytes[0..4].copy_from_slice(&length.to_le_bytes());
        self.bytes[8..16].copy_from_slice(&sequence.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&previous_crc.to_le_bytes());
        self.bytes[20..22].copy_from_slice(&FORMAT.to_le_bytes());
        let crc = frame_crc(self.payload_crc, &self.bytes);
        Placed {
            word: u64::from(length) | (u64::from(crc) << 32),
            crc,
        }
    }

    /// What follows the word that makes the frame valid.
    pub(super) fn after_word(&self) -> &[u8] {
        &self.bytes[8..self.frame_bytes()]
    }
}

fn frame_bytes(payload_bytes: usize) -> usize {
    (HEADER_BYTES + payload_bytes).next_multiple_of(ALIGNMENT)
}

/// The CRC of the frame at the start of `bytes`, whose payload's CRC is known.
fn frame_crc(payload_crc: u32, bytes: &[u8]) -> u32 {
    let crc = crc32c::crc32c_append(payload_crc, &bytes[0..4]);
    crc32c::crc32c_append(crc, &bytes[8..HEADER_BYTES])
}

/// A frame that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) sequence: u64,
    pub(super) previous_crc: u32,
    pub(super) crc: u32,
    /// Where the next frame begins.
    pub(super) end: usize,
    format: u16,
    payload: &'a [u8],
}

/// What is at a place in a segment.
#[derive(Debug)]
pub(super) enum Found<'a> {
    Frame(Frame<'a>),
    /// No frame was finished here.
    End,
    Bad(&'static str),
}

/// Where the frame at `offset` would end, if there is one; looks at its length only.
pub(super) fn end_of(bytes: &[u8], offset: usize) -> Option<usize> {
    let length = usize::try_from(u32_at(bytes, offset)?).ok()?;
    let end = offset.checked_add(frame_bytes(length))?;
    (1..=PAYLOAD_BYTES_MAX)
        .contains(&length)
        .then_some(end)
        .filter(|end| *end <= bytes.len())
}

/// Reads the frame at `offset` and checks it against its own CRC.
pub(super) fn at(bytes: &[u8], offset: usize) -> Found<'_> {
    match u64_at(bytes, offset) {
        None | Some(0) => return Found::End,
        Some(_) => {}
    }
    let Some(end) = end_of(bytes, offset) else {
        return Found::Bad("its length is impossible");
    };
    let frame = &bytes[offset..end];
    let (Some(length), Some(crc), Some(sequence), Some(previous_crc)) = (
        u32_at(frame, 0),
        u32_at(frame, 4),
        u64_at(frame, 8),
        u32_at(frame, 16),
    ) else {
        return Found::Bad("it is cut short");
    };
    let payload_end = HEADER_BYTES + usize::try_from(length).unwrap_or(usize::MAX);
    let payload = &frame[HEADER_BYTES..payload_end];
    if frame_crc(crc32c::crc32c(payload), frame) != crc {
        return Found::Bad("its checksum does not match");
    }
    if frame[payload_end..].iter().any(|byte| *byte != 0) {
        return Found::Bad("it is not followed by zeros");
    }
    let format = u16::from_le_bytes([frame[20], frame[21]]);
    Found::Frame(Frame {
        sequence,
        previous_crc,
        crc,
        end,
        format,
        payload,
    })
}

impl Frame<'_> {
    /// Whether the report is one of `function`'s; looks at nothing else.
    pub(super) fn is_of(&self, function: &FunctionName) -> bool {
        // postcard: a length (one byte, as a name has at most 64), then the text.
        self.payload.split_first().is_some_and(|(length, rest)| {
            rest.get(..usize::from(*length)) == Some(function.as_str().as_bytes())
        })
    }

    /// Which attempt the report is of; makes no copy of its texts.
    pub(super) fn key(&self) -> Result<AttemptKey, String> {
        let entry = self.entry()?;
        Ok((RequestId::from_bytes(entry.request_id), entry.attempt))
    }

    fn entry(&self) -> Result<EntryV1<'_>, String> {
        if self.format != FORMAT {
            return Err(format!(
                "its payload has the unknown format {}",
                self.format
            ));
        }
        postcard::from_bytes(self.payload).map_err(|error| error.to_string())
    }

    /// The report, or what is wrong with it although its checksum matches.
    pub(super) fn report(&self) -> Result<Report, String> {
        let entry = self.entry()?;
        Ok(Report {
            request_id: RequestId::from_bytes(entry.request_id),
            attempt: entry.attempt,
            function: FunctionName::parse(entry.function).map_err(|error| error.to_string())?,
            version: match entry.version {
                LATEST => VersionId::Latest,
                number => VersionId::Number(number),
            },
            trigger: entry.trigger,
            started_at_us: entry.started_at_us,
            status: entry.status,
            error_type: entry.error_type.map(str::to_owned),
            init_ns: entry.init_ns,
            duration_ns: entry.duration_ns,
            cpu_ns: entry.cpu_ns,
            billed_ms: entry.billed_ms,
            memory: MemoryMb::new(entry.memory_mb)
                .ok_or_else(|| format!("its memory is {} MB", entry.memory_mb))?,
            memory_used_mb: entry.memory_used_mb,
            charge_picousd: entry.charge_picousd,
        })
    }
}

pub(super) fn u32_at(bytes: &[u8], offset: usize) -> Option<u32> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_le_bytes(*bytes))
}

pub(super) fn u64_at(bytes: &[u8], offset: usize) -> Option<u64> {
    let bytes = bytes.get(offset..)?.first_chunk()?;
    Some(u64::from_le_bytes(*bytes))
}
