//! Appending records to files: `sinks/NAME.jsonl` in the data directory, a line for each record.
//!
//! A line is on disk before its delivery counts. What a full disk cuts short is taken back; what a crash
//! cuts short is ended, and the whole record follows. Files may be moved away at any time, and have a
//! largest size.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::fs::OFlags;

const FOLDER: &str = "sinks";

/// The files of a data directory.
#[derive(Debug)]
pub(super) struct Sinks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    bytes_max: u64,
    /// Held while a line is appended.
    appending: Mutex<()>,
}

/// Why a record is not in its file.
#[derive(Debug, thiserror::Error)]
enum AppendError {
    #[error("the file would have more than {0} bytes; move it away, and the record follows")]
    Full(u64),
    #[error("the file can't be written: {0}")]
    Io(#[from] io::Error),
}

impl AppendError {
    /// The status that an Invoke would have had.
    fn code(&self) -> u16 {
        match self {
            Self::Full(_) => 507,
            Self::Io(_) => 500,
        }
    }
}

impl Sinks {
    pub(super) fn new(data_dir: &Path, bytes_max: u64) -> Self {
        Self(Arc::new(Inner {
            folder: data_dir.join(FOLDER),
            bytes_max,
            appending: Mutex::new(()),
        }))
    }

    /// Appends one record; the error has a status and a reason.
    pub(super) async fn append(&self, name: &str, record: &Bytes) -> Result<(), (u16, String)> {
        let (sinks, name, record) = (Arc::clone(&self.0), name.to_owned(), record.clone());
        let append = move || sinks.append(&name, &record);
        match tokio::task::spawn_blocking(append).await {
            Ok(appended) => appended.map_err(|error| (error.code(), error.to_string())),
            Err(error) => Err((500, error.to_string())),
        }
    }
}

impl Inner {
    fn append(&self, name: &str, record: &[u8]) -> Result<(), AppendError> {
        let _appending = self.appending.lock();
        self.make_folder()?;
        let path = self.folder.join(format!("{name}.jsonl"));
        let is_new = !path.exists();
        let mut file = open(&path)?;
        let length = file.metadata()?.len();
        let mut line = Vec::with_capacity(record.len() + 2);
        if !ends_a_line(&mut file, length)? {
            line.push(b'\n');
        }
        // Between values, where JSON may have ends of lines, a space is as good; in texts it has none.
        line.extend(record.iter().map(|byte| match byte {
            b'\n' | b'\r' => b' ',
            byte => *byte,
        }));
        line.push(b'\n');
        if length.saturating_add(line.len() as u64) > self.bytes_max {
            return Err(AppendError::Full(self.bytes_max));
        }
        if let Err(error) = file.write_all(&line) {
            // If that fails too, the line is ended by the next one.
            drop(file.set_len(length));
            return Err(error.into());
        }
        file.sync_all()?;
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(())
    }

    /// The folder, which nobody else may enter.
    fn make_folder(&self) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(&self.folder) {
            Ok(()) => {
                let parent = self.folder.parent();
                parent.map_or(Ok(()), |parent| File::open(parent)?.sync_all())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A regular file to append to: no link, and nothing that waits for a reader.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits();
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(i32::try_from(flags).unwrap_or(0))
        .open(path)?;
    if file.metadata()?.is_file() {
        return Ok(file);
    }
    Err(io::Error::other("it is no regular file"))
}

/// Whether the last line is whole.
fn ends_a_line(file: &mut File, length: u64) -> io::Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    fn sinks(bytes_max: u64) -> (tempfile::TempDir, Sinks) {
        let root = tempfile::tempdir().unwrap();
        let sinks = Sinks::new(root.path(), bytes_max);
        (root, sinks)
    }

    #[test]
    fn each_record_is_a_line_of_a_private_file() {
        let (root, Sinks(sinks)) = sinks(1 << 20);
        sinks.append("a", b"{\"x\":\n 1}").unwrap();
        sinks.append("a", b"2").unwrap();
        sinks.append("b", b"3").unwrap();
        let path = root.path().join("sinks/a.jsonl");
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"x\":  1}\n2\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let folder = fs::metadata(root.path().join("sinks")).unwrap();
        assert_eq!(folder.mode() & 0o777, 0o700);
        fs::remove_file(&path).unwrap();
        sinks.append("a", b"4").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "4\n");
    }

    #[test]
    fn a_line_that_a_crash_cut_short_is_ended() {
        let (root, Sinks(sinks)) = sinks(1 << 20);
        sinks.append("a", b"1").unwrap();
        let path = root.path().join("sinks/a.jsonl");
        fs::write(&path, "1\n{\"x\"").unwrap();
        sinks.append("a", b"2").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n{\"x\"\n2\n");
    }

    #[test]
    fn a_full_file_takes_nothing_until_it_is_moved_away() {
        let (root, Sinks(sinks)) = sinks(4);
        sinks.append("a", b"1").unwrap();
        sinks.append("a", b"2").unwrap();
        let error = sinks.append("a", b"3").unwrap_err();
        assert_eq!(error.code(), 507);
        assert!(error.to_string().contains("more than 4 bytes"), "{error}");
        let path = root.path().join("sinks/a.jsonl");
        assert_eq!(fs::read_to_string(&path).unwrap(), "1\n2\n");
        fs::rename(&path, root.path().join("old")).unwrap();
        sinks.append("a", b"3").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "3\n");
    }

    #[test]
    fn what_is_no_regular_file_is_not_written_to() {
        let (root, Sinks(sinks)) = sinks(1 << 20);
        sinks.append("a", b"1").unwrap();
        let folder = root.path().join("sinks");
        let elsewhere = root.path().join("elsewhere");
        fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, folder.join("link.jsonl")).unwrap();
        sinks.append("link", b"2").unwrap_err();
        assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "");
        fs::create_dir(folder.join("folder.jsonl")).unwrap();
        sinks.append("folder", b"2").unwrap_err();
    }
}
