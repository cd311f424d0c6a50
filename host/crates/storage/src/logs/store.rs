//! Log files: `logs/FUNCTION/NUMBER.log`, lines of `UNIX-MS p|f TEXT`.
//!
//! A line `UNIX-MS s NAME` says to which stream the lines after it belong. It is the first one of a
//! file and is written again at least once in every [`STREAM_EVERY_BYTES`]; files of before there were
//! such lines are read as one stream a day.
//!
//! [`lines`] makes lines and reads one, [`read`] reads files.
//!
//! Files are opened for each write and closed after it, so functions without end do not use up
//! descriptors. A line without its newline was being written when the process died; reading leaves it
//! out, and the next write begins a new line.

mod lines;
mod read;

use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::FunctionName;

use super::LogSettings;
use super::budget::Budget;
use super::buffer::Waiting;
use crate::{StorageError, files};

use self::lines::{Lines, stream_line};

pub(super) use self::lines::{STREAM_EVERY_BYTES, parse_event};
pub(super) use self::read::{read_after, tail};

const EXTENSION: &str = ".log";
/// Fewest files kept: the one being written and the one before.
const SEGMENTS_MIN: u32 = 2;

/// The newest file of a function.
#[derive(Debug, Clone)]
struct Newest {
    segment: u64,
    bytes: u64,
    /// The stream that was named last in it, if we did that.
    stream: Option<Arc<str>>,
}

/// What writes log files.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
    segment_bytes: u64,
    segments_max: u32,
    newest: HashMap<FunctionName, Newest>,
    budget: Budget,
    /// The budget knows of what earlier processes left.
    is_measured: bool,
}

