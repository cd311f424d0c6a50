//! Secrets at rest: sealed with a key that is kept outside the data directory.
//!
//! A sealed value is a random nonce (24 bytes) followed by the XChaCha20-Poly1305 ciphertext. The
//! context it was sealed for, such as an access key id, is authenticated with it, so that a value can't
//! be moved to another place.
//!
//! Knows nothing of where the key or the values are kept.

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

const NONCE_BYTES: usize = 24;

/// Seals and opens secrets with one key.
#[derive(Clone)]
pub(crate) struct Sealer(XChaCha20Poly1305);

/// Why a sealed value can't be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SealError {
    /// Another key, another context, or damage.
    #[error("the value was not sealed here with this key")]
    Foreign,
}

impl Sealer {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        Self(XChaCha20Poly1305::new(key.into()))
    }

    /// Seals `plain` for `context`.
    pub(crate) fn seal(&self, plain: &[u8], context: &str) -> Vec<u8> {
        let nonce: [u8; NONCE_BYTES] = super::generate::bytes();
        let payload = Payload {
            msg: plain,
            aad: context.as_bytes(),
        };
        let mut sealed = nonce.to_vec();
        // It fails only beyond 256 GiB; an empty value never opens.
        let ciphertext = self.0.encrypt(&XNonce::from(nonce), payload);
        sealed.extend_from_slice(&ciphertext.unwrap_or_default());
        sealed
    }

    /// What was sealed for `context`.
    ///
    /// # Errors
    ///
    /// [`SealError`].
    pub(crate) fn open(
        &self,
        sealed: &[u8],
        context: &str,
    ) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let (nonce, ciphertext) = sealed
            .split_first_chunk::<NONCE_BYTES>()
            .ok_or(SealError::Foreign)?;
        let payload = Payload {
            msg: ciphertext,
            aad: context.as_bytes(),
        };
        self.0
            .decrypt(&XNonce::from(*nonce), payload)
            .map(Zeroizing::new)
            .map_err(|_| SealError::Foreign)
    }
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_with_its_key_and_context_alone() {
        let sealer = Sealer::new(&[7; 32]);
        let sealed = sealer.seal(b"a secret", "AKIA1");
        assert_eq!(
            sealer.open(&sealed, "AKIA1").unwrap().as_slice(),
            b"a secret"
        );
        assert_ne!(
            sealer.seal(b"a secret", "AKIA1"),
            sealed,
            "the nonce is new"
        );
        assert!(!sealed.windows(8).any(|window| window == b"a secret"));
        assert_eq!(sealer.open(&sealed, "AKIA2"), Err(SealError::Foreign));
        let other = Sealer::new(&[8; 32]);
        assert_eq!(other.open(&sealed, "AKIA1"), Err(SealError::Foreign));
        for at in 0..sealed.len() {
            let mut damaged = sealed.clone();
            damaged[at] ^= 1;
            assert_eq!(
                sealer.open(&damaged, "AKIA1"),
                Err(SealError::Foreign),
                "{at}"
            );
            assert_eq!(
                sealer.open(&sealed[..at], "AKIA1"),
                Err(SealError::Foreign),
                "{at}"
            );
        }
        assert_eq!(format!("{sealer:?}"), "Sealer(..)");
    }
}
