//! In strict mode whatever ran has a record, also what the process died under.

use std::fs;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use domain::Started;

use super::super::strict::slot::Slot;
use super::dropped::{drop_oldest, settle};
use super::*;

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future to its end on this thread.
fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park_timeout(Duration::from_secs(10)),
        }
    }
}

fn strict() -> LedgerSettings {
    LedgerSettings {
        is_strict: true,
        // Nobody waits for the end of this.
        sync_every: Duration::from_mins(1),
        ..small()
    }
}

fn open_strict(path: &Path) -> Ledger {
    Ledger::open(&DataDir::open(path).unwrap(), strict()).unwrap()
}

fn started(number: u64) -> Started {
    let report = report(number);
    Started {
        request_id: report.request_id,
        attempt: report.attempt,
        function: report.function,
        version: report.version,
        trigger: report.trigger,
        started_at_us: report.started_at_us,
        memory: report.memory,
    }
}

/// Copies a data directory as a kill would leave it.
fn killed(path: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    fs::create_dir_all(copy.path().join("ledger")).unwrap();
    for (name, from) in crate::files::list(&path.join("ledger")).unwrap() {
        if name != "ballast" {
            fs::copy(from, copy.path().join("ledger").join(name)).unwrap();
        }
    }
    copy
}

#[test]
fn what_ran_when_the_process_died_gets_one_record_that_costs_nothing() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let mut starts = Vec::new();
    for number in 0..40 {
        starts.push(wait(ledger.start(&started(number))).unwrap().unwrap());
    }
    // Every other one is done.
    for (number, start) in (0..40).zip(starts) {
        if number % 2 == 0 {
            ledger.append(&report(number)).unwrap();
            wait(ledger.durable()).unwrap();
            start.close();
        }
    }
    let mut copy = killed(root.path());
    for mode in [strict(), small(), strict()] {
        let ledger = Ledger::open(&DataDir::open(copy.path()).unwrap(), mode).unwrap();
        let entries = all(&ledger);
        assert_eq!(entries.len(), 40);
        let crashed = entries
            .iter()
            .filter(|report| report.status == Status::HostCrash);
        let crashed = crashed
            .filter(|report| report.charge_picousd == 0)
            .collect::<Vec<_>>();
        let odd = (1..40)
            .step_by(2)
            .map(|number| Report::host_crash(started(number)));
        assert!(
            odd.clone().all(|odd| crashed.contains(&&odd)),
            "{crashed:?}"
        );
        assert_eq!(summary(&ledger), summed(&entries));
        // Killed again, there is nothing more to say.
        copy = killed(copy.path());
    }
}

#[test]
fn a_kill_in_the_middle_of_recovery_doubles_nothing() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let starts = (0..3).map(|number| wait(ledger.start(&started(number))).unwrap().unwrap());
    let starts = starts.collect::<Vec<_>>();
    // One of three was recorded before the file of starts was removed.
    ledger.append(&Report::host_crash(started(1))).unwrap();
    let copy = killed(root.path());
    drop(starts);
    let ledger = open_strict(copy.path());
    let mut attempts = all(&ledger);
    attempts.sort_by_key(|report| report.request_id);
    let expected = (0..3).map(|number| Report::host_crash(started(number)));
    assert_eq!(attempts, expected.collect::<Vec<_>>());
}

#[test]
fn slots_are_used_again_and_emptied_so_that_old_starts_do_not_come_back() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let file = root.path().join("ledger/started");
    let batch = |numbers: std::ops::Range<u64>| {
        let starts = numbers
            .clone()
            .map(|number| wait(ledger.start(&started(number))).unwrap());
        let starts = starts.collect::<Vec<_>>();
        for (number, start) in numbers.zip(starts) {
            ledger.append(&report(number)).unwrap();
            start.unwrap().close();
        }
        wait(ledger.durable()).unwrap();
        wait(ledger.durable()).unwrap();
        eventually(|| fs::read(&file).unwrap().iter().all(|byte| *byte == 0));
    };
    for first in [0, 20, 40, 60, 80, 100] {
        batch(first..first + 20);
    }
    assert_eq!(fs::metadata(&file).unwrap().len(), 20 * 512);
    // Their records are dropped; a start that is long over makes no new one.
    settle(&ledger);
    drop_oldest(&ledger, 2);
    let expected = all(&ledger);
    let copy = killed(root.path());
    assert_eq!(all(&open_strict(copy.path())), expected);
}

