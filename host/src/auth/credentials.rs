//! The credentials file: one key, in the form that AWS clients read.
//!
//! A profile is a section such as `[mayfly]` with `aws_access_key_id`, `aws_secret_access_key`, `region`
//! and `endpoint_url`. Other sections, other keys and comments of the file are kept as they are.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::key_file::{sync_folder, temporary_beside, write_private};
use super::secret::Secret;

/// The profile that the server writes and the commands read.
pub(crate) const PROFILE: &str = "mayfly";

/// Bytes of a file that are read.
const BYTES_MAX: u64 = 1 << 20;

const ROOT_COMMENT: &str =
    "# Written by Mayfly at its first start. Whoever has this key owns the account.\n";

/// A key and where to use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret,
    pub(crate) region: Option<String>,
    pub(crate) endpoint_url: Option<String>,
}

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CredentialsError {
    #[error("the credentials file {} is not there", .0.display())]
    Missing(PathBuf),
    #[error("the credentials file {} can't be {doing}", path.display())]
    Io {
        path: PathBuf,
        doing: &'static str,
        source: io::Error,
    },
    #[error("the credentials file {} has no profile [{PROFILE}]", .0.display())]
    NoProfile(PathBuf),
    #[error("the profile [{PROFILE}] in {} has no {key}", path.display())]
    NoKey { path: PathBuf, key: &'static str },
}

/// The profile `mayfly` of the file at `path`.
pub(crate) fn read(path: &Path) -> Result<Profile, CredentialsError> {
    let text = read_text(path)?.ok_or_else(|| CredentialsError::Missing(path.to_owned()))?;
    let mut values: [Option<&str>; 4] = [None; 4];
    let mut is_inside = false;
    let mut was_found = false;
    for line in text.lines().map(str::trim) {
        if let Some(name) = section(line) {
            is_inside = name == PROFILE;
            was_found |= is_inside;
        } else if is_inside && let Some((place, value)) = pair(line) {
            // The last one counts, as it does for AWS clients.
            if let Some(found) = values.get_mut(place) {
                *found = Some(value).filter(|value| !value.is_empty());
            }
        }
    }
    if !was_found {
        return Err(CredentialsError::NoProfile(path.to_owned()));
    }
    let [id, secret, region, endpoint_url] = values;
    let required = |value: Option<&str>, key: &'static str| {
        value
            .map(str::to_owned)
            .ok_or_else(|| CredentialsError::NoKey {
                path: path.to_owned(),
                key,
            })
    };
    Ok(Profile {
        access_key_id: required(id, KEYS[0])?,
        secret: Secret::new(required(secret, KEYS[1])?),
        region: region.map(str::to_owned),
        endpoint_url: endpoint_url.map(str::to_owned),
    })
}

/// What to say of a file at `path` that others than its owner can read.
pub(crate) fn warning(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    let path = path.display();
    (mode & 0o077 != 0).then(|| {
        format!(
            "the credentials file {path} can be read by others than its owner (mode {mode:03o}); run `chmod 600 {path}`"
        )
    })
}

/// Writes the profile `mayfly` into the file at `path`, of mode 0600, and leaves everything else in it.
pub(crate) fn write(path: &Path, profile: &Profile) -> Result<(), CredentialsError> {
    write_as(path, PROFILE, ROOT_COMMENT, profile)
}

/// Adds the key of a user as the profile `name`.
pub(crate) fn add(path: &Path, name: &str, profile: &Profile) -> Result<(), CredentialsError> {
    write_as(path, name, "", profile)
}

/// Whether the file at `path` has a profile `name`.
pub(crate) fn has(path: &Path, name: &str) -> Result<bool, CredentialsError> {
    let text = read_text(path)?;
    let text = text.as_deref().map_or("", String::as_str);
    Ok(text.lines().any(|line| section(line.trim()) == Some(name)))
}

/// A profile as it stands in a file.
pub(crate) fn section_text(name: &str, profile: &Profile) -> Zeroizing<String> {
    let values = [
        Some(profile.access_key_id.as_str()),
        Some(profile.secret.expose()),
        profile.region.as_deref(),
        profile.endpoint_url.as_deref(),
    ];
    let mut text = Zeroizing::new(format!("[{name}]\n"));
    for (key, value) in KEYS.iter().zip(values) {
        if let Some(value) = value {
            text.push_str(&format!("{key} = {value}\n"));
        }
    }
    text
}

fn write_as(
    path: &Path,
    name: &str,
    comment: &str,
    profile: &Profile,
) -> Result<(), CredentialsError> {
    let before = read_text(path)?;
    let before = before.as_deref().map_or("", String::as_str);
    let after = replaced(before, name, comment, &section_text(name, profile));
    let failed = |source| CredentialsError::Io {
        path: path.to_owned(),
        doing: "written",
        source,
    };
    // Where a link leads is what is written.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = temporary_beside(&target);
    let written = write_private(&temporary, after.as_bytes())
        .and_then(|()| fs::rename(&temporary, &target))
        .and_then(|()| sync_folder(&target));
    if written.is_err() {
        // It may not even have been made.
        drop(fs::remove_file(&temporary));
    }
    written.map_err(failed)
}

