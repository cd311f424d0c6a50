//! Reads a file of the drop folder, and nothing that is not in it.
//!
//! Reading never blocks, and no part of the path below the folder may be a link: a FIFO, a device or
//! a symbolic link is refused by what it is, before a byte of it is read. The folder itself may be
//! reached through links; the operator named it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Component, Path};

use rustix::fs::{FileType, Mode, OFlags, ResolveFlags, fstat, open, openat, openat2};
use rustix::io::Errno;

use super::candidate::CandidateError;

/// How a file is opened: without following a link, and without waiting for a writer.
const READ: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// How something on the way to it is opened: itself if it is a link.
const PASS: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Reads the whole regular file `path` below the folder `root`, if it has at most `limit` bytes.
///
/// # Errors
///
/// [`CandidateError`]: what it is instead, or why it can't be read.
pub(crate) fn read_file(root: &Path, path: &Path, limit: u64) -> Result<Vec<u8>, CandidateError> {
    let what = || path.display().to_string();
    let io = |source| CandidateError::Io {
        what: what(),
        source,
    };
    let file = open_below(root, path).map_err(|errno| refused(root, path, errno))?;
    let file = File::from(file);
    let before = file.metadata().map_err(io)?;
    if !before.is_file() {
        let kind = kind_of(before.file_type());
        return Err(CandidateError::NotAFile { what: what(), kind });
    }
    let too_large = || CandidateError::TooLarge {
        what: what(),
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
        return Err(CandidateError::Changing { what: what() });
    }
    Ok(bytes)
}

/// Opens `path` below `root`; [`Errno::LOOP`] when a part of it is a link.
fn open_below(root: &Path, path: &Path) -> Result<OwnedFd, Errno> {
    let folder = open(
        root,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(&folder, path, READ, Mode::empty(), resolve) {
        // An old kernel, or a container's filter that does not know the call.
        Err(Errno::NOSYS | Errno::PERM) => open_part_by_part(folder, path),
        opened => opened,
    }
}

fn open_part_by_part(mut folder: OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        let Component::Normal(part) = part else {
            return Err(Errno::XDEV);
        };
        if parts.peek().is_none() {
            return openat(&folder, part, READ, Mode::empty());
        }
        folder = openat(&folder, part, PASS, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&folder)?.st_mode) == FileType::Symlink {
            return Err(Errno::LOOP);
        }
    }
    Err(Errno::INVAL)
}

/// Why `path` could not be opened.
fn refused(root: &Path, path: &Path, errno: Errno) -> CandidateError {
    let what = path.display().to_string();
    match errno {
        Errno::LOOP => match linked_folder(root, path) {
            Some(folder) => CandidateError::LinkedFolder {
                folder: folder.display().to_string(),
            },
            None => CandidateError::NotAFile {
                what,
                kind: "a symbolic link",
            },
        },
        Errno::NXIO => CandidateError::NotAFile {
            what,
            kind: "a socket",
        },
        other => CandidateError::Io {
            what,
            source: other.into(),
        },
    }
}

/// The first folder on the way to `path` that is a link.
fn linked_folder<'a>(root: &Path, path: &'a Path) -> Option<&'a Path> {
    let is_link =
        |part: &&Path| std::fs::symlink_metadata(root.join(part)).is_ok_and(|m| m.is_symlink());
    path.ancestors()
        .skip(1)
        .filter(|part| !part.as_os_str().is_empty())
        .filter(is_link)
        .last()
}

fn kind_of(kind: std::fs::FileType) -> &'static str {
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
    fn check_refused(root: &Path, path: &str, reason: &str) {
        let error = read_file(root, Path::new(path), 100).unwrap_err();
        assert_eq!(error.to_string(), reason);
    }

    #[test]
    fn what_is_not_a_regular_file_is_refused_by_what_it_is_and_never_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        symlink("/etc/passwd", root.join("link")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        fs::create_dir(root.join("dir")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe"),
            FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("sock")).unwrap();
        for (path, kind) in [
            ("link", "a symbolic link"),
            ("loop", "a symbolic link"),
            ("dir", "a folder"),
            ("pipe", "a named pipe"),
            ("sock", "a socket"),
        ] {
            let only = "only a regular file can be a function";
            check_refused(root, path, &format!("{path} is {kind}; {only}"));
        }
    }

    #[test]
    fn a_folder_that_is_a_link_is_refused_by_its_path() {
        let elsewhere = tempfile::tempdir().unwrap();
        fs::create_dir(elsewhere.path().join("out")).unwrap();
        fs::write(elsewhere.path().join("out/f.wasm"), "x").unwrap();
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir(root.join("f")).unwrap();
        symlink(elsewhere.path(), root.join("x")).unwrap();
        symlink(elsewhere.path().join("out"), root.join("f/out")).unwrap();
        let only = "a function's files must lie in the functions folder itself";
        check_refused(
            root,
            "x/out/f.wasm",
            &format!("x is a symbolic link; {only}"),
        );
        check_refused(
            root,
            "f/out/f.wasm",
            &format!("f/out is a symbolic link; {only}"),
        );
    }

    #[test]
    fn the_folder_itself_may_be_a_link() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("real")).unwrap();
        fs::write(root.path().join("real/f.wasm"), "x").unwrap();
        symlink("real", root.path().join("functions")).unwrap();
        let read = read_file(&root.path().join("functions"), Path::new("f.wasm"), 1);
        assert_eq!(read.unwrap(), b"x");
    }

    #[test]
    fn opening_part_by_part_refuses_what_one_call_refuses() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        fs::create_dir_all(root.join("f/build")).unwrap();
        fs::write(root.join("f/build/f.wasm"), "x").unwrap();
        fs::write(root.join("file"), "x").unwrap();
        symlink("f", root.join("x")).unwrap();
        symlink("f/build/f.wasm", root.join("link")).unwrap();
        let open_slowly = |path: &str| {
            let folder = open(root, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
            open_part_by_part(folder, Path::new(path)).map(drop)
        };
        for path in [
            "f/build/f.wasm",
            "file",
            "link",
            "x/build/f.wasm",
            "file/f.wasm",
            "none/f.wasm",
            "f/none",
            "../f",
            "/etc/passwd",
        ] {
            let opened = open_below(root, Path::new(path)).map(drop);
            assert_eq!(open_slowly(path), opened, "{path}");
        }
    }
}