#[test]
fn who_leaves_while_it_starts_leaves_no_start_behind() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    {
        let waker = Waker::noop();
        let started = started(1);
        let mut start = pin!(ledger.start(&started));
        // Pending or done, whatever comes first; it is dropped all the same.
        drop(start.as_mut().poll(&mut Context::from_waker(waker)));
    }
    ledger.append(&report(1)).unwrap();
    wait(ledger.durable()).unwrap();
    let copy = killed(root.path());
    assert_eq!(all(&open_strict(copy.path())), reports(1..2));
}

#[test]
fn a_start_or_a_record_that_can_not_be_made_durable_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let journal = &ledger.shared().journal;
    ledger.append(&report(1)).unwrap();
    journal
        .fail_next_sync
        .store(true, std::sync::atomic::Ordering::Relaxed);
    wait(ledger.durable()).unwrap_err();
    wait(ledger.start(&started(2))).unwrap_err();
    ledger.append(&report(3)).unwrap_err();
    drop(ledger);

    let ledger = open_strict(root.path());
    ledger.close().unwrap();
    wait(ledger.start(&started(2))).unwrap_err();
    drop(ledger);
    // What was refused did not run.
    let ids = all(&open_strict(root.path())).into_iter();
    assert!(
        !ids.map(|report| report.request_id)
            .any(|id| id == started(2).request_id)
    );
}

/// The upkeep thread fails the ledger like that when a segment can't be sealed.
#[test]
fn who_waits_hears_of_a_ledger_that_another_thread_failed() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let broken = StorageError::corrupt(root.path(), 0, "made to fail by a test");
    ledger.shared().journal.fail(&broken);
    let (sender, receiver) = std::sync::mpsc::channel();
    let waiting = ledger;
    std::thread::spawn(move || {
        let durable = wait(waiting.durable()).is_err();
        let start = wait(waiting.start(&started(1))).is_err();
        sender.send((durable, start)).unwrap();
    });
    let heard = receiver.recv_timeout(Duration::from_secs(30));
    assert!(heard.is_ok(), "nobody was told");
}

/// The sync thread took note of starts, and has not come to the records yet, when one more start asks.
#[test]
fn a_sync_that_is_wanted_in_the_middle_of_one_is_made_after_it() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("ledger");
    fs::create_dir_all(&directory).unwrap();
    let (catalogue, resume) = super::super::recovery::open(root.path(), &directory).unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let shared =
        crate::ledger::Shared::new(&data_dir, directory, strict(), catalogue, resume).unwrap();
    let journal = &shared.journal;
    journal.want_sync();
    assert!(journal.wait_for_work(Duration::from_mins(1)));
    assert!(!journal.is_sync_wanted(), "it is about to be made");
    journal.want_sync();
    journal.sync().unwrap();
    assert!(journal.is_sync_wanted(), "it was forgotten");
}

#[test]
fn without_strict_mode_nothing_is_written_and_nobody_waits() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open(root.path());
    assert!(!ledger.is_strict());
    assert!(wait(ledger.start(&started(1))).unwrap().is_none());
    wait(ledger.durable()).unwrap();
    assert!(!root.path().join("ledger/started").exists());
}

#[test]
fn a_slot_that_was_torn_or_altered_is_no_start() {
    let root = tempfile::tempdir().unwrap();
    let ledger = open_strict(root.path());
    let start = wait(ledger.start(&started(1))).unwrap();
    let copy = killed(root.path());
    drop(start);
    let file = copy.path().join("ledger/started");
    let good = fs::read(&file).unwrap();
    assert_eq!(good.len(), 512);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 1 << (at % 8);
        assert_eq!(Slot::decode(&bad), None, "{at}");
        assert_eq!(Slot::decode(&good[..at]), None, "{at}");
    }
    assert_eq!(
        Slot::decode(&good).map(|slot| slot.started),
        Some(started(1))
    );
    fs::write(&file, &good[..300]).unwrap();
    assert_eq!(all(&open_strict(copy.path())), []);
}
