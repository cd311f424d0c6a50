//! The files that the ledger is made of, behind a closed choice: the machine's, or, in tests, a
//! simulated disk that can be cut off at any step.
//!
//! A release build has one variant, and its calls go straight to the operating system. Knows nothing
//! of what is in the files.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::files;

#[cfg(test)]
pub(crate) mod simulated;

/// An open file.
#[derive(Debug)]
pub(crate) enum DiskFile {
    Real(File),
    #[cfg(test)]
    Simulated(simulated::SimFile),
}

impl DiskFile {
    /// Opens a file to read and write it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(disk) = simulated::mounted(path) {
            return disk.open(path).map(Self::Simulated);
        }
        files::private().open(path).map(Self::Real)
    }

    /// Opens a file to read it.
    pub(crate) fn open_for_reading(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(disk) = simulated::mounted(path) {
            return disk.open(path).map(Self::Simulated);
        }
        File::open(path).map(Self::Real)
    }

    /// Makes a private file that was not there.
    pub(crate) fn create_new(path: &Path) -> io::Result<Self> {
        #[cfg(test)]
        if let Some(disk) = simulated::mounted(path) {
            return disk.create_new(path).map(Self::Simulated);
        }
        files::private().create_new(true).open(path).map(Self::Real)
    }

    /// Its size, in bytes.
    pub(crate) fn size(&self) -> io::Result<u64> {
        match self {
            Self::Real(file) => file.metadata().map(|metadata| metadata.len()),
            #[cfg(test)]
            Self::Simulated(file) => file.size(),
        }
    }

    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        match self {
            Self::Real(file) => file.read_at(bytes, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.read_at(bytes, offset),
        }
    }

    /// Fails where the file ends before `bytes` are filled.
    pub(crate) fn read_exact_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.read_exact_at(bytes, offset),
            #[cfg(test)]
            Self::Simulated(file) => match file.read_at(bytes, offset)? {
                read if read == bytes.len() => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            },
        }
    }

    pub(crate) fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.write_all_at(bytes, offset),
            #[cfg(test)]
            Self::Simulated(file) => file.write_all_at(bytes, offset),
        }
    }

    pub(crate) fn set_len(&self, length: u64) -> io::Result<()> {
        match self {
            Self::Real(file) => file.set_len(length),
            #[cfg(test)]
            Self::Simulated(file) => file.set_len(length),
        }
    }

    /// Returns when the file is on disk. Must not be tried again after an error: the kernel may have
    /// given the changes up, and would then report success.
    pub(crate) fn sync_all(&self) -> io::Result<()> {
        match self {
            Self::Real(file) => file.sync_all(),
            #[cfg(test)]
            Self::Simulated(file) => file.sync_all(),
        }
    }
}

/// A whole file.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(path) {
        return disk.read(path);
    }
    fs::read(path)
}

/// Gives a file another name, and takes that from whatever had it.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(from) {
        return disk.rename(from, to);
    }
    fs::rename(from, to)
}

pub(crate) fn remove(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(path) {
        return disk.remove(path);
    }
    fs::remove_file(path)
}

pub(crate) fn exists(path: &Path) -> bool {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(path) {
        return disk.exists(path);
    }
    path.exists()
}

/// The entries of a directory with a name in UTF-8, in any order.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(directory) {
        return disk.list();
    }
    let mut named = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            named.push((name, entry.path()));
        }
    }
    Ok(named)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(directory: &Path) -> io::Result<()> {
    #[cfg(test)]
    if let Some(disk) = simulated::mounted(directory) {
        return disk.sync_dir();
    }
    File::open(directory)?.sync_all()
}

/// What the kernel calls this start of the machine, as hexadecimal digits and dashes; empty where it
/// does not say.
pub(crate) fn boot_id() -> String {
    #[cfg(test)]
    if let Some(disk) = simulated::current() {
        return disk.boot_id();
    }
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}
