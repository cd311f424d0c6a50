//! The root key: made at the first start, kept sealed in the data directory, handed to its owner in the
//! credentials file.
//!
//! `root-key.json` holds the access key id and the sealed secret in base64. It is written as
//! `root-key.json.new` first, then the credentials file, and takes its name last: a crash in between
//! leaves no key that nobody has, and the next start knows whose key is in the credentials file. The key
//! of another data directory there is never replaced.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::Identity;
use super::authentication::KnownKey;
use super::credentials::{self, CredentialsError, Profile};
use super::generate;
use super::key_file::{self, sync_folder, temporary_beside, write_private};
use super::seal::Sealer;
use super::secret::Secret;
use crate::config::Config;

const FILE: &str = "root-key.json";

/// What becomes [`FILE`] once the credentials file has the key.
const NEW_FILE: &str = "root-key.json.new";

/// The key of the owner of the account.
#[derive(Debug, Clone)]
pub(crate) struct RootKey {
    access_key_id: String,
    secret: Secret,
    /// What everything else in the data directory is sealed with.
    sealer: Sealer,
}

/// `root-key.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    access_key_id: String,
    sealed_secret: String,
}

/// Where the key and its copies are.
#[derive(Debug, Clone)]
pub(crate) struct KeyPlaces<'a> {
    /// The data directory, absolute.
    pub(crate) data_dir: &'a Path,
    pub(crate) key_file: &'a Path,
    pub(crate) credentials: &'a Path,
}

impl KeyPlaces<'_> {
    /// Refuses when the credentials file holds a key that is not of this data directory: its owner may
    /// have no other copy.
    fn refuse_foreign_key(&self, stored: Option<&Stored>) -> anyhow::Result<()> {
        let Ok(found) = credentials::read(self.credentials) else {
            return Ok(());
        };
        // Of a start or a rotation that was cut short.
        let begun = read_stored(&self.data_dir.join(NEW_FILE)).ok().flatten();
        let is_ours = |ours: &Stored| ours.access_key_id == found.access_key_id;
        if stored.is_some_and(is_ours) || begun.as_ref().is_some_and(is_ours) {
            return Ok(());
        }
        anyhow::bail!(
            "{} holds the key {}, which is not of the data directory {}, and is not replaced; say where the key of this one goes with --credentials FILE or MAYFLY_CREDENTIALS, or move that file away if its server is gone",
            self.credentials.display(),
            found.access_key_id,
            self.data_dir.display()
        )
    }
}

/// What the credentials file says of the server.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) region: String,
    pub(crate) url: String,
}

impl Endpoint {
    /// Where a server that listens on `control` is reached from this machine.
    pub(crate) fn of(config: &Config, control: SocketAddr) -> Self {
        let reached = match control.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        Self {
            region: config.region.clone(),
            url: format!(
                "{}://{}",
                if config.tls.control.is_some() {
                    "https"
                } else {
                    "http"
                },
                SocketAddr::new(reached, control.port())
            ),
        }
    }
}

impl RootKey {
    /// The key of this data directory; at the first start a new one.
    ///
    /// # Errors
    ///
    /// When the key file or the credentials file can't be read or written, or does not fit, and when
    /// the data directory is new and the credentials file holds the key of another one.
    pub(crate) fn open(places: &KeyPlaces<'_>, endpoint: &Endpoint) -> anyhow::Result<Self> {
        let path = places.data_dir.join(FILE);
        let stored = read_stored(&path)?;
        if stored.is_none() {
            places.refuse_foreign_key(None)?;
        }
        let sealer = key_file::open(places.key_file, places.data_dir, stored.is_none())?;
        let Some(stored) = stored else {
            let key = Self::make(places, endpoint, &sealer)?;
            tracing::info!(
                "made the root key {}; it is in {}",
                key.access_key_id,
                places.credentials.display()
            );
            return Ok(key);
        };
        let key = Self::unseal(&stored, &sealer).with_context(|| {
            format!(
                "the key file {} does not open {}",
                places.key_file.display(),
                path.display()
            )
        })?;
        key.refresh(places, endpoint)?;
        Ok(key)
    }

