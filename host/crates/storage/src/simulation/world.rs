//! A machine that dies again and again: the ledger's journal and the queue's writer, driven operation by
//! operation from a seed, killed at any step, and opened again.
//!
//! Each death is looked at in several ways: as a kill, and as power cuts that leave different things.
//! Each of them is a crash point; in one of them the story goes on.

use std::time::Duration;

use domain::Clock;

use super::choices::jump;
use super::model::Model;
use super::process::Process;
use super::random::Random;
use crate::disk::simulated::{self, Mistake, SimDisk, Trouble};
use crate::ledger::simulated::{SimCatalogue, describe};
use crate::queue::Quota;
use crate::queue::memory::Memory;
use crate::{DataDir, LedgerSettings};

/// Deaths of one machine, before another one begins with an empty disk.
const DEATHS: usize = 16;
/// Ways in which each death is looked at, besides the one in which the story goes on.
const LOOKS: usize = 5;
/// No life is longer, in operations.
const OPERATIONS_MAX: usize = 120;
/// When it begins, in Unix microseconds: 2025-11-22.
const NOW_US: i64 = 1_763_830_000_000_000;

pub(super) const QUOTA: Quota = Quota {
    events: 12,
    bytes: 600,
};
pub(super) const WAIT_MAX: Duration = Duration::from_secs(300);

/// What a run came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Summary {
    /// Deaths, each counted once for each way in which it was looked at.
    pub(super) points: u64,
    pub(super) power_cuts: u64,
    /// Deaths while the damage of the one before was being repaired.
    pub(super) in_recovery: u64,
    /// Calls that were made to fail, and did.
    pub(super) troubles: u64,
    /// Records and events over all machines.
    pub(super) records: u64,
    pub(super) events: u64,
    /// Stands for everything that happened.
    pub(super) trace: u64,
}

impl Summary {
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            points: self.points + other.points,
            power_cuts: self.power_cuts + other.power_cuts,
            in_recovery: self.in_recovery + other.in_recovery,
            troubles: self.troubles + other.troubles,
            records: self.records + other.records,
            events: self.events + other.events,
            trace: self.trace.rotate_left(1) ^ other.trace,
        }
    }
}

/// What the machine has besides a process.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) disk: SimDisk,
    pub(super) model: Model,
    pub(super) clock: Clock,
    /// Ids that were given.
    pub(super) ids: u64,
    pub(super) data_dir: DataDir,
    pub(super) summary: Summary,
}

/// Runs machines from `seed` on, the seed `step` further on for each, until there are `points` crash points.
///
/// # Errors
///
/// What is wrong, with the seed of the machine in which it is.
pub(super) fn run(
    seed: u64,
    step: u64,
    points: u64,
    mistake: Option<Mistake>,
) -> Result<Summary, String> {
    let mut summary = Summary::default();
    let mut spare = Some(SimCatalogue::new());
    for seed in (0..).map(|nth| seed + nth * step) {
        if summary.points >= points {
            break;
        }
        let mut world = World::new(seed, mistake, summary);
        let lived = world.run(&mut spare, points);
        summary = world.summary;
        if let Err(wrong) = lived {
            let disk = world.disk.after_death(false, Random::new(0));
            simulated::mount(Some(disk));
            let files = describe();
            simulated::mount(None);
            return Err(format!(
                "seed {seed}, point {}: {wrong}{files}",
                summary.points
            ));
        }
        simulated::mount(None);
        summary.records += world.model.total();
        summary.events += world.ids;
    }
    Ok(summary)
}

impl World {
    fn new(seed: u64, mistake: Option<Mistake>, summary: Summary) -> Self {
        let mut random = Random::new(seed);
        Self {
            disk: SimDisk::new(random.fork(), mistake),
            random,
            model: Model::default(),
            clock: Clock::manual(NOW_US),
            ids: 0,
            data_dir: DataDir::open_for_reading(&std::env::temp_dir()).unwrap(),
            summary,
        }
    }

    /// The world after a death, to look at it.
    fn look(&mut self, is_power_cut: bool) -> Self {
        Self {
            disk: self.disk.after_death(is_power_cut, self.random.fork()),
            random: self.random.fork(),
            model: self.model.clone(),
            clock: self.clock.clone(),
            ids: self.ids,
            data_dir: self.data_dir.clone(),
            summary: self.summary,
        }
    }

    pub(super) fn settings(&self) -> LedgerSettings {
        LedgerSettings {
            segment_bytes: 4_096,
            retention_bytes: Some(6_000),
            clock: self.clock.clone(),
            ..LedgerSettings::default()
        }
    }

