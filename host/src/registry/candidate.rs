//! What lies in the drop folder: entries that could be functions, and what is read of them.
//!
//! An entry is told apart from a later state of itself by looking at its files from outside; they are
//! read by [`super::read_file`]. Knows nothing of when to look; see [`super::drop_folder`].

use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::names::NameError;
use domain::{Fault, FunctionName};
use serde::Serialize;

use super::read_file::read_file;
use crate::manifest::{Manifest, ManifestError};
use crate::registry::Draft;

/// Largest artifact, in bytes. The largest that toolchains are known to make is 18.5 MB (Python).
pub(super) const ARTIFACT_BYTES_MAX: u64 = 64 << 20;

/// Largest manifest, in bytes.
pub(super) const MANIFEST_BYTES_MAX: u64 = 256 << 10;

/// Where a function's files are, relative to the drop folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Entry {
    /// `NAME.wasm`, with or without `NAME.toml`.
    File(String),
    /// `NAME/` with `function.toml`, or with what `mayfly build` made.
    Folder(String),
}

/// Whether an entry is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// A file of it is.
    There,
    /// Nothing of it is.
    Gone,
    /// That can't be told now.
    Unknown,
}

/// What tells one state of an entry from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Fingerprint {
    artifact: Option<Stamp>,
    manifest: Option<Stamp>,
}

/// How long files must have been left alone for their stamps to tell every later change, in seconds:
/// the coarsest stamps, of FAT, have steps of two.
const SETTLED_SECONDS: i64 = 2;

impl Fingerprint {
    /// Whether a change of the files after `now` would show. One that follows another within a step of
    /// the file system's clock does not.
    pub(super) fn is_settled(&self, now_unix_us: i64) -> bool {
        let now = now_unix_us.div_euclid(1_000_000);
        let stamps = [self.artifact, self.manifest];
        let mut stamps = stamps.iter().flatten();
        stamps.all(|stamp| stamp.modified.0.max(stamp.changed.0) + SETTLED_SECONDS < now)
    }
}

/// What this very program is, as far as can be told from outside: another one may read the same files
/// in another way.
pub(super) fn this_program() -> String {
    let stamp = std::fs::metadata("/proc/self/exe").ok();
    json(&stamp.as_ref().map(Stamp::of))
}

/// Numbers and texts only: there is nothing that can fail.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Where an entry's artifact is, as its manifest said when it had a certain stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) artifact: PathBuf,
    said_by: Option<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why an entry is no function. Each text is for the person who dropped it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CandidateError {
    /// The name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A link, a pipe, a device, a folder.
    #[error("{what} is {kind}; only a regular file can be a function")]
    NotAFile {
        /// Which file.
        what: String,
        /// What it is.
        kind: &'static str,
    },
    /// A link on the way to a file.
    #[error(
        "{folder} is a symbolic link; a function's files must lie in the functions folder itself"
    )]
    LinkedFolder {
        /// Which folder.
        folder: String,
    },
    /// Too long.
    #[error("{what} has more than {limit} bytes")]
    TooLarge {
        /// Which file.
        what: String,
        /// How many it may have.
        limit: u64,
    },
    /// A folder with a manifest and nothing to run.
    #[error("there is no artifact at {path}; run `mayfly build {name}`")]
    NotBuilt {
        /// Where it should be.
        path: String,
        /// The function.
        name: String,
    },
    /// It can't be read.
    #[error("{what} can't be read: {source}")]
    Io {
        /// Which file.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// The manifest breaks a rule; the text names line and column.
    #[error("{file}:{source}")]
    Manifest {
        /// Which file.
        file: String,
        /// What is wrong.
        source: ManifestError,
    },
    /// A manifest that is not UTF-8.
    #[error("{file} is not UTF-8 text")]
    ManifestEncoding {
        /// Which file.
        file: String,
    },
    /// It changed while it was read: it is being written.
    #[error("{what} is being written")]
    Changing {
        /// Which file.
        what: String,
    },
}

impl CandidateError {
    /// Whose failure this is. The host's goes away without a change of the file.
    pub(super) fn fault(&self) -> Fault {
        match self {
            Self::Io { source, .. } => match source.kind() {
                // The first heals with a change of the file; the others are paths that can't be.
                ErrorKind::PermissionDenied
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidFilename => Fault::Caller,
                _ => Fault::Host,
            },
            Self::Name(_)
            | Self::NotAFile { .. }
            | Self::LinkedFolder { .. }
            | Self::TooLarge { .. }
            | Self::NotBuilt { .. }
            | Self::Manifest { .. }
            | Self::ManifestEncoding { .. }
            | Self::Changing { .. } => Fault::Caller,
        }
    }
}

impl Entry {
    /// The entry that a directory entry of the drop folder stands for, if it could be one.
    pub(super) fn recognise(root: &Path, file_name: &str) -> Option<Self> {
        if file_name.starts_with('.') {
            return None;
        }
        if let Some(stem) = file_name.strip_suffix(".wasm") {
            return Some(Self::File(stem.to_owned()));
        }
        let folder = Self::Folder(file_name.to_owned());
        let is_function = match folder.presence(root) {
            Presence::There => true,
            Presence::Gone => false,
            // One that we may not look into is something else, unless it is named like a function.
            Presence::Unknown => FunctionName::parse(file_name).is_ok(),
        };
        is_function.then_some(folder)
    }

    /// The entry that a change of the file `relative` to the drop folder may concern.
    pub(super) fn concerned(root: &Path, relative: &Path) -> Option<Self> {
        let mut parts = relative.iter().map(|part| part.to_str());
        let first = parts.next()??;
        if first.starts_with('.') {
            return None;
        }
        if let Some(stem) = first.strip_suffix(".wasm") {
            return Some(Self::File(stem.to_owned()));
        }
        let is_inside = parts.next().is_some();
        match first.strip_suffix(".toml") {
            Some(stem) if !is_inside && !is_folder(&root.join(first)) => {
                Some(Self::File(stem.to_owned()))
            }
            // It may have been a folder until now.
            _ => Some(Self::Folder(first.to_owned())),
        }
    }