const KEYS: [&str; 4] = [
    "aws_access_key_id",
    "aws_secret_access_key",
    "region",
    "endpoint_url",
];

fn read_text(path: &Path) -> Result<Option<Zeroizing<String>>, CredentialsError> {
    use std::io::Read as _;

    let failed = |source| CredentialsError::Io {
        path: path.to_owned(),
        doing: "read",
        source,
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let mut text = Zeroizing::new(String::new());
    let count = file
        .take(BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(failed)?;
    if count as u64 > BYTES_MAX {
        return Err(failed(io::Error::other("it is larger than 1 MiB")));
    }
    Ok(Some(text))
}

/// The name of a section that starts in this line.
fn section(line: &str) -> Option<&str> {
    line.strip_prefix('[')?.strip_suffix(']').map(str::trim)
}

/// One of [`KEYS`] and its value.
fn pair(line: &str) -> Option<(usize, &str)> {
    let (key, value) = line.split_once('=')?;
    let place = KEYS.iter().position(|known| *known == key.trim())?;
    Some((place, value.trim()))
}

/// The text of a file with the profile in place of what it had.
fn replaced(before: &str, name: &str, comment: &str, section_text: &str) -> Zeroizing<String> {
    let mut after = Zeroizing::new(String::new());
    let mut is_inside = false;
    let mut was_written = false;
    for line in before.lines() {
        if let Some(other) = section(line.trim()) {
            is_inside = other == name;
            if is_inside {
                if !was_written {
                    after.push_str(section_text);
                }
                was_written = true;
                continue;
            }
        } else if is_inside && pair(line).is_some() {
            continue;
        }
        after.push_str(line);
        after.push('\n');
    }
    if !was_written {
        if after.is_empty() {
            after.push_str(comment);
        } else {
            after.push('\n');
        }
        after.push_str(section_text);
    }
    after
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn profile(id: &str) -> Profile {
        Profile {
            access_key_id: id.to_owned(),
            secret: Secret::new("s/+e=c".to_owned()),
            region: Some("local".to_owned()),
            endpoint_url: Some("http://127.0.0.1:3002".to_owned()),
        }
    }

    #[test]
    fn a_profile_is_written_for_its_owner_and_read_again() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("credentials");
        assert!(matches!(read(&path), Err(CredentialsError::Missing(_))));
        write(&path, &profile("AKIA1")).unwrap();
        assert_eq!(read(&path).unwrap(), profile("AKIA1"));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(warning(&path), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let said = warning(&path).unwrap();
        assert!(
            said.contains("mode 644") && said.contains("chmod 600"),
            "{said}"
        );
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            format!(
                "{ROOT_COMMENT}[mayfly]\naws_access_key_id = AKIA1\naws_secret_access_key = s/+e=c\nregion = local\nendpoint_url = http://127.0.0.1:3002\n"
            )
        );
        assert_eq!(
            fs::read_dir(root.path()).unwrap().count(),
            1,
            "nothing is left over"
        );
    }

    #[test]
    fn what_else_is_in_the_file_stays() {
        let root = tempfile::tempdir().unwrap();
        let (path, link) = (root.path().join("credentials"), root.path().join("link"));
        let others = "# mine\n[default]\naws_access_key_id = AKIAMINE\naws_secret_access_key = x\n";
        fs::write(&path, others).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write(&link, &profile("AKIA1")).unwrap();
        write(&link, &profile("AKIA2")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(others), "{text}");
        assert_eq!(text.matches("[mayfly]").count(), 1, "{text}");
        assert!(
            !text.contains("AKIA1\n") && text.contains("AKIA2"),
            "{text}"
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        fs::write(
            &path,
            "[mayfly]\nregion = x\noutput = json\n[other]\nregion = y\n",
        )
        .unwrap();
        write(&path, &profile("AKIA3")).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.ends_with("output = json\n[other]\nregion = y\n"),
            "{text}"
        );
        assert_eq!(read(&path).unwrap(), profile("AKIA3"));
    }

    #[test]
    fn what_is_missing_is_named_and_nothing_secret_is_said() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("credentials");
        for (text, part) in [
            ("", "has no profile [mayfly]"),
            (
                "[default]\naws_access_key_id = a\n",
                "has no profile [mayfly]",
            ),
            (
                "[mayfly]\naws_access_key_id = a\n",
                "has no aws_secret_access_key",
            ),
            (
                "[mayfly]\naws_secret_access_key = hunter2\n",
                "has no aws_access_key_id",
            ),
        ] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert!(!format!("{error:?}").contains("hunter2"));
        }
        fs::write(&path, [0xff, 0xfe]).unwrap();
        assert!(matches!(read(&path), Err(CredentialsError::Io { .. })));
        assert!(!format!("{:?}", profile("A")).contains("s/+e=c"));
    }
}