    fn run(&mut self, spare: &mut Option<SimCatalogue>, points: u64) -> Result<(), String> {
        simulated::mount(Some(self.disk.clone()));
        let mut catalogue = take(spare);
        let mut memory = Memory::default();
        let mut was_cut = true;
        for _ in 0..DEATHS {
            let died = self.begin(memory, catalogue, was_cut)?;
            (memory, catalogue) = match died {
                Life::Refused(left) => *left,
                Life::Began(mut process) => {
                    self.live(&mut process)?;
                    process.end()
                }
            };
            self.note(self.disk.steps());
            self.note(u64::from(self.disk.digest()));
            if self.summary.points >= points {
                break;
            }
            for look in 0..LOOKS {
                let is_power_cut = look > 0;
                self.count(is_power_cut);
                let mut other = self.look(is_power_cut);
                simulated::mount(Some(other.disk.clone()));
                let seen = other.begin(memory.clone(), take(spare), is_power_cut)?;
                let (_, mut used) = match seen {
                    Life::Refused(left) => *left,
                    Life::Began(process) => process.end(),
                };
                self.note(other.summary.trace);
                used.clear();
                *spare = Some(used);
            }
            was_cut = self.random.one_in(2);
            self.count(was_cut);
            self.disk = self.disk.after_death(was_cut, self.random.fork());
            simulated::mount(Some(self.disk.clone()));
            if self.random.one_in(2) {
                catalogue.clear();
            }
            if self.random.one_in(4) {
                let steps = self.random.below(60);
                self.disk.die_after(u64::try_from(steps).unwrap());
            }
            if self.random.one_in(8) {
                self.make_trouble(40);
            }
        }
        catalogue.clear();
        *spare = Some(catalogue);
        Ok(())
    }

    fn count(&mut self, is_power_cut: bool) {
        self.summary.points += 1;
        self.summary.power_cuts += u64::from(is_power_cut);
    }

    /// Has one of the next calls fail.
    fn make_trouble(&mut self, within: usize) {
        let trouble = match self.random.one_in(2) {
            true => Trouble::NoSpace,
            false => Trouble::Broken,
        };
        let calls = u64::try_from(self.random.below(within)).unwrap();
        self.disk.fail_after(calls, trouble);
    }

    /// Takes something into the trace.
    pub(super) fn note(&mut self, what: u64) {
        let mixed = (self.summary.trace ^ what).wrapping_mul(0x100_0000_01B3);
        self.summary.trace = mixed.rotate_left(23);
    }

    /// Starts a process on what is left, and checks all that was promised of it.
    fn begin(
        &mut self,
        memory: Memory,
        catalogue: SimCatalogue,
        was_cut: bool,
    ) -> Result<Life, String> {
        let mut left = (memory, catalogue);
        let mut was_cut = was_cut;
        // What was synced before the first death of several is still all that is promised.
        loop {
            let (memory, catalogue) = left;
            match Process::start(self, memory, catalogue, was_cut)? {
                Life::Began(process) => return Ok(Life::Began(process)),
                Life::Refused(refused) if self.disk.is_dead() => {
                    self.summary.in_recovery += 1;
                    let is_power_cut = self.random.one_in(2);
                    self.count(is_power_cut);
                    was_cut |= is_power_cut;
                    self.disk = self.disk.after_death(is_power_cut, self.random.fork());
                    simulated::mount(Some(self.disk.clone()));
                    left = *refused;
                }
                // A call failed, and the process ended: it is started again.
                Life::Refused(refused) => {
                    self.disk = self.disk.after_death(false, self.random.fork());
                    simulated::mount(Some(self.disk.clone()));
                    left = *refused;
                }
            }
        }
    }

    fn live(&mut self, process: &mut Process) -> Result<(), String> {
        self.disk.mend();
        let steps = self.random.below(90);
        self.disk.die_after(u64::try_from(steps).unwrap());
        if self.random.one_in(4) {
            self.make_trouble(60);
        }
        for _ in 0..OPERATIONS_MAX {
            process.operate(self)?;
            if self.disk.is_dead() {
                break;
            }
        }
        if self.random.one_in(4) {
            // Before it is started again.
            jump(self);
        }
        self.summary.troubles += self.disk.troubles();
        self.disk.die();
        Ok(())
    }
}

fn take(spare: &mut Option<SimCatalogue>) -> SimCatalogue {
    spare.take().unwrap_or_else(SimCatalogue::new)
}

/// Whether a process came up.
pub(super) enum Life {
    Began(Box<Process>),
    /// It did not; what is left of it.
    Refused(Box<(Memory, SimCatalogue)>),
}
