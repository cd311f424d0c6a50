//! Flipped bits: each part of each file of a ledger is damaged once, and the ledger is opened. It says
//! so, or it has every record that was on disk, as it was.

use domain::{Clock, Report};

use super::random::Random;
use crate::disk::simulated::{self, MOUNT, SimDisk};
use crate::ledger::simulated::{SimCatalogue, files};
use crate::ledger::tests::report;
use crate::{DataDir, Ledger, LedgerSettings, StorageError, disk};

/// Records that are on disk, and those that are only in the page cache.
const SYNCED: u64 = 130;
const RECORDS: u64 = 136;
/// Of the frames, one bit in so many bytes is flipped; of a header, one in every byte.
const FRAMES_STEP: usize = 7;
const HEADER_BYTES: usize = 128;

fn settings() -> LedgerSettings {
    LedgerSettings {
        segment_bytes: 4_096,
        retention_bytes: Some(6_000),
        clock: Clock::manual(1_763_830_000_000_000),
        ..LedgerSettings::default()
    }
}

fn data_dir() -> DataDir {
    DataDir::open_for_reading(&std::env::temp_dir()).unwrap()
}

/// A disk with an anchor, sealed segments, one in use, and records that were not synced.
fn filled() -> SimDisk {
    let disk = SimDisk::new(Random::new(1), None);
    simulated::mount(Some(disk.clone()));
    let ledger = Ledger::open_simulated(&data_dir(), settings(), SimCatalogue::new()).unwrap();
    for number in 0..RECORDS {
        ledger.append(&report(number)).unwrap();
        if number < SYNCED {
            ledger.sync_round().unwrap();
            ledger.upkeep_round();
        }
    }
    assert!(disk::exists(
        &std::path::Path::new(MOUNT).join("dropped.sum")
    ));
    disk
}

/// What a ledger over the mounted disk says: its records from `first` on, if it can be opened and read.
fn read() -> Result<(u64, Vec<Report>, u128), StorageError> {
    let ledger = Ledger::open_simulated(&data_dir(), settings(), SimCatalogue::new())?;
    let records = ledger.all()?;
    let (total, charge) = ledger.total()?;
    assert_eq!(total, ledger.records_total());
    Ok((
        total - u64::try_from(records.len()).unwrap(),
        records,
        charge,
    ))
}

#[test]
fn a_flipped_bit_anywhere_is_told_or_harmless_and_never_believed() {
    let full = filled();
    let (dropped, whole, _) = {
        simulated::mount(Some(full.after_death(false, Random::new(2))));
        read().unwrap()
    };
    assert!(dropped > 0 && whole.len() > 20, "{dropped} were dropped");
    simulated::mount(Some(full.clone()));
    let mut paths = files();
    let anchor = std::path::Path::new(MOUNT).join("dropped.sum");
    paths.push((anchor.clone(), disk::read(&anchor).unwrap()));
    assert!(paths.len() >= 3);
    let (mut told, mut harmless) = (0, 0);
    for (path, bytes) in &paths {
        let mut at = 0;
        while at < bytes.len() {
            let is_power_cut = at % 2 == 1;
            let damaged = full.after_death(is_power_cut, Random::new(u64::try_from(at).unwrap()));
            damaged.flip(path, at * 8 + at % 8);
            simulated::mount(Some(damaged));
            match read() {
                Err(StorageError::Corrupt { .. } | StorageError::NewerFormat { .. }) => told += 1,
                Err(error) => panic!("{} at {at}: {error}", path.display()),
                Ok((first, records, charge)) => {
                    harmless += 1;
                    let count = first + u64::try_from(records.len()).unwrap();
                    assert!(
                        count >= SYNCED,
                        "{} at {at}: {count} are left",
                        path.display()
                    );
                    let mut wanted = 0;
                    for (number, record) in (0..count).map(|number| (number, report(number))) {
                        wanted += u128::from(record.charge_picousd);
                        if let Some(index) = number.checked_sub(first) {
                            let found = &records[usize::try_from(index).unwrap()];
                            assert_eq!(*found, record, "{} at {at}", path.display());
                        }
                    }
                    assert_eq!(charge, wanted, "{} at {at}", path.display());
                }
            }
            at += match at < HEADER_BYTES {
                true => 1,
                false => FRAMES_STEP,
            };
        }
    }
    simulated::mount(None);
    assert!(
        told > 500 && harmless > 100,
        "{told} told, {harmless} harmless"
    );
}