impl Store {
    pub(super) fn new(directory: PathBuf, settings: &LogSettings) -> Self {
        Self {
            directory,
            segment_bytes: settings.segment_bytes.max(1),
            segments_max: settings.segments_per_function.max(SEGMENTS_MIN),
            newest: HashMap::new(),
            budget: Budget::new(settings.total_bytes),
            is_measured: false,
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where the log of `function` is.
    pub(super) fn directory_of(&self, function: &FunctionName) -> PathBuf {
        self.directory.join(function.as_str())
    }

    /// Writes what waited, in files of bounded size.
    pub(super) fn append(
        &mut self,
        function: &FunctionName,
        waiting: &Waiting,
    ) -> Result<(), StorageError> {
        // Most lines are ours and of about this length.
        let mut lines = Lines::with_capacity(waiting.events.len() * 160 + 80);
        if let (Some((_, stream)), Some(event)) = (waiting.streams.first(), waiting.events.first())
        {
            lines.set_stream(event.at_unix_ms, stream);
        }
        lines.push_lost(waiting.lost_before);
        let mut streams = waiting.streams.iter().peekable();
        for (index, event) in waiting.events.iter().enumerate() {
            if let Some((_, stream)) = streams.next_if(|(first, _)| *first <= index) {
                lines.set_stream(event.at_unix_ms, stream);
            }
            // A line is never split; a file is at most one line and one byte longer than asked for.
            if u64::try_from(lines.text.len()).unwrap_or(u64::MAX) >= self.segment_bytes {
                self.write(function, &lines)?;
                lines.restart(event.at_unix_ms);
            }
            lines.push_event(event);
        }
        lines.push_lost(waiting.lost_after);
        if lines.text.is_empty() {
            Ok(())
        } else {
            self.write(function, &lines)
        }
    }

    fn write(&mut self, function: &FunctionName, lines: &Lines) -> Result<(), StorageError> {
        let directory = self.directory_of(function);
        // Until it is known to be written; a failure looks again.
        let mut newest = match self.newest.remove(function) {
            Some(newest) => newest,
            None => open_newest(&directory)?,
        };
        if newest.bytes >= self.segment_bytes {
            newest = Newest {
                segment: newest.segment + 1,
                bytes: 0,
                stream: None,
            };
        }
        let path = path(&directory, newest.segment);
        let is_new = newest.bytes == 0;
        let mut text = Cow::Borrowed(lines.text.as_str());
        if let Some(stream) = &lines.first_stream
            && newest.stream.as_ref() != Some(stream)
        {
            let mut named = stream_line(lines.first_ms, stream);
            named.push_str(&text);
            text = Cow::Owned(named);
        }
        files::private()
            .create(true)
            .truncate(false)
            .open(&path)
            .and_then(|file| append_whole(&file, newest.bytes, &text))
            .map_err(StorageError::io("writing", &path))?;
        let bytes = u64::try_from(text.len()).unwrap_or(u64::MAX);
        let stream_bytes = u64::try_from(STREAM_EVERY_BYTES).unwrap_or(u64::MAX);
        // Named again in each piece of a file, wherever a write ends.
        let is_same_piece = newest.bytes / stream_bytes == (newest.bytes + bytes) / stream_bytes;
        if is_same_piece {
            newest.stream = lines.stream.clone().or(newest.stream);
        } else {
            newest.stream = None;
        }
        newest.bytes += bytes;
        self.newest.insert(function.clone(), newest);
        self.budget.add(function, bytes);
        if is_new {
            self.remove_oldest(function)
        } else {
            Ok(())
        }
    }

    fn remove_oldest(&mut self, function: &FunctionName) -> Result<(), StorageError> {
        let segments = list(&self.directory_of(function))?;
        let most = usize::try_from(self.segments_max).unwrap_or(usize::MAX);
        for (_, path) in segments.iter().take(segments.len().saturating_sub(most)) {
            files::remove(path)?;
        }
        self.measure(function)
    }

    /// Removes the oldest files of the largest logs while all together are too large.
    pub(super) fn keep_within_budget(&mut self) -> Result<(), StorageError> {
        if !self.is_measured {
            for (name, _) in files::list(&self.directory)? {
                if let Ok(function) = FunctionName::parse(&name) {
                    self.measure(&function)?;
                }
            }
            self.is_measured = true;
        }
        while let Some(function) = self.budget.to_shorten() {
            let before = self.budget.of(&function);
            let segments = list(&self.directory_of(&function))?;
            if let [(segment, _)] = segments.as_slice() {
                // An empty one keeps the number, so that cursors go on.
                self.newest.remove(&function);
                let next = path(&self.directory_of(&function), segment + 1);
                files::private()
                    .create(true)
                    .truncate(false)
                    .open(&next)
                    .map_err(StorageError::io("writing", &next))?;
            }
            if let Some((_, oldest)) = segments.first() {
                files::remove(oldest)?;
            }
            self.measure(&function)?;
            if self.budget.of(&function) >= before {
                break;
            }
        }
        Ok(())
    }

    fn measure(&mut self, function: &FunctionName) -> Result<(), StorageError> {
        let segments = list(&self.directory_of(function))?;
        let sizes = segments.iter().map(|(_, path)| fs::metadata(path));
        // One that is gone takes nothing.
        let bytes = sizes.flatten().map(|metadata| metadata.len()).sum();
        self.budget.set(function, bytes);
        Ok(())
    }

    /// Removes the log of `function`.
    pub(super) fn remove(&mut self, function: &FunctionName) -> Result<(), StorageError> {
        self.newest.remove(function);
        self.budget.set(function, 0);
        let directory = self.directory_of(function);
        match fs::remove_dir_all(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(StorageError::io("removing", &directory)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Adds all of `lines` at `offset`, or nothing.
fn append_whole(file: &File, offset: u64, lines: &str) -> io::Result<()> {
    // Also removes what another failure left.
    file.set_len(offset)?;
    let written = file.write_all_at(lines.as_bytes(), offset);
    if written.is_err() {
        file.set_len(offset)?;
    }
    written
}

/// Finds the newest file of a log, and gives a line that a crash cut short its end.
fn open_newest(directory: &Path) -> Result<Newest, StorageError> {
    files::create_dir(directory)?;
    let Some((segment, path)) = list(directory)?.pop() else {
        return Ok(Newest {
            segment: 1,
            bytes: 0,
            stream: None,
        });
    };
    let repair = || {
        let mut file = files::private().append(true).open(&path)?;
        let bytes = file.metadata()?.len();
        let mut last = [b'\n'];
        if bytes > 0 {
            file.read_exact_at(&mut last, bytes - 1)?;
        }
        if last == [b'\n'] {
            return Ok(bytes);
        }
        file.write_all(b"\n")?;
        Ok(bytes + 1)
    };
    let bytes = repair().map_err(StorageError::io("opening", &path))?;
    Ok(Newest {
        segment,
        bytes,
        stream: None,
    })
}

fn path(directory: &Path, segment: u64) -> PathBuf {
    directory.join(format!("{segment:010}{EXTENSION}"))
}

/// The files of a log, oldest first.
pub(super) fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StorageError> {
    if !directory.is_dir() {
        return Ok(Vec::new());
    }
    let mut segments = files::list(directory)?
        .into_iter()
        .filter_map(|(name, path)| Some((name.strip_suffix(EXTENSION)?.parse().ok()?, path)))
        .collect::<Vec<(u64, PathBuf)>>();
    segments.sort();
    Ok(segments)
}
