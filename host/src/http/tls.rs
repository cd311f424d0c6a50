//! TLS of a listener: certificate and key come from files, and are read again when those change.
//!
//! A pair that can't be used leaves the one in use as it is. Only HTTP/1.1 is offered. Knows nothing
//! of connections: [`super::listener`] bounds the handshake.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::config::CertificateFiles;

/// Largest file that is read, in bytes. A chain of four certificates has about 8 KB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Bits of a mode that let others than owner and group in.
const MODE_OTHERS: u32 = 0o007;

/// What a listener needs to speak TLS.
pub(crate) struct Tls {
    files: CertificateFiles,
    config: ArcSwap<ServerConfig>,
    /// What the files were like when they were read last, of use or not.
    read: Mutex<Stamps>,
}

/// Why a certificate and a key are of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file can't be read.
    #[error("reading `{}` failed: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is far too long for what it should be.
    #[error("`{}` has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLong {
        /// Which.
        path: PathBuf,
    },
    /// There is nothing of this kind in the file.
    #[error("`{}` holds no {what} in PEM", path.display())]
    Missing {
        /// Which file.
        path: PathBuf,
        /// Certificate or private key.
        what: &'static str,
    },
    /// The two do not fit, or are of a kind that is not supported.
    #[error("certificate `{}` and key `{}` are of no use: {source}", certificate.display(), key.display())]
    Pair {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What does not fit.
        source: rustls::Error,
    },
}

/// What a look at the files found.
#[derive(Debug)]
pub(crate) enum Look {
    /// They are as they were.
    Unchanged,
    /// They changed, and new connections use what they hold now.
    Reloaded,
    /// They changed, and can't be used; what was in use is kept.
    Kept(TlsError),
}

type Stamps = [Option<Stamp>; 2];

/// What tells one state of a file from another without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Tls {
    /// Reads certificate and key. Blocking.
    ///
    /// # Errors
    ///
    /// [`TlsError`].
    pub(crate) fn load(files: CertificateFiles) -> Result<Self, TlsError> {
        // Looked at before they are read: what changes meanwhile is read again.
        let stamps = stamps(&files);
        let config = server_config(&files)?;
        Ok(Self {
            config: ArcSwap::from_pointee(config),
            read: Mutex::new(stamps),
            files,
        })
    }

    /// What accepts the next connection.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Reads the files again if they look different than when they were read last. Blocking.
    pub(crate) fn reload_if_changed(&self) -> Look {
        let stamps = stamps(&self.files);
        let mut read = self.read.lock();
        if *read == stamps {
            return Look::Unchanged;
        }
        *read = stamps;
        match server_config(&self.files) {
            Ok(config) => {
                self.config.store(Arc::new(config));
                Look::Reloaded
            }
            Err(error) => Look::Kept(error),
        }
    }

    /// The files.
    pub(crate) fn files(&self) -> &CertificateFiles {
        &self.files
    }

    /// Whether others than the owner and the group of the key may read it.
    pub(crate) fn is_key_open_to_others(&self) -> bool {
        std::fs::metadata(&self.files.key).is_ok_and(|found| found.mode() & MODE_OTHERS != 0)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn server_config(files: &CertificateFiles) -> Result<ServerConfig, TlsError> {
    let pair = |source| TlsError::Pair {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    };
    let missing = |path: &Path, what| TlsError::Missing {
        path: path.to_owned(),
        what,
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(&read(&files.certificate)?)
            .collect::<Result<_, _>>()
            .map_err(|_| missing(&files.certificate, "certificate"))?;
    if chain.is_empty() {
        return Err(missing(&files.certificate, "certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&files.key)?)
        .map_err(|_| missing(&files.key, "private key"))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    let failed = |source| TlsError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut bytes = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        let path = path.to_owned();
        return Err(TlsError::TooLong { path });
    }
    Ok(bytes)
}

fn stamps(files: &CertificateFiles) -> Stamps {
    // Links are followed: tools that renew certificates swap links.
    [&files.certificate, &files.key].map(|path| std::fs::metadata(path).ok().as_ref().map(stamp))
}

fn stamp(found: &Metadata) -> Stamp {
    Stamp {
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn write_pair(files: &CertificateFiles) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(&files.certificate, made.cert.pem()).unwrap();
        fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    }

    fn files_in(folder: &Path) -> CertificateFiles {
        CertificateFiles {
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    #[test]
    fn a_new_pair_is_used_and_a_bad_one_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let files = files_in(folder.path());
        write_pair(&files);
        let tls = Tls::load(files.clone()).unwrap();
        let first = tls.config.load_full();
        assert!(matches!(tls.reload_if_changed(), Look::Unchanged));

        write_pair(&files);
        assert!(matches!(tls.reload_if_changed(), Look::Reloaded));
        let second = tls.config.load_full();
        assert!(!Arc::ptr_eq(&first, &second));

        // A certificate without its key yet: half way through a renewal.
        let other = files_in(folder.path()).certificate.with_extension("new");
        let half = CertificateFiles {
            certificate: files.certificate.clone(),
            key: other,
        };
        write_pair(&half);
        let Look::Kept(error) = tls.reload_if_changed() else {
            panic!("a pair that does not fit is used");
        };
        assert!(error.to_string().contains("cert.pem"), "{error}");
        assert!(Arc::ptr_eq(&second, &tls.config.load_full()));
        // It is said once.
        assert!(matches!(tls.reload_if_changed(), Look::Unchanged));

        fs::rename(&half.key, &files.key).unwrap();
        assert!(matches!(tls.reload_if_changed(), Look::Reloaded));
    }

    #[test]
    fn what_is_no_pair_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let files = files_in(folder.path());
        let problem = || Tls::load(files.clone()).unwrap_err().to_string();
        assert!(problem().contains("cert.pem` failed"), "{}", problem());
        write_pair(&files);
        fs::write(&files.certificate, "-----BEGIN CERT").unwrap();
        assert!(problem().ends_with("cert.pem` holds no certificate in PEM"));
        write_pair(&files);
        fs::write(&files.key, "").unwrap();
        assert!(problem().ends_with("key.pem` holds no private key in PEM"));
        fs::write(&files.key, vec![b'x'; (1 << 20) + 1]).unwrap();
        assert!(problem().ends_with("key.pem` has more than 1048576 bytes"));
    }

    #[test]
    fn a_key_that_anybody_may_read_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let files = files_in(folder.path());
        write_pair(&files);
        let mode = |mode| fs::set_permissions(&files.key, fs::Permissions::from_mode(mode));
        mode(0o640).unwrap();
        let tls = Tls::load(files.clone()).unwrap();
        assert!(!tls.is_key_open_to_others());
        mode(0o644).unwrap();
        assert!(tls.is_key_open_to_others());
    }
}