    /// Replaces the key of a data directory that no server uses.
    ///
    /// # Errors
    ///
    /// As for [`RootKey::open`].
    pub(crate) fn rotate(places: &KeyPlaces<'_>, endpoint: &Endpoint) -> anyhow::Result<Self> {
        let stored = read_stored(&places.data_dir.join(FILE))?;
        places.refuse_foreign_key(stored.as_ref())?;
        let sealer = key_file::open(places.key_file, places.data_dir, stored.is_none())?;
        if let Some(stored) = stored {
            // A key file that does not fit would lock away everything else that is sealed.
            Self::unseal(&stored, &sealer).with_context(|| {
                format!(
                    "the key file {} is another one's",
                    places.key_file.display()
                )
            })?;
        }
        Self::make(places, endpoint, &sealer)
    }

    /// The key of this id, if it is this one.
    pub(crate) fn key(&self, access_key_id: &str) -> Option<KnownKey> {
        (access_key_id == self.access_key_id).then(|| KnownKey {
            secret: self.secret.clone(),
            identity: Identity::Root,
            active: true,
        })
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) fn access_key_id(&self) -> &str {
        &self.access_key_id
    }

    fn make(places: &KeyPlaces<'_>, endpoint: &Endpoint, sealer: &Sealer) -> anyhow::Result<Self> {
        let key = Self {
            access_key_id: generate::access_key_id(),
            secret: generate::secret(),
            sealer: sealer.clone(),
        };
        let sealed = sealer.seal(key.secret.expose().as_bytes(), &context(&key.access_key_id));
        let stored = Stored {
            access_key_id: key.access_key_id.clone(),
            sealed_secret: STANDARD.encode(sealed),
        };
        let (new, path) = (places.data_dir.join(NEW_FILE), places.data_dir.join(FILE));
        write_whole(&new, &serde_json::to_vec(&stored)?)
            .with_context(|| format!("writing {} failed", new.display()))?;
        credentials::write(places.credentials, &key.profile(endpoint))?;
        fs::rename(&new, &path)
            .and_then(|()| sync_folder(&path))
            .with_context(|| format!("writing {} failed", path.display()))?;
        Ok(key)
    }

    fn unseal(stored: &Stored, sealer: &Sealer) -> anyhow::Result<Self> {
        let sealed = STANDARD
            .decode(&stored.sealed_secret)
            .context("it is damaged")?;
        let secret = sealer.open(&sealed, &context(&stored.access_key_id))?;
        let secret = std::str::from_utf8(&secret).context("it is damaged")?;
        Ok(Self {
            access_key_id: stored.access_key_id.clone(),
            secret: Secret::new(secret.to_owned()),
            sealer: sealer.clone(),
        })
    }

    /// Brings region and address in the credentials file up to date, if the file is ours.
    fn refresh(&self, places: &KeyPlaces<'_>, endpoint: &Endpoint) -> anyhow::Result<()> {
        let path = places.credentials;
        let mut wanted = self.profile(endpoint);
        let found = credentials::read(path);
        if let Some(warning) = credentials::warning(path) {
            tracing::warn!("{warning}");
        }
        // Our own name for this machine may not be the one that its certificate is for.
        if let Ok(Profile {
            endpoint_url: Some(url),
            ..
        }) = &found
            && leads_to_same_port(url, &endpoint.url)
        {
            wanted.endpoint_url = Some(url.clone());
        }
        match found {
            Ok(profile) if profile == wanted => Ok(()),
            Ok(profile)
                if profile.access_key_id == wanted.access_key_id
                    && profile.secret == wanted.secret =>
            {
                Ok(credentials::write(path, &wanted)?)
            }
            Ok(profile) => {
                tracing::warn!(
                    "{} holds the key {}, not the root key {}; it is left alone",
                    path.display(),
                    profile.access_key_id,
                    self.access_key_id
                );
                Ok(())
            }
            Err(CredentialsError::Io { path, source, .. }) => {
                tracing::warn!("{} can't be read: {source}", path.display());
                Ok(())
            }
            Err(
                error @ (CredentialsError::Missing(_)
                | CredentialsError::NoProfile(_)
                | CredentialsError::NoKey { .. }),
            ) => {
                tracing::warn!(
                    "{error}; the root key {} stays good. If nobody has it any more, stop the server and run `mayfly keys rotate-root`",
                    self.access_key_id
                );
                Ok(())
            }
        }
    }

