//! What the ledger's two threads do: syncing, and everything slower.
//!
//! The sync thread syncs and prepares segments. The upkeep thread seals filled segments, enters them
//! in the catalogue, drops old ones and watches free space. Both end when the journal is closed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::anchor::Anchor;
use super::catalogue::{Catalogued, Filter, SegmentInfo};
use super::journal::SPARES;
use super::sums::{self, Period};
use super::{Shared, ballast, recovery, segment, strict};
use crate::{StorageError, disk, files, space};

/// How often the upkeep thread looks.
const UPKEEP_EVERY: Duration = Duration::from_millis(50);
/// Free space and retention are looked at once in this many rounds.
const SLOW_EVERY: u32 = 20;
/// A spare that could not be made is tried again once in this many rounds of the sync thread.
const PREPARE_EVERY: u32 = 10;

/// Segments that retention drops with one write of the anchor.
const DROPPED_AT_ONCE: usize = 16;

/// The sync thread.
pub(super) fn keep_synced(shared: &Shared, every: Duration) {
    let mut round = 0_u32;
    while shared.journal.wait_for_work(every) {
        // First, since a sync may take long, and who appends meanwhile should not have to make one.
        if !shared.journal.is_hindered() || round.is_multiple_of(PREPARE_EVERY) {
            // A failure is in the journal's condition; what there is is synced all the same.
            drop(shared.journal.prepare(SPARES));
        }
        // A failure is in the journal's status, where every caller meets it.
        if strict::sync(shared).is_err() {
            break;
        }
        round = round.wrapping_add(1);
    }
    strict::stop_if_failed(shared);
}

/// The upkeep thread.
pub(super) fn keep_up(shared: &Shared) {
    let mut round = 0_u32;
    let mut is_catalogue_failing = false;
    while shared.wait_for_close(UPKEEP_EVERY) {
        let is_slow_round = round.is_multiple_of(SLOW_EVERY);
        round = round.wrapping_add(1);
        if !is_catalogue_failing || is_slow_round {
            match seal_filled(shared) {
                Ok(()) => is_catalogue_failing = false,
                Err(Unsealed::Segment(error)) => return shared.journal.fail(&error),
                // The records are safe in their segments; the catalogue can wait.
                Err(Unsealed::Catalogue(error)) => {
                    ballast::give_up_for(&error, &shared.journal.directory);
                    if !is_catalogue_failing {
                        tracing::error!(%error, "the ledger's catalogue lags behind: {error}");
                    }
                    is_catalogue_failing = true;
                }
            }
        }
        if is_slow_round {
            look_at_space(shared);
        }
    }
}

/// Drops what is old, and notes how much space there is.
fn look_at_space(shared: &Shared) {
    let directory = &shared.journal.directory;
    if let Err(error) = drop_old(shared) {
        tracing::error!(%error, "dropping old records failed: {error}");
        ballast::give_up_for(&error, directory);
    }
    if let Err(error) = forget_minutes(shared) {
        tracing::error!(%error, "dropping old sums of minutes failed: {error}");
    }
    let is_enough = space::is_enough_for_ledger(directory);
    shared.note_free_space(is_enough);
    if is_enough {
        ballast::keep(directory);
    }
}

/// Drops the sums of minutes that are too old, whole hours at once.
pub(super) fn forget_minutes(shared: &Shared) -> Result<(), StorageError> {
    let kept_us = i64::try_from(shared.settings.minutes_kept.as_micros()).unwrap_or(i64::MAX);
    let oldest_us = shared.settings.clock.unix_us().saturating_sub(kept_us);
    let first_minute = Period::Hour.start(sums::minute_of(oldest_us));
    shared.catalogue.lock().forget_minutes(first_minute)
}

/// Why a filled segment is not in the catalogue.
pub(super) enum Unsealed {
    /// It can't be completed or read.
    Segment(StorageError),
    /// It is complete, and the catalogue does not take it.
    Catalogue(StorageError),
}

