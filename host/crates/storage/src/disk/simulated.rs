//! A disk for tests: files with a page cache, names with a directory, and a power cord.
//!
//! What a process stores or writes is in the page cache at once, and on the disk after a sync; names
//! are on the disk after the directory's sync. At a chosen step the process dies: from then on nothing
//! it does has an effect. What the next process finds is made from that state: everything, if only
//! the process was killed; if the power was cut, any choice of what was not synced, by sectors of 512
//! bytes and, torn, by words of 8 bytes, each of them as of any moment since the last sync. A sync can
//! fail: as on Linux, its changes are given up then, and the next one reports success.
//!
//! Assumed: a renamed file has one of its two names, a changed length is the old one or the new one,
//! and names that could not be synced are still to be synced. Knows nothing of what is in the files.

mod file;
mod image;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::io::Errno;

use self::image::{Fate, Image};
use crate::simulation::random::Random;

pub(crate) use self::file::{SimFile, SimMemory};

/// Where a simulated disk is mounted; it has this one directory.
pub(crate) const MOUNT: &str = "/simulated-disk";

thread_local! {
    /// The disk of this thread. Files that are open stay on the disk that they were opened on.
    static MOUNTED: RefCell<Option<SimDisk>> = const { RefCell::new(None) };
}

/// The disk that `path` is on, if that is a simulated one.
pub(crate) fn mounted(path: &Path) -> Option<SimDisk> {
    path.starts_with(MOUNT).then(current).flatten()
}

/// The disk of this thread.
pub(crate) fn current() -> Option<SimDisk> {
    MOUNTED.with_borrow(Clone::clone)
}

/// Mounts a disk for this thread, in place of the one before.
pub(crate) fn mount(disk: Option<SimDisk>) {
    MOUNTED.set(disk);
}

/// Whether the disk of this thread has the code under test do `mistake`.
pub(crate) fn makes(mistake: Mistake) -> bool {
    current().is_some_and(|disk| disk.0.lock().mistake == Some(mistake))
}

/// What the code under test is made to do wrong, to see that it is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// The journal tries a failed sync again and believes the second answer.
    RetrySync,
    /// The journal does not sync the names of new segments.
    SkipDirectorySync,
    /// Recovery believes what it reads without writing it again.
    TrustPageCache,
    /// The queue answers before it commits.
    AnswerEarly,
    /// The queue closes an attempt before its record is on disk.
    CloseEarly,
    /// The queue takes records for safe that are not on disk yet, when it notes where those of an
    /// attempt begin.
    CountOnUnsynced,
}

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The call fails for want of space.
    NoSpace,
    /// The call fails with an I/O error; a sync gives its changes up.
    Broken,
}

/// Whether a step has its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Alive,
    /// The process dies at this step, which has its effect.
    DiesAfter,
    /// The process dies at this step, which has none.
    DiesBefore,
    Dead,
}

/// A disk. Cheap to clone; all clones are the same disk.
#[derive(Debug, Clone)]
pub(crate) struct SimDisk(Arc<Mutex<Inner>>);

#[derive(Debug, Clone)]
struct Inner {
    images: BTreeMap<u64, Image>,
    next_inode: u64,
    /// As the kernel has them.
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    renames: Vec<NameChange>,
    random: Random,
    boot: u64,
    /// Steps until the process dies.
    steps_left: Option<u64>,
    is_dead: bool,
    /// At the step that comes after so many others.
    trouble: Option<(u64, Trouble)>,
    /// Calls of this process that were made to fail.
    troubles: u64,
    steps: u64,
    /// Nothing happens to who looks on.
    is_held: bool,
    mistake: Option<Mistake>,
}

#[derive(Debug, Clone)]
enum NameChange {
    Make(String, u64),
    Rename(String, String, u64),
    Remove(String, u64),
}

impl Inner {
    /// Goes one step on: `false` when the process is dead.
    fn step(&mut self) -> bool {
        if self.is_dead {
            return false;
        }
        if self.is_held {
            return true;
        }
        self.steps += 1;
        match &mut self.steps_left {
            Some(0) => self.is_dead = true,
            Some(left) => *left -= 1,
            None => {}
        }
        !self.is_dead
    }

