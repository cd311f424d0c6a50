//! Compiled code on disk, authenticated.
//!
//! A crafted file of compiled code is arbitrary machine code, so each one ends with an HMAC over its
//! content, the artifact it was made from and the engine it was made for. The key is generated on
//! first use and readable by the owner only, like the directory. Whatever is not as expected is
//! compiled again; it is never loaded.
//!
//! A file that was checked since the start, and did not change since (device, inode, size and both
//! times are the same), is not checked again. One that changed within the second before its check is:
//! a later change could have the same time.
//!
//! Accepted: whoever can already write to the directory as this user could change a file between the
//! check and the mapping. Knows nothing of modules.

mod key;

use std::collections::{HashMap, HashSet};
use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::hash::{Hash, Hasher};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use domain::Clock;
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use wasmtime::Engine;

use crate::ArtifactId;
use crate::load::is_shortage;
use key::{KEY_BYTES, replace_key};

/// Bytes of the authentication code at the end of each file.
const MAC_BYTES: usize = 32;

/// Separates this use of the key from any later one.
const DOMAIN: &[u8] = b"mayfly compiled code 1";

/// How the names of compiled code end.
const EXTENSION: &str = ".cwasm";

/// How the names of files end that are being written.
const TEMPORARY: &str = ".tmp";

/// How long before its check a file must have been left alone to be remembered, in seconds. Far more
/// than the steps in which a kernel stamps files.
const SETTLED_SECONDS: i64 = 1;

/// Read at once while a file is checked.
const READ_BYTES: usize = 64 << 10;

/// Compiled code that may be loaded: it was checked, or never left this process.
#[derive(Debug)]
pub(crate) struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }

    pub(crate) fn get(&self) -> &T {
        &self.0
    }
}

impl Verified<Vec<u8>> {
    /// For code that this process, or a child it started, has just compiled.
    pub(crate) fn just_compiled(code: Vec<u8>) -> Self {
        Self(code)
    }
}

/// The directory and its key.
#[derive(Debug)]
pub(crate) struct CodeCache {
    dir: PathBuf,
    key: [u8; KEY_BYTES],
    /// What compiled code depends on besides the artifact: engine, its version, its settings.
    engine: [u8; 32],
    temporary: AtomicU64,
    clock: Clock,
    /// Files whose content was checked since the start.
    checked: Mutex<HashMap<ArtifactId, Stamp>>,
}

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self {
            inode: (file.dev(), file.ino()),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        }
    }

    /// Whether a change after now would show.
    fn is_settled(self, clock: &Clock) -> bool {
        let now = clock.unix_us().div_euclid(1_000_000);
        self.changed.0.max(self.modified.0) + SETTLED_SECONDS < now
    }
}

/// What was found for an artifact.
#[derive(Debug)]
pub(crate) enum Found {
    /// Code that may be loaded.
    Code(Verified<File>),
    /// Nothing: it was never compiled for this engine.
    Nothing,
    /// Something that must not be loaded, and why.
    Rejected(&'static str),
}

impl CodeCache {
    /// Opens or creates the directory and the key.
    pub(crate) fn open(dir: &Path, engine: &Engine, clock: Clock) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let metadata = fs::symlink_metadata(dir)?;
        if !metadata.is_dir() {
            return Err(io::Error::other("the code cache is not a directory"));
        }
        if metadata.permissions().mode() & 0o077 != 0 {
            fs::set_permissions(dir, Permissions::from_mode(0o700))?;
        }
        if let Err(error) = remove_temporaries(dir) {
            tracing::warn!(path = %dir.display(), %error, "half-written code could not be removed");
        }
        Ok(Self {
            dir: dir.to_owned(),
            key: key::key(dir)?,
            engine: fingerprint(engine),
            temporary: AtomicU64::new(0),
            clock,
            checked: Mutex::default(),
        })
    }