    /// What its files look like, and to which program: if that is the same another time, they need not
    /// be read again. `None` when a later change might not show.
    pub(super) fn source(
        &self,
        fingerprint: &Fingerprint,
        program: &str,
        now_unix_us: i64,
    ) -> Option<String> {
        let is_settled = fingerprint.is_settled(now_unix_us);
        is_settled.then(|| json(&(self.label(), fingerprint, program)))
    }

    /// The name as it is written in the folder, valid or not.
    pub(super) fn name_text(&self) -> &str {
        match self {
            Self::File(name) | Self::Folder(name) => name,
        }
    }

    /// The function it would be, if its name is one.
    pub(super) fn function(&self) -> Option<FunctionName> {
        FunctionName::parse(self.name_text()).ok()
    }

    /// The other entry that would be the same function.
    pub(super) fn twin(&self) -> Self {
        match self {
            Self::File(name) => Self::Folder(name.clone()),
            Self::Folder(name) => Self::File(name.clone()),
        }
    }

    /// How people find it: `hello.wasm` or `hello/`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::File(name) => format!("{name}.wasm"),
            Self::Folder(name) => format!("{name}/"),
        }
    }

    pub(super) fn manifest_path(&self) -> PathBuf {
        match self {
            Self::File(name) => PathBuf::from(format!("{name}.toml")),
            Self::Folder(name) => Path::new(name).join("function.toml"),
        }
    }

    /// Where the artifact of the function `name` is, if this is its manifest.
    fn artifact_path(&self, name: &FunctionName, manifest: &Manifest) -> PathBuf {
        match self {
            Self::File(name) => PathBuf::from(format!("{name}.wasm")),
            Self::Folder(folder) => Path::new(folder).join(manifest.artifact_path(name)),
        }
    }

    /// Whether anything of it is there that makes it an entry.
    pub(super) fn presence(&self, root: &Path) -> Presence {
        let signs = match self {
            Self::File(name) => [Some(PathBuf::from(format!("{name}.wasm"))), None],
            Self::Folder(_) => {
                let built = |name| self.artifact_path(&name, &Manifest::default());
                [Some(self.manifest_path()), self.function().map(built)]
            }
        };
        let mut presence = Presence::Gone;
        for sign in signs.into_iter().flatten() {
            match std::fs::symlink_metadata(root.join(sign)) {
                Ok(_) => return Presence::There,
                Err(error) if is_nothing(&error) => {}
                Err(_) => presence = Presence::Unknown,
            }
        }
        presence
    }

    /// Its state now, and where its artifact is; `None` when that can't be told. The place that is
    /// `known` spares reading a manifest again that did not change.
    pub(super) fn state(&self, root: &Path, known: Option<Place>) -> (Fingerprint, Option<Place>) {
        let manifest = stamp(&root.join(self.manifest_path()));
        let place = known
            .filter(|place| place.said_by == manifest)
            .or_else(|| self.place(root, manifest));
        let artifact = place.as_ref().map(|place| root.join(&place.artifact));
        let fingerprint = Fingerprint {
            artifact: artifact.and_then(|path| stamp(&path)),
            manifest,
        };
        (fingerprint, place)
    }

    fn place(&self, root: &Path, said_by: Option<Stamp>) -> Option<Place> {
        let name = self.function()?;
        let manifest = match self {
            Self::File(_) => Manifest::default(),
            Self::Folder(_) => match self.read_manifest(root) {
                Ok(manifest) => manifest,
                Err(CandidateError::Changing { .. }) => return None,
                Err(error) if error.fault() == Fault::Host => return None,
                // A manifest that is wrong says nothing.
                Err(_) => Manifest::default(),
            },
        };
        let artifact = self.artifact_path(&name, &manifest);
        Some(Place { artifact, said_by })
    }

    /// Reads it.
    pub(super) fn read(&self, root: &Path) -> Result<Draft, CandidateError> {
        let name = FunctionName::parse(self.name_text())?;
        let manifest = self.read_manifest(root)?;
        let artifact = self.artifact_path(&name, &manifest);
        let wasm = match read_file(root, &artifact, ARTIFACT_BYTES_MAX) {
            Err(CandidateError::Io { what, source })
                if is_nothing(&source) && matches!(self, Self::Folder(_)) =>
            {
                let name = name.to_string();
                return Err(CandidateError::NotBuilt { path: what, name });
            }
            other => other?,
        };
        Ok(Draft {
            name,
            wasm,
            manifest,
        })
    }

    fn read_manifest(&self, root: &Path) -> Result<Manifest, CandidateError> {
        let path = self.manifest_path();
        let bytes = match read_file(root, &path, MANIFEST_BYTES_MAX) {
            Err(CandidateError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
                return Ok(Manifest::default());
            }
            other => other?,
        };
        let file = path.display().to_string();
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(CandidateError::ManifestEncoding { file });
        };
        Manifest::parse(&text).map_err(|source| CandidateError::Manifest { file, source })
    }
}

/// Whether an error says that there is nothing at a path, and not that it can't be looked at.
pub(super) fn is_nothing(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Whether a folder is at this path, and no link to one.
pub(super) fn is_folder(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir())
}

fn stamp(path: &Path) -> Option<Stamp> {
    std::fs::symlink_metadata(path).ok().as_ref().map(Stamp::of)
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            inode: (found.dev(), found.ino()),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

#[cfg(test)]
mod tests;
