//! What lies in the drop folder: entries that could be functions, and how they are read.
//!
//! Reading never blocks and never follows a link: a FIFO, a device or a symbolic link is refused by
//! what it is, before a byte of it is read. Knows nothing of when to look; see
//! [`super::drop_folder`].

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use domain::FunctionName;
use domain::names::NameError;
use rustix::fs::{Mode, OFlags};

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
    /// `NAME/` with `function.toml`.
    Folder(String),
}

/// What tells one state of an entry from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    artifact: Option<Stamp>,
    manifest: Option<Stamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why an entry is no function. Each text is for the person who dropped it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CandidateError {
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

impl Entry {
    /// The entry that a directory entry of the drop folder stands for, if it could be one.
    pub(super) fn recognise(root: &Path, file_name: &str) -> Option<Self> {
        if file_name.starts_with('.') {
            return None;
        }
        if let Some(stem) = file_name.strip_suffix(".wasm") {
            return Some(Self::File(stem.to_owned()));
        }
        let manifest = root.join(file_name).join("function.toml");
        let is_function = std::fs::symlink_metadata(manifest).is_ok();
        is_function.then(|| Self::Folder(file_name.to_owned()))
    }

    /// The entry that a change of the file `relative` to the drop folder may concern.
    pub(super) fn concerned(root: &Path, relative: &Path) -> Option<Self> {
        let mut parts = relative.iter().map(|part| part.to_str());
        let first = parts.next()??;
        if first.starts_with('.') {
            return None;
        }
        if parts.next().is_some() || root.join(first).is_dir() {
            return Some(Self::Folder(first.to_owned()));
        }
        let stem = first
            .strip_suffix(".wasm")
            .or_else(|| first.strip_suffix(".toml"))?;
        Some(Self::File(stem.to_owned()))
    }

    /// The name as it is written in the folder, valid or not.
    pub(super) fn name_text(&self) -> &str {
        match self {
            Self::File(name) | Self::Folder(name) => name,
        }
    }

    /// How people find it: `hello.wasm` or `hello/`.
    pub(super) fn label(&self) -> String {
        match self {
            Self::File(name) => format!("{name}.wasm"),
            Self::Folder(name) => format!("{name}/"),
        }
    }

    fn manifest_path(&self) -> PathBuf {
        match self {
            Self::File(name) => PathBuf::from(format!("{name}.toml")),
            Self::Folder(name) => Path::new(name).join("function.toml"),
        }
    }

    fn default_artifact_path(&self) -> PathBuf {
        match self {
            Self::File(name) => PathBuf::from(format!("{name}.wasm")),
            Self::Folder(name) => Path::new(name).join("build").join(format!("{name}.wasm")),
        }
    }

    /// Where the artifact is: where the manifest says, or where `mayfly build` puts it.
    pub(super) fn artifact_path(&self, root: &Path) -> PathBuf {
        let named = match self {
            Self::File(_) => None,
            Self::Folder(name) => {
                let manifest = self.read_manifest(root).ok();
                manifest
                    .and_then(|m| m.build.artifact)
                    .map(|path| Path::new(name).join(path))
            }
        };
        named.unwrap_or_else(|| self.default_artifact_path())
    }

    /// Whether anything of it is there at all.
    pub(super) fn exists(&self, root: &Path) -> bool {
        let sign = match self {
            Self::File(_) => self.default_artifact_path(),
            Self::Folder(_) => self.manifest_path(),
        };
        std::fs::symlink_metadata(root.join(sign)).is_ok()
    }

    /// Its state now.
    pub(super) fn fingerprint(&self, root: &Path) -> Fingerprint {
        let stamp = |path: PathBuf| {
            let found = std::fs::symlink_metadata(root.join(path)).ok()?;
            Some(Stamp {
                inode: (found.dev(), found.ino()),
                size: found.size(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            })
        };
        Fingerprint {
            artifact: stamp(self.artifact_path(root)),
            manifest: stamp(self.manifest_path()),
        }
    }

    /// Reads it.
    pub(super) fn read(&self, root: &Path) -> Result<Draft, CandidateError> {
        let name = FunctionName::parse(self.name_text())?;
        let manifest = self.read_manifest(root)?;
        let artifact = self.artifact_path(root);
        let what = artifact.display().to_string();
        let wasm = match read_regular(&root.join(&artifact), &what, ARTIFACT_BYTES_MAX) {
            Err(CandidateError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound
                    && matches!(self, Self::Folder(_)) =>
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
        let file = path.display().to_string();
        let bytes = match read_regular(&root.join(&path), &file, MANIFEST_BYTES_MAX) {
            Err(CandidateError::Io { source, .. })
                if source.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(Manifest::default());
            }
            other => other?,
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return Err(CandidateError::ManifestEncoding { file });
        };
        Manifest::parse(&text).map_err(|source| CandidateError::Manifest { file, source })
    }
}

/// Reads a whole regular file, without following a link and without waiting for a writer.
fn read_regular(path: &Path, what: &str, limit: u64) -> Result<Vec<u8>, CandidateError> {
    let io = |source| CandidateError::Io {
        what: what.to_owned(),
        source,
    };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(descriptor) => File::from(descriptor),
        Err(rustix::io::Errno::LOOP) => {
            return Err(CandidateError::NotAFile {
                what: what.to_owned(),
                kind: "a symbolic link",
            });
        }
        Err(rustix::io::Errno::NXIO) => {
            return Err(CandidateError::NotAFile {
                what: what.to_owned(),
                kind: "a socket",
            });
        }
        Err(errno) => return Err(io(errno.into())),
    };
    let before = file.metadata().map_err(io)?;
    if !before.is_file() {
        let kind = kind_of(&before);
        return Err(CandidateError::NotAFile {
            what: what.to_owned(),
            kind,
        });
    }
    let too_large = || CandidateError::TooLarge {
        what: what.to_owned(),
        limit,
    };
    if before.len() > limit {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(before.len()).unwrap_or(0));
    (&file)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(io)?;
    if bytes.len() as u64 > limit {
        return Err(too_large());
    }
    let after = file.metadata().map_err(io)?;
    let changed = (before.mtime(), before.mtime_nsec()) != (after.mtime(), after.mtime_nsec());
    if changed || after.len() != bytes.len() as u64 {
        return Err(CandidateError::Changing {
            what: what.to_owned(),
        });
    }
    Ok(bytes)
}

fn kind_of(metadata: &std::fs::Metadata) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;

    let kind = metadata.file_type();
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a named pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[track_caller]
    fn check_refused(root: &Path, entry: &Entry, reason: &str) {
        let error = entry.read(root).unwrap_err();
        assert_eq!(
            crate::invoke::chain(&error).split(": ").next().unwrap(),
            reason
        );
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_by_what_it_is_and_never_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        let file = |name: &str| Entry::File(name.to_owned());
        symlink("/etc/passwd", root.join("link.wasm")).unwrap();
        symlink("loop.wasm", root.join("loop.wasm")).unwrap();
        fs::create_dir(root.join("dir.wasm")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe.wasm"),
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("sock.wasm")).unwrap();

        let only = "only a regular file can be a function";
        check_refused(
            root,
            &file("link"),
            &format!("link.wasm is a symbolic link; {only}"),
        );
        check_refused(
            root,
            &file("loop"),
            &format!("loop.wasm is a symbolic link; {only}"),
        );
        check_refused(root, &file("dir"), &format!("dir.wasm is a folder; {only}"));
        check_refused(
            root,
            &file("pipe"),
            &format!("pipe.wasm is a named pipe; {only}"),
        );
        check_refused(
            root,
            &file("sock"),
            &format!("sock.wasm is a socket; {only}"),
        );
    }

    #[test]
    fn entries_are_wasm_files_and_folders_with_a_manifest() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("f")).unwrap();
        fs::create_dir_all(root.join("target")).unwrap();
        fs::write(root.join("f/function.toml"), "").unwrap();
        let recognise = |name| Entry::recognise(root, name);
        assert_eq!(recognise("a.wasm"), Some(Entry::File("a".to_owned())));
        assert_eq!(recognise("f"), Some(Entry::Folder("f".to_owned())));
        for other in [
            ".a.wasm",
            "target",
            "a.toml",
            "Cargo.toml",
            "a.wasm~",
            "missing",
        ] {
            assert_eq!(recognise(other), None, "{other}");
        }
        let concerned = |path| Entry::concerned(root, Path::new(path));
        assert_eq!(concerned("a.toml"), Some(Entry::File("a".to_owned())));
        assert_eq!(
            concerned("f/build/f.wasm"),
            Some(Entry::Folder("f".to_owned()))
        );
        assert_eq!(concerned("f"), Some(Entry::Folder("f".to_owned())));
        assert_eq!(concerned(".a.swp"), None);
    }

    #[test]
    fn a_folder_that_is_not_built_says_what_to_do() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("f")).unwrap();
        fs::write(root.path().join("f/function.toml"), "").unwrap();
        let entry = Entry::Folder("f".to_owned());
        check_refused(
            root.path(),
            &entry,
            "there is no artifact at f/build/f.wasm; run `mayfly build f`",
        );
        fs::write(root.path().join("f/function.toml"), "memory_mb = 0").unwrap();
        let error = entry.read(root.path()).unwrap_err().to_string();
        assert!(error.starts_with("f/function.toml:1:"), "{error}");
    }
}
