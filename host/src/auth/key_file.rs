//! The key file: 32 random bytes as 64 hexadecimal digits, which seal the secrets in the data directory.
//!
//! It lies outside the data directory, so that a copy of one is no copy of the other, and nobody but its
//! owner may read it. A secret that people share with others ([`secret_at`]) is kept in such a file as well,
//! wherever that lies.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::process::{Uid, geteuid};
use zeroize::Zeroizing;

use super::seal::Sealer;
use super::secret::Secret;

/// Bytes of a key file that are read: more than any has.
const BYTES_MAX: u64 = 4_096;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyFileError {
    /// The file can't be read or made.
    #[error("the key file {} can't be {doing}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    /// Somebody else may read it.
    #[error(
        "the key file {0} can be read by others than its owner (mode {1:03o}); run `chmod 600 {0}`",
        path.display(), mode
    )]
    Open { path: PathBuf, mode: u32 },
    /// It is somebody else's, who can change it and who reads it.
    #[error(
        "the key file {} belongs to the user with the number {owner}, not to the one that this server runs as; run `chown` or say where its own is (key_file, MAYFLY_KEY_FILE)",
        path.display()
    )]
    Owner { path: PathBuf, owner: u32 },
    /// It holds something else.
    #[error("the key file {} must hold 64 hexadecimal digits and nothing else", .0.display())]
    Content(PathBuf),
    /// Where the secrets are, the key must not be.
    #[error(
        "the key file {} lies in the data directory, whose secrets it seals; keep it elsewhere (key_file, MAYFLY_KEY_FILE)",
        .0.display()
    )]
    InDataDir(PathBuf),
    /// There are secrets, and their key is gone.
    #[error(
        "the key file {} is not there, and without it the secrets in the data directory can't be opened; put it back, or say where it is with key_file or MAYFLY_KEY_FILE",
        .0.display()
    )]
    Missing(PathBuf),
}

/// The key in the file at `path`. When there is none and `may_make` says that nothing was sealed yet, a
/// new one is made.
pub(crate) fn open(path: &Path, data_dir: &Path, may_make: bool) -> Result<Sealer, KeyFileError> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    // The file itself too: its name may be a link.
    let is_inside = |path: &Path| fs::canonicalize(path).is_ok_and(|at| at.starts_with(data_dir));
    if is_inside(folder) || is_inside(path) {
        return Err(KeyFileError::InDataDir(path.to_owned()));
    }
    if let Some(sealer) = read(path, geteuid())? {
        return Ok(sealer);
    }
    if !may_make {
        return Err(KeyFileError::Missing(path.to_owned()));
    }
    make(path).map_err(|source| KeyFileError::Io {
        path: path.to_owned(),
        doing: "made",
        source,
    })?;
    // Another server may have been quicker; what is there now is the key of both.
    read(path, geteuid())?.ok_or_else(|| KeyFileError::Missing(path.to_owned()))
}

/// The digits in the file at `path`, as a secret of its own; made when there is no such file.
///
/// # Errors
///
/// Those of a key file.
pub(crate) fn secret_at(path: &Path) -> Result<Secret, KeyFileError> {
    if read_digits(path, geteuid())?.is_none() {
        make(path).map_err(|source| KeyFileError::Io {
            path: path.to_owned(),
            doing: "made",
            source,
        })?;
    }
    secret_if_any(path)?.ok_or_else(|| KeyFileError::Missing(path.to_owned()))
}

/// The digits in the file at `path`, if there is such a file.
///
/// # Errors
///
/// Those of a key file.
pub(crate) fn secret_if_any(path: &Path) -> Result<Option<Secret>, KeyFileError> {
    let digits = read_digits(path, geteuid())?;
    Ok(digits.map(|digits| Secret::new(digits.to_string())))
}

/// The key in a file that must belong to `user`.
fn read(path: &Path, user: Uid) -> Result<Option<Sealer>, KeyFileError> {
    let Some(digits) = read_digits(path, user)? else {
        return Ok(None);
    };
    let content = || KeyFileError::Content(path.to_owned());
    let mut key = Zeroizing::new([0; 32]);
    for (byte, at) in key.iter_mut().zip((0..64).step_by(2)) {
        let two = digits.get(at..at + 2).ok_or_else(content)?;
        *byte = u8::from_str_radix(two, 16).map_err(|_| content())?;
    }
    Ok(Some(Sealer::new(&key)))
}