    fn profile(&self, endpoint: &Endpoint) -> Profile {
        Profile {
            access_key_id: self.access_key_id.clone(),
            secret: self.secret.clone(),
            region: Some(endpoint.region.clone()),
            endpoint_url: Some(endpoint.url.clone()),
        }
    }
}

/// Whether two URLs differ in their host alone.
fn leads_to_same_port(one: &str, other: &str) -> bool {
    let way = |url: &str| -> Option<(String, u16)> {
        let uri: http::Uri = url.parse().ok()?;
        Some((uri.scheme_str()?.to_owned(), uri.port_u16()?))
    };
    way(one).is_some() && way(one) == way(other)
}

/// What a secret is sealed for.
fn context(access_key_id: &str) -> String {
    format!("access key {access_key_id}")
}

fn read_stored(path: &Path) -> anyhow::Result<Option<Stored>> {
    let failed = || format!("reading {} failed", path.display());
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .with_context(failed)
            .map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(failed),
    }
}

fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = temporary_beside(path);
    write_private(&temporary, bytes)?;
    fs::rename(&temporary, path)?;
    sync_folder(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(tempfile::TempDir);

    impl Folder {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("data")).unwrap();
            Self(root)
        }

        fn with<T>(&self, use_it: impl FnOnce(&KeyPlaces<'_>) -> T) -> T {
            let root = fs::canonicalize(self.0.path()).unwrap();
            use_it(&KeyPlaces {
                data_dir: &root.join("data"),
                key_file: &root.join("key"),
                credentials: &root.join("credentials"),
            })
        }

        fn open(&self, port: u16) -> anyhow::Result<RootKey> {
            self.with(|places| RootKey::open(places, &endpoint(port)))
        }
    }

    fn endpoint(port: u16) -> Endpoint {
        Endpoint {
            region: "local".to_owned(),
            url: format!("http://127.0.0.1:{port}"),
        }
    }

    #[test]
    fn the_first_start_makes_a_key_and_later_ones_keep_it_and_tell_where_we_are() {
        let folder = Folder::new();
        let first = folder.open(1).unwrap();
        let secret = first.secret.expose().to_owned();
        folder.with(|places| {
            let profile = credentials::read(places.credentials).unwrap();
            assert_eq!(profile, first.profile(&endpoint(1)));
            let stored = fs::read_to_string(places.data_dir.join(FILE)).unwrap();
            assert!(!stored.contains(&secret), "sealed");
        });
        let second = folder.open(2).unwrap();
        assert_eq!(second.access_key_id, first.access_key_id);
        assert_eq!(second.secret, first.secret);
        folder.with(|places| {
            let profile = credentials::read(places.credentials).unwrap();
            assert_eq!(profile, first.profile(&endpoint(2)));
            assert_eq!(
                first.key(&profile.access_key_id).unwrap().identity,
                Identity::Root
            );
        });
        assert!(first.key("AKIAOTHER").is_none());
        assert!(!format!("{first:?}").contains(&secret));
    }

    #[test]
    fn credentials_that_were_removed_or_are_of_another_stay_as_they_are() {
        let folder = Folder::new();
        let key = folder.open(1).unwrap();
        folder.with(|places| fs::remove_file(places.credentials).unwrap());
        folder.open(2).unwrap();
        folder.with(|places| assert!(!places.credentials.exists()));
        let other = Profile {
            access_key_id: "AKIAOTHER".to_owned(),
            ..key.profile(&endpoint(3))
        };
        folder.with(|places| {
            credentials::write(places.credentials, &other).unwrap();
            let before = fs::read(places.credentials).unwrap();
            RootKey::open(places, &endpoint(4)).unwrap();
            assert_eq!(fs::read(places.credentials).unwrap(), before);
        });
    }

    #[test]
    fn a_host_that_its_owner_wrote_stays_while_the_port_does() {
        let folder = Folder::new();
        let key = folder.open(1).unwrap();
        folder.with(|places| {
            let own = Profile {
                endpoint_url: Some("http://mayfly.example:1".to_owned()),
                ..key.profile(&endpoint(1))
            };
            credentials::write(places.credentials, &own).unwrap();
            RootKey::open(places, &endpoint(1)).unwrap();
            assert_eq!(credentials::read(places.credentials).unwrap(), own);
            RootKey::open(places, &endpoint(2)).unwrap();
            let found = credentials::read(places.credentials).unwrap();
            assert_eq!(found, key.profile(&endpoint(2)));
        });
    }

    #[test]
    fn a_rotated_key_is_another_one_and_the_old_one_is_gone() {
        let folder = Folder::new();
        let first = folder.open(1).unwrap();
        let second = folder.with(|places| RootKey::rotate(places, &endpoint(1)).unwrap());
        assert_ne!(first.access_key_id, second.access_key_id);
        let opened = folder.open(1).unwrap();
        assert_eq!(opened.access_key_id, second.access_key_id);
        assert!(opened.key(first.access_key_id()).is_none());
        folder.with(|places| {
            let profile = credentials::read(places.credentials).unwrap();
            assert_eq!(profile.secret, second.secret);
        });
    }

    #[test]
    fn the_key_of_another_data_directory_is_never_replaced() {
        let folder = Folder::new();
        folder.open(1).unwrap();
        folder.with(|places| {
            let other = places.data_dir.with_file_name("other");
            fs::create_dir(&other).unwrap();
            let beside = KeyPlaces {
                data_dir: &other,
                ..*places
            };
            let before = fs::read(places.credentials).unwrap();
            for refused in [
                RootKey::open(&beside, &endpoint(2)).unwrap_err(),
                RootKey::rotate(&beside, &endpoint(2)).unwrap_err(),
            ] {
                let refused = format!("{refused:#}");
                for part in [
                    &places.credentials.display().to_string(),
                    "--credentials FILE",
                    "MAYFLY_CREDENTIALS",
                ] {
                    assert!(refused.contains(part), "{refused}");
                }
            }
            assert_eq!(fs::read(places.credentials).unwrap(), before);
            assert_eq!(fs::read_dir(&other).unwrap().count(), 0, "nothing is made");
            // With a file of its own it starts.
            let own = KeyPlaces {
                credentials: &other.with_file_name("own"),
                ..beside
            };
            RootKey::open(&own, &endpoint(2)).unwrap();
        });
    }

    #[test]
    fn a_start_or_a_rotation_that_was_cut_short_goes_on() {
        let folder = Folder::new();
        let first = folder.open(1).unwrap();
        folder.with(|places| {
            let stored = places.data_dir.join(FILE);
            let new = places.data_dir.join(NEW_FILE);
            // The first start, cut before its last step.
            fs::rename(&stored, &new).unwrap();
            let second = RootKey::open(places, &endpoint(1)).unwrap();
            assert_ne!(second.access_key_id, first.access_key_id);
            assert!(!new.exists());
            // A rotation, cut there.
            let before = fs::read(&stored).unwrap();
            RootKey::rotate(places, &endpoint(1)).unwrap();
            fs::rename(&stored, &new).unwrap();
            fs::write(&stored, before).unwrap();
            let last = RootKey::rotate(places, &endpoint(1)).unwrap();
            let found = credentials::read(places.credentials).unwrap();
            assert_eq!(found.access_key_id, last.access_key_id);
        });
    }

    #[test]
    fn secrets_do_not_open_without_their_key_file() {
        let folder = Folder::new();
        folder.open(1).unwrap();
        folder.with(|places| {
            fs::rename(places.key_file, places.key_file.with_extension("x")).unwrap();
        });
        let refused = format!("{:#}", folder.open(1).unwrap_err());
        assert!(refused.contains("is not there"), "{refused}");
        folder.with(|places| write_private(places.key_file, "00".repeat(32).as_bytes()).unwrap());
        let refused = format!("{:#}", folder.open(1).unwrap_err());
        assert!(refused.contains("does not open"), "{refused}");
        let refused = folder.with(|places| RootKey::rotate(places, &endpoint(1)).unwrap_err());
        assert!(
            format!("{refused:#}").contains("another one's"),
            "{refused:#}"
        );
    }
}