    /// [`Inner::step`] for a call that can fail.
    fn call(&mut self) -> io::Result<()> {
        if !self.step() {
            return Err(io::Error::other("the process is dead"));
        }
        match &mut self.trouble {
            _ if self.is_held => Ok(()),
            Some((0, trouble)) => {
                let errno = match trouble {
                    Trouble::NoSpace => Errno::NOSPC,
                    Trouble::Broken => Errno::IO,
                };
                self.trouble = None;
                self.troubles += 1;
                Err(errno.into())
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn image(&mut self, inode: u64) -> &mut Image {
        self.images.entry(inode).or_default()
    }

    fn inode(&self, name: &str) -> io::Result<u64> {
        let found = self.names.get(name).copied();
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl SimDisk {
    /// An empty disk, whose fate is drawn from `random`.
    pub(crate) fn new(random: Random, mistake: Option<Mistake>) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            images: BTreeMap::new(),
            next_inode: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            renames: Vec::new(),
            random,
            boot: 1,
            steps_left: None,
            is_dead: false,
            trouble: None,
            troubles: 0,
            steps: 0,
            is_held: false,
            mistake,
        })))
    }

    /// The disk as the next process finds it: with everything, if the power stayed on.
    pub(crate) fn after_death(&self, is_power_cut: bool, random: Random) -> Self {
        let mut inner = self.0.lock().clone();
        inner.random = random;
        inner.steps_left = None;
        inner.trouble = None;
        inner.troubles = 0;
        inner.is_dead = false;
        if is_power_cut {
            inner.boot += 1;
            inner.cut();
        }
        let Inner {
            images,
            names,
            durable_names,
            renames,
            ..
        } = &mut inner;
        let is_named = |inode: &u64| {
            let mut named = names.values().chain(durable_names.values());
            named.any(|other| other == inode)
                || renames.iter().any(|change| match change {
                    NameChange::Make(_, other)
                    | NameChange::Rename(_, _, other)
                    | NameChange::Remove(_, other) => other == inode,
                })
        };
        images.retain(|inode, _| is_named(inode));
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Has the process die at the step that comes after `steps` others.
    pub(crate) fn die_after(&self, steps: u64) {
        self.0.lock().steps_left = Some(steps);
    }

    /// Has the call fail that comes after `calls` others.
    pub(crate) fn fail_after(&self, calls: u64, trouble: Trouble) {
        self.0.lock().trouble = Some((calls, trouble));
    }

    /// Has no call fail any more.
    pub(crate) fn mend(&self) {
        self.0.lock().trouble = None;
    }

    /// Calls of this process that were made to fail.
    pub(crate) fn troubles(&self) -> u64 {
        self.0.lock().troubles
    }

    /// Has nothing happen during calls, or lets it happen again.
    pub(crate) fn hold(&self, is_held: bool) {
        self.0.lock().is_held = is_held;
    }

    /// Ends the process here.
    pub(crate) fn die(&self) {
        self.0.lock().is_dead = true;
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.0.lock().is_dead
    }

    /// A step of somebody else's, which has its effect in one piece.
    pub(crate) fn commit_step(&self) -> Step {
        let mut inner = self.0.lock();
        match (inner.is_dead, inner.step()) {
            (true, _) => Step::Dead,
            (false, true) => Step::Alive,
            (false, false) if inner.random.one_in(2) => Step::DiesAfter,
            (false, false) => Step::DiesBefore,
        }
    }

    /// Calls and stores so far.
    pub(crate) fn steps(&self) -> u64 {
        self.0.lock().steps
    }

    /// A number that stands for all that the kernel and the disk hold.
    pub(crate) fn digest(&self) -> u32 {
        let inner = self.0.lock();
        let mut crc = 0;
        for (name, inode) in &inner.names {
            // Files that are being written have numbers that go on from one test to the next.
            if !name.ends_with(".tmp") {
                crc = crc32c::crc32c_append(crc, name.as_bytes());
            }
            if let Some(image) = inner.images.get(inode) {
                crc = crc32c::crc32c_append(crc, &image.cached);
                crc = crc32c::crc32c_append(crc, &image.durable);
            }
        }
        crc
    }

    /// Flips a bit of a file, on the disk and in the cache.
    pub(crate) fn flip(&self, path: &Path, bit: usize) {
        let mut inner = self.0.lock();
        let inode = inner.names[&name(path)];
        let image = inner.image(inode);
        for bytes in [&mut image.cached, &mut image.durable] {
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        }
    }

    pub(super) fn boot_id(&self) -> String {
        format!("{:032x}", self.0.lock().boot)
    }

    pub(super) fn open(&self, path: &Path) -> io::Result<SimFile> {
        let mut inner = self.0.lock();
        inner.call()?;
        let inode = inner.inode(&name(path))?;
        Ok(self.file(inode))
    }

    pub(super) fn create_new(&self, path: &Path) -> io::Result<SimFile> {
        let mut inner = self.0.lock();
        inner.call()?;
        let name = name(path);
        if inner.names.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        inner.next_inode += 1;
        let inode = inner.next_inode;
        inner.images.insert(inode, Image::default());
        inner.names.insert(name.clone(), inode);
        inner.renames.push(NameChange::Make(name, inode));
        Ok(self.file(inode))
    }

    fn file(&self, inode: u64) -> SimFile {
        SimFile {
            disk: self.clone(),
            inode,
        }
    }

    pub(super) fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut inner = self.0.lock();
        inner.call()?;
        let inode = inner.inode(&name(path))?;
        Ok(inner.image(inode).cached.clone())
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call()?;
        let (from, to) = (name(from), name(to));
        let inode = inner.inode(&from)?;
        inner.names.remove(&from);
        inner.names.insert(to.clone(), inode);
        inner.renames.push(NameChange::Rename(from, to, inode));
        Ok(())
    }