    /// Where an artifact's code is kept.
    pub(crate) fn path(&self, artifact: ArtifactId) -> PathBuf {
        let engine = self.engine[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        self.dir.join(format!("{artifact}-{engine}{EXTENSION}"))
    }

    /// Removes the code of every artifact that is not in `keep`, and all code for other engines; how
    /// many files that were. Code that is loaded stays loaded.
    pub(crate) fn sweep(&self, keep: &HashSet<ArtifactId>) -> io::Result<usize> {
        let mut removed = 0;
        for (name, path) in list(&self.dir)? {
            let Some(artifact) = artifact_of(&name) else {
                continue;
            };
            if !keep.contains(&artifact) || self.path(artifact) != path {
                remove(&path)?;
                removed += 1;
            }
        }
        self.checked
            .lock()
            .retain(|artifact, _| keep.contains(artifact));
        Ok(removed)
    }

    /// Whether there is something that looks like an artifact's code; it is not read.
    pub(crate) fn has(&self, artifact: ArtifactId) -> bool {
        fs::symlink_metadata(self.path(artifact))
            .is_ok_and(|file| file.is_file() && file.len() > MAC_BYTES as u64)
    }

    /// Whether an artifact's code was checked since the start, so that finding it again is quick.
    pub(crate) fn was_checked(&self, artifact: ArtifactId) -> bool {
        self.checked.lock().contains_key(&artifact)
    }

    /// Looks for an artifact's code and checks all of it, once. An error says that the system had no room to
    /// look, and nothing of the code.
    pub(crate) fn find(&self, artifact: ArtifactId) -> io::Result<Found> {
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
            .open(self.path(artifact));
        match file {
            Ok(file) => self
                .verify(artifact, file)
                .or_else(|error| rejected(error, "it can't be read")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => rejected(error, "it can't be opened as a regular file"),
        }
    }

    fn verify(&self, artifact: ArtifactId, mut file: File) -> io::Result<Found> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(Found::Rejected("it is not a regular file"));
        }
        if metadata.uid() != rustix::process::geteuid().as_raw() || metadata.mode() & 0o022 != 0 {
            return Ok(Found::Rejected("others may write to it"));
        }
        let Some(code_bytes) = metadata.len().checked_sub(MAC_BYTES as u64) else {
            return Ok(Found::Rejected("it is too short"));
        };
        let stamp = Stamp::of(&metadata);
        if self.checked.lock().get(&artifact) == Some(&stamp) {
            return Ok(Found::Code(Verified(file)));
        }
        let mut mac = self.mac(artifact, code_bytes);
        let mut buffer = vec![0; READ_BYTES];
        let mut left = code_bytes;
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(READ_BYTES).min(READ_BYTES);
            file.read_exact(&mut buffer[..wanted])?;
            mac.update(&buffer[..wanted]);
            left -= wanted as u64;
        }
        let mut expected = [0; MAC_BYTES];
        file.read_exact(&mut expected)?;
        if mac.verify_slice(&expected).is_err() {
            return Ok(Found::Rejected("its authentication code is wrong"));
        }
        file.seek(SeekFrom::Start(0))?;
        // As it was before it was read: what happened meanwhile shows in a later look.
        if stamp.is_settled(&self.clock) {
            self.checked.lock().insert(artifact, stamp);
        }
        Ok(Found::Code(Verified(file)))
    }

    /// Keeps an artifact's code: written aside, renamed into place. Not synced: what a power cut
    /// leaves of it does not verify, and is compiled again.
    pub(crate) fn keep(&self, artifact: ArtifactId, code: &Verified<Vec<u8>>) -> io::Result<()> {
        self.restore()?;
        let number = self.temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.dir.join(format!(
            "{artifact}.{}.{number}{TEMPORARY}",
            std::process::id()
        ));
        let written = self
            .write(&temporary, artifact, code.get())
            .and_then(|()| fs::rename(&temporary, self.path(artifact)));
        if written.is_err() {
            // Best effort: the error that matters is the first one.
            let _removed = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes an artifact's code.
    pub(crate) fn remove(&self, artifact: ArtifactId) -> io::Result<()> {
        fs::remove_file(self.path(artifact))
    }

    /// Makes directory and key again if someone removed them: a cache may be deleted at any time.
    fn restore(&self) -> io::Result<()> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)?;
        let path = self.dir.join("key");
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                replace_key(&self.dir, &path, &self.key)
            }
            _ => Ok(()),
        }
    }

    fn write(&self, path: &Path, artifact: ArtifactId, code: &[u8]) -> io::Result<()> {
        let mut mac = self.mac(artifact, code.len() as u64);
        mac.update(code);
        let mut file = create_new(path)?;
        file.write_all(code)?;
        file.write_all(&mac.finalize().into_bytes())
    }

    fn mac(&self, artifact: ArtifactId, code_bytes: u64) -> Hmac<Sha256> {
        let mut mac = keyed(&self.key);
        mac.update(DOMAIN);
        mac.update(artifact.as_bytes());
        mac.update(&self.engine);
        mac.update(&code_bytes.to_le_bytes());
        mac
    }
}

fn rejected(error: io::Error, reason: &'static str) -> io::Result<Found> {
    match Errno::from_io_error(&error) {
        Some(errno) if is_shortage(errno) => Err(error),
        _ => Ok(Found::Rejected(reason)),
    }
}

#[expect(clippy::expect_used, reason = "an HMAC takes a key of any length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("any length is accepted")
}

/// Removes what a process that was killed left half written. In a container the next process may have
/// its number, and would find its own names taken.
fn remove_temporaries(dir: &Path) -> io::Result<()> {
    for (name, path) in list(dir)? {
        if name.ends_with(TEMPORARY) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// The artifact whose code a file of this name holds, for whichever engine.
fn artifact_of(name: &str) -> Option<ArtifactId> {
    let (artifact, _engine) = name.strip_suffix(EXTENSION)?.split_once('-')?;
    artifact.parse().ok()
}

fn list(dir: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string() {
            files.push((name, entry.path()));
        }
    }
    Ok(files)
}

/// Removes a file that may be gone already.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(path)
}

fn flags(flags: OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// A hash of everything that must be the same for compiled code to fit an engine.
fn fingerprint(engine: &Engine) -> [u8; 32] {
    let mut hasher = Sha(Sha256::new());
    crate::engine::ENGINE_VERSION.hash(&mut hasher);
    std::env::consts::ARCH.hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().into()
}

/// SHA-256 behind the standard library's interface for hashing.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}
