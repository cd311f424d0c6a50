//! A slot of the file of starts: what it says, and how that is written.
//!
//! ```text
//! 0   CRC32C of bytes 4 to 512, u32
//! 4   payload length, u16
//! 6   payload format, u16      1: postcard of `SlotV1`
//! 8   payload, then zeros
//! ```
//!
//! Knows nothing of files and of what becomes of the attempt.

use domain::{FunctionName, MemoryMb, RequestId, Started, Trigger, VersionId};
use serde::{Deserialize, Serialize};

/// A sector: what a disk writes whole or not at all.
pub(super) const SLOT_BYTES: usize = 512;
const HEADER_BYTES: usize = 8;
const FORMAT: u16 = 1;
/// Stands for `$LATEST`; published versions begin at 1.
const LATEST: u64 = 0;

/// A start as it is written.
#[derive(Serialize, Deserialize)]
struct SlotV1<'a> {
    function: &'a str,
    started_at_us: i64,
    request_id: [u8; 16],
    attempt: u32,
    version: u64,
    trigger: Trigger,
    memory_mb: u32,
    ledger_from: u64,
}

/// An attempt that starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::ledger) struct Slot {
    pub(in crate::ledger) started: Started,
    /// Its record gets this sequence number or a later one, whatever a crash cuts off.
    pub(in crate::ledger) ledger_from: u64,
}

impl Slot {
    pub(super) fn encode(&self) -> Result<[u8; SLOT_BYTES], postcard::Error> {
        let started = &self.started;
        let mut bytes = [0; SLOT_BYTES];
        let slot = SlotV1 {
            function: started.function.as_str(),
            started_at_us: started.started_at_us,
            request_id: *started.request_id.as_bytes(),
            attempt: started.attempt,
            version: match started.version {
                VersionId::Latest => LATEST,
                VersionId::Number(number) => number,
            },
            trigger: started.trigger,
            memory_mb: started.memory.get(),
            ledger_from: self.ledger_from,
        };
        let length = postcard::to_slice(&slot, &mut bytes[HEADER_BYTES..])?.len();
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        bytes[4..6].copy_from_slice(&length.to_le_bytes());
        bytes[6..8].copy_from_slice(&FORMAT.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        Ok(bytes)
    }

    /// What is in a slot, if it was written whole.
    pub(in crate::ledger) fn decode(bytes: &[u8]) -> Option<Self> {
        let (crc, rest) = bytes.split_first_chunk()?;
        let (length, rest_after_length) = rest.split_first_chunk()?;
        let (format, payload) = rest_after_length.split_first_chunk()?;
        if crc32c::crc32c(rest) != u32::from_le_bytes(*crc) || u16::from_le_bytes(*format) != FORMAT
        {
            return None;
        }
        let payload = payload.get(..usize::from(u16::from_le_bytes(*length)))?;
        let slot: SlotV1<'_> = postcard::from_bytes(payload).ok()?;
        let started = Started {
            request_id: RequestId::from_bytes(slot.request_id),
            attempt: slot.attempt,
            function: FunctionName::parse(slot.function).ok()?,
            version: match slot.version {
                LATEST => VersionId::Latest,
                number => VersionId::Number(number),
            },
            trigger: slot.trigger,
            started_at_us: slot.started_at_us,
            memory: MemoryMb::new(slot.memory_mb)?,
        };
        Some(Self {
            started,
            ledger_from: slot.ledger_from,
        })
    }
}