    pub(super) fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call()?;
        let name = name(path);
        let inode = inner.inode(&name)?;
        inner.names.remove(&name);
        inner.renames.push(NameChange::Remove(name, inode));
        Ok(())
    }

    pub(super) fn exists(&self, path: &Path) -> bool {
        self.0.lock().names.contains_key(&name(path))
    }

    pub(super) fn list(&self) -> io::Result<Vec<(String, PathBuf)>> {
        let mut inner = self.0.lock();
        inner.call()?;
        let names = inner.names.keys();
        Ok(names
            .map(|name| (name.clone(), Path::new(MOUNT).join(name)))
            .collect())
    }

    pub(super) fn sync_dir(&self) -> io::Result<()> {
        let mut inner = self.0.lock();
        inner.call()?;
        inner.durable_names = inner.names.clone();
        inner.renames.clear();
        Ok(())
    }
}

impl Inner {
    /// Cuts the power: what was not synced is there, gone, or there in part.
    fn cut(&mut self) {
        let mut random = self.random.clone();
        let fate = match random.below(6) {
            0 => Fate::Kept,
            1 => Fate::Lost,
            _ => Fate::Mixed,
        };
        for image in self.images.values_mut() {
            image.cut(fate, &mut random);
        }
        for change in std::mem::take(&mut self.renames) {
            let is_kept = match fate {
                Fate::Kept => true,
                Fate::Lost => false,
                Fate::Mixed => random.one_in(2),
            };
            if is_kept {
                self.change_name(change);
            }
        }
        self.names.clone_from(&self.durable_names);
        self.random = random;
    }

    fn change_name(&mut self, change: NameChange) {
        let names = &mut self.durable_names;
        match change {
            NameChange::Make(name, inode) => drop(names.insert(name, inode)),
            NameChange::Rename(from, to, inode) => {
                if names.get(&from) == Some(&inode) {
                    names.remove(&from);
                }
                names.insert(to, inode);
            }
            NameChange::Remove(name, inode) => {
                if names.get(&name) == Some(&inode) {
                    names.remove(&name);
                }
            }
        }
    }
}