/// The 64 hexadecimal digits in a file that must belong to `user`.
fn read_digits(path: &Path, user: Uid) -> Result<Option<Zeroizing<String>>, KeyFileError> {
    let failed = |source| KeyFileError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    if metadata.mode() & 0o077 != 0 {
        return Err(KeyFileError::Open {
            path: path.to_owned(),
            mode: metadata.mode() & 0o777,
        });
    }
    if metadata.uid() != user.as_raw() {
        return Err(KeyFileError::Owner {
            path: path.to_owned(),
            owner: metadata.uid(),
        });
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(BYTES_MAX).read_to_string(&mut text);
    let content = || KeyFileError::Content(path.to_owned());
    match read {
        Err(error) if error.kind() == io::ErrorKind::InvalidData => return Err(content()),
        Err(error) => return Err(failed(error)),
        Ok(_) => {}
    }
    let digits = text.trim();
    if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(content());
    }
    Ok(Some(Zeroizing::new(digits.to_owned())))
}

/// Makes the file whole: under another name first, then under its own if nobody has taken it.
fn make(path: &Path) -> io::Result<()> {
    let key: Zeroizing<[u8; 32]> = Zeroizing::new(super::generate::bytes());
    let mut text = Zeroizing::new(String::with_capacity(65));
    for byte in key.iter() {
        use std::fmt::Write as _;

        write!(text, "{byte:02x}").map_err(io::Error::other)?;
    }
    text.push('\n');
    let temporary = temporary_beside(path);
    let written = write_private(&temporary, text.as_bytes());
    let linked = written.and_then(|()| fs::hard_link(&temporary, path));
    fs::remove_file(&temporary).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder(path),
    }
}

/// A name for a file that is to be moved to `path`, which nobody else uses.
pub(super) fn temporary_beside(path: &Path) -> PathBuf {
    let number = u64::from_be_bytes(super::generate::bytes());
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{number:016x}.tmp"));
    PathBuf::from(temporary)
}

/// Writes a new file of mode 0600, durably. One that is there, whoever made it, is an error.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes the name of a new file durable.
pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => File::open(".")?.sync_all(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_made_once_for_its_owner_alone_and_opens_what_it_sealed() {
        let root = tempfile::tempdir().unwrap();
        let (path, data) = (root.path().join("key"), root.path().join("data"));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (path, data) = (path.clone(), data.clone());
                std::thread::spawn(move || open(&path, &data, true).unwrap())
            })
            .collect();
        let sealers: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
        let sealed = sealers[0].seal(b"x", "c");
        for sealer in &sealers {
            assert_eq!(sealer.open(&sealed, "c").unwrap().as_slice(), b"x");
        }
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            1,
            "nothing is left over"
        );
        let again = open(&path, &data, false).unwrap();
        assert_eq!(again.open(&sealed, "c").unwrap().as_slice(), b"x");
    }

    #[test]
    fn a_key_that_others_can_read_or_that_is_none_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let (path, data) = (root.path().join("key"), root.path().join("data"));
        let refusal = || open(&path, &data, false).unwrap_err().to_string();
        assert!(refusal().contains("is not there"), "{}", refusal());
        write_private(&path, "0f".repeat(32).as_bytes()).unwrap();
        open(&path, &data, false).unwrap();
        let taken = write_private(&path, b"x").unwrap_err();
        assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
        let somebody = Uid::from_raw(geteuid().as_raw() + 1);
        let refused = read(&path, somebody).unwrap_err().to_string();
        assert!(refused.contains("belongs to the user"), "{refused}");
        for mode in [0o640, 0o604, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refusal = refusal();
            assert!(
                refusal.contains(&format!("chmod 600 {}", path.display())),
                "{refusal}"
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "0f", "xy".repeat(32).as_str(), "0f".repeat(33).as_str()] {
            fs::write(&path, bad).unwrap();
            assert!(refusal().contains("64 hexadecimal digits"), "{bad}");
        }
        fs::write(&path, b"\xff\xfe").unwrap();
        assert!(refusal().contains("64 hexadecimal digits"));
        fs::create_dir(&data).unwrap();
        let data = fs::canonicalize(&data).unwrap();
        let inside = open(&data.join("key"), &data, true).unwrap_err();
        assert!(inside.to_string().contains("lies in the data directory"));
        let link = root.path().join("link");
        write_private(&data.join("key"), "0f".repeat(32).as_bytes()).unwrap();
        std::os::unix::fs::symlink(data.join("key"), &link).unwrap();
        let inside = open(&link, &data, false).unwrap_err();
        assert!(inside.to_string().contains("lies in the data directory"));
    }
}
