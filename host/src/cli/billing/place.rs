//! Where an invoice or an export goes: stdout, or a file that appears whole.
//!
//! Knows nothing of what is written.

use std::fs::{self, File};
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, Write};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Something to write to. A file is written beside its place and moved there by [`Place::finish`];
/// without that nothing is left of it.
pub(super) struct Place {
    out: Out,
    moves: Option<Move>,
}

enum Out {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<File>),
}

/// A file that is to replace another one.
struct Move {
    from: PathBuf,
    to: PathBuf,
}

impl Place {
    /// Opens `path`, or stdout without one. `is_binary` refuses a terminal.
    pub(super) fn open(path: Option<&Path>, is_binary: bool) -> anyhow::Result<Self> {
        let Some(path) = path else {
            anyhow::ensure!(
                !(is_binary && io::stdout().is_terminal()),
                "Parquet is not for a terminal; name a file with --output, or pipe it"
            );
            return Ok(Self {
                out: Out::Stdout(BufWriter::new(io::stdout())),
                moves: None,
            });
        };
        let failed = || format!("writing {} failed", path.display());
        match fs::metadata(path) {
            Ok(known) if known.is_dir() => {
                anyhow::bail!("writing {} failed: it is a folder", path.display())
            }
            // A device or a pipe is written to and not replaced.
            Ok(known) if !known.is_file() => {
                let file = fs::OpenOptions::new().write(true).open(path);
                return Ok(Self {
                    out: Out::File(BufWriter::new(file.with_context(failed)?)),
                    moves: None,
                });
            }
            _ => {}
        }
        let mut from = path.as_os_str().to_owned();
        from.push(format!(".part-{}", std::process::id()));
        let from = PathBuf::from(from);
        let file = File::create_new(&from).with_context(failed)?;
        Ok(Self {
            out: Out::File(BufWriter::new(file)),
            moves: Some(Move {
                from,
                to: path.to_owned(),
            }),
        })
    }

    /// Writes what waits, and gives a file its name.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        self.flush().context("writing failed")?;
        if let Some(Move { from, to }) = &self.moves {
            fs::rename(from, to).with_context(|| format!("writing {} failed", to.display()))?;
            self.moves = None;
        }
        Ok(())
    }

    /// Whether an error is only that whoever read our stdout has left.
    pub(super) fn is_left(path: Option<&Path>, error: &anyhow::Error) -> bool {
        let is_broken = |cause: &(dyn std::error::Error + 'static)| {
            let io = cause.downcast_ref::<io::Error>();
            io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
        };
        path.is_none() && error.chain().any(is_broken)
    }
}

impl Write for Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.out {
            Out::Stdout(out) => out.write(bytes),
            Out::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.out {
            Out::Stdout(out) => out.flush(),
            Out::File(out) => out.flush(),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(Move { from, .. }) = &self.moves {
            drop(fs::remove_file(from));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("invoice.csv");
        let mut place = Place::open(Some(&path), false).unwrap();
        place.write_all(b"half").unwrap();
        drop(place);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        for text in ["one", "two"] {
            let mut place = Place::open(Some(&path), true).unwrap();
            place.write_all(text.as_bytes()).unwrap();
            place.finish().unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_place_that_can_not_be_written_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path().to_owned(), dir.path().join("no/invoice.csv")] {
            let error = Place::open(Some(&path), false).err().unwrap();
            assert!(
                error.to_string().contains(&path.display().to_string()),
                "{error}"
            );
        }
    }
}