/// Seals the segments that are filled and synced, and enters them in the catalogue.
pub(super) fn seal_filled(shared: &Shared) -> Result<(), Unsealed> {
    let journal = &shared.journal;
    while let Some((filled, next)) = journal.sealable() {
        let path = segment::path(&journal.directory, filled.first_sequence);
        let info = recovery::seal(
            &path,
            &filled.file,
            filled.first_sequence,
            filled.end.offset,
        )
        .map_err(Unsealed::Segment)?;
        segment::write_previous_hash(&next.file, next.first_sequence, &info.hash)
            .map_err(StorageError::io("writing", &path))
            .map_err(Unsealed::Segment)?;
        // The journal forgets the segment under the same lock, so that a query meets it once.
        let mut catalogue = shared.catalogue.lock();
        catalogue.insert(&info).map_err(Unsealed::Catalogue)?;
        journal.catalogued(filled.first_sequence);
    }
    Ok(())
}

/// Drops the sealed segments that are too old or too many, oldest first.
pub(super) fn drop_old(shared: &Shared) -> Result<(), StorageError> {
    let settings = &shared.settings;
    if settings.retention_age.is_none() && settings.retention_bytes.is_none() {
        return Ok(());
    }
    let sealed = shared.catalogue.lock().segments(Filter::default())?;
    let oldest_us = settings.retention_age.map(|age| {
        let age_us = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
        settings.clock.unix_us().saturating_sub(age_us)
    });
    let size = |segment: &Catalogued| u64::try_from(segment.bytes).unwrap_or(u64::MAX);
    let mut kept_bytes = sealed
        .iter()
        .fold(0, |sum: u64, segment| sum.saturating_add(size(segment)));
    let count = sealed.iter().take_while(|segment| {
        let is_old = oldest_us.is_some_and(|oldest_us| segment.last_us < oldest_us);
        let is_much = settings
            .retention_bytes
            .is_some_and(|most| kept_bytes > most);
        kept_bytes = kept_bytes.saturating_sub(size(segment));
        is_old || is_much
    });
    let count = count.take(DROPPED_AT_ONCE).count();
    drop_segments(shared, &sealed[..count])
}

/// Drops the oldest segments: first the anchor has their sums, then they go.
pub(super) fn drop_segments(shared: &Shared, segments: &[Catalogued]) -> Result<(), StorageError> {
    if segments.is_empty() {
        return Ok(());
    }
    let directory = &shared.journal.directory;
    let mut anchor = Anchor::read(directory)?;
    let mut paths = Vec::new();
    for segment in segments {
        let path = segment::path(directory, segment.first_sequence);
        // What an earlier try could not remove is in the anchor already.
        if segment.first_sequence >= anchor.next_sequence {
            anchor.fold(&read_whole(&path, segment)?);
        }
        paths.push(path);
    }
    anchor.write(directory)?;
    for path in &paths {
        // A question does without a file that is gone.
        files::remove(path)?;
        tracing::info!(path = %path.display(), "dropped a segment of the ledger by retention");
    }
    // Last, so that what could not be removed is tried again.
    shared.catalogue.lock().enter_anchor(&anchor)
}

/// A sealed segment, if it is what the catalogue says.
fn read_whole(path: &Path, segment: &Catalogued) -> Result<SegmentInfo, StorageError> {
    let bytes = disk::read(path).map_err(StorageError::io("reading", path))?;
    let info = SegmentInfo::read(path, &bytes)?;
    if info.hash != segment.hash {
        let reason = "its content does not have the hash in the catalogue";
        return Err(StorageError::corrupt(path, info.bytes, reason));
    }
    Ok(info)
}

/// Starts both threads.
pub(super) fn spawn(shared: &Arc<Shared>) -> std::io::Result<[std::thread::JoinHandle<()>; 2]> {
    let (syncing, upkeep) = (Arc::clone(shared), Arc::clone(shared));
    let every = shared.settings.sync_every;
    Ok([
        std::thread::Builder::new()
            .name("ledger-sync".to_owned())
            .spawn(move || keep_synced(&syncing, every))?,
        std::thread::Builder::new()
            .name("ledger-upkeep".to_owned())
            .spawn(move || keep_up(&upkeep))?,
    ])
}
