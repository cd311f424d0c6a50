//! What makes a delivery believed: a signature, with a key that only one receiver has.
//!
//! From the secret of the data directory comes a key for each origin, so that nobody who gets records can
//! sign one for somebody else. A signature covers the time, the delivery's id and the body. Knows nothing of
//! how a record gets there.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use domain::RequestId;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use storage::WEBHOOK_SECRET;

use super::super::destination::Origin;
use crate::auth::key_file::{secret_at, secret_if_any};
use crate::auth::secret::Secret;

/// The secret that all keys come from: the text of the file `webhook-secret` in the data directory, 64
/// hexadecimal digits without the end of the line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WebhookSecret(Secret);

impl WebhookSecret {
    /// That of a data directory, which is made when there is none.
    pub(super) fn open(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(WEBHOOK_SECRET);
        let secret = secret_at(&path)
            .with_context(|| format!("the secret in {} can't be had", path.display()))?;
        Ok(Self(secret))
    }

    /// That of a data directory, as a server left it.
    ///
    /// # Errors
    ///
    /// When there is none, or it can't be read.
    pub(crate) fn existing(data_dir: &Path) -> anyhow::Result<Self> {
        let path = data_dir.join(WEBHOOK_SECRET);
        let secret = secret_if_any(&path)
            .with_context(|| format!("the secret in {} can't be had", path.display()))?;
        let secret = secret.with_context(|| {
            format!(
                "there is no {}: a server makes it at its first start; say where its data is with --data",
                path.display()
            )
        })?;
        Ok(Self(secret))
    }

    /// The key of one origin: the HMAC-SHA256 of its text, `https://HOST[:PORT]`, as 64 hexadecimal digits.
    /// Those digits are the key, not the bytes that they stand for.
    ///
    /// # Errors
    ///
    /// None that can happen: a key of any length will do.
    pub(crate) fn key(&self, origin: &Origin) -> Result<Secret, String> {
        hmac_hex(&self.0, &[origin.to_string().as_bytes()]).map(Secret::new)
    }
}

/// `t=UNIX,v1=HEX`, of `UNIX.EVENT-ID.BODY`.
pub(super) fn signature(
    key: &Secret,
    unix_s: i64,
    event: RequestId,
    body: &[u8],
) -> Result<String, String> {
    let signed = hmac_hex(key, &[format!("{unix_s}.{event}.").as_bytes(), body])?;
    Ok(format!("t={unix_s},v1={signed}"))
}

fn hmac_hex(key: &Secret, parts: &[&[u8]]) -> Result<String, String> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes());
    let mut mac = mac.map_err(|error| error.to_string())?;
    parts.iter().for_each(|part| mac.update(part));
    let mut hex = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        write!(hex, "{byte:02x}").map_err(|error| error.to_string())?;
    }
    Ok(hex)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    #[test]
    fn keys_and_signatures_are_what_openssl_makes_of_them() {
        let secret = WebhookSecret(Secret::new("secret".to_owned()));
        let key = |text: &str| {
            let origin = Origin::parse(text).unwrap();
            secret.key(&origin).unwrap().expose().to_owned()
        };
        // printf 'https://hooks.example.com' | openssl dgst -sha256 -hmac secret
        let ours = "2a26255dcc80cae42007433907b83ceca1f110f3aecd785529cb328bd8237d36";
        assert_eq!(key("https://hooks.example.com/team?token=t"), ours);
        assert_eq!(key("https://HOOKS.example.com:443"), ours);
        assert_ne!(key("https://hooks.example.com:8443"), ours);
        assert_ne!(key("http://hooks.example.com"), ours);
        assert_ne!(key("https://hooks.example.org"), ours);

        let event: RequestId = "0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f".parse().unwrap();
        let key = Secret::new(ours.to_owned());
        // printf '1700000000.0193573b-0ab1-7f3c-8d2e-4b5a6c7d8e9f.{"a":1}' | openssl dgst -sha256 -hmac …
        assert_eq!(
            signature(&key, 1_700_000_000, event, b"{\"a\":1}").unwrap(),
            "t=1700000000,v1=fbcc5aa626651db144b480406ddc2200b8d81f8b9673d865e08a8f4b5b18d62d"
        );
    }

    #[test]
    fn the_secret_is_made_once_for_its_owner_alone_and_never_printed() {
        let root = tempfile::tempdir().unwrap();
        let none = WebhookSecret::existing(root.path()).unwrap_err();
        assert!(none.to_string().contains("first start"), "{none}");
        let path = root.path().join(WEBHOOK_SECRET);
        assert!(!path.exists());
        let first = WebhookSecret::open(root.path()).unwrap();
        assert_eq!(WebhookSecret::open(root.path()).unwrap(), first);
        assert_eq!(WebhookSecret::existing(root.path()).unwrap(), first);
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.trim_end(), first.0.expose());
        assert_eq!(text.trim_end().len(), 64);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(!format!("{first:?}").contains(text.trim_end()));

        std::fs::write(&path, "short").unwrap();
        WebhookSecret::open(root.path()).unwrap_err();
        WebhookSecret::existing(root.path()).unwrap_err();
    }
}
