//! The key that compiled code is authenticated with: kept in the directory, readable by its owner only.
//!
//! Knows nothing of what it is used for.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;

use super::{TEMPORARY, create_new, flags, remove};
use crate::random;

/// Bytes of the key.
pub(super) const KEY_BYTES: usize = 32;

/// Reads the key, or makes a new one. Without a readable key everything is compiled again.
pub(super) fn key(dir: &Path) -> io::Result<[u8; KEY_BYTES]> {
    let path = dir.join("key");
    match read_key(&path) {
        Ok(Some(key)) => return Ok(key),
        Ok(None) => {}
        Err(error) => tracing::warn!(
            path = %path.display(),
            %error,
            "the code cache's key can't be read; all functions are compiled again"
        ),
    }
    let key = random::secret()?;
    if let Err(error) = replace_key(dir, &path, &key) {
        tracing::warn!(
            path = %path.display(),
            %error,
            "the code cache's key can't be kept; all functions are compiled again at each start"
        );
    }
    Ok(key)
}

fn read_key(path: &Path) -> io::Result<Option<[u8; KEY_BYTES]>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags(OFlags::NOFOLLOW | OFlags::NONBLOCK))
        .open(path);
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.mode() & 0o077 != 0 {
        return Err(io::Error::other("others have access to it"));
    }
    if metadata.len() != KEY_BYTES as u64 {
        return Err(io::Error::other("it has the wrong length"));
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

pub(super) fn replace_key(dir: &Path, path: &Path, key: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!("key.{}{TEMPORARY}", std::process::id()));
    remove(&temporary)?;
    let mut file = create_new(&temporary)?;
    file.write_all(key)?;
    file.sync_all()?;
    fs::rename(&temporary, path)
}
