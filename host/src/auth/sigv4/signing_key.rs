//! Signing keys: what a secret is for one day, region and service.

use std::collections::HashMap;

use hmac::{Hmac, Mac as _};
use parking_lot::Mutex;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::Scope;
use crate::auth::secret::Secret;

pub(super) type HmacSha256 = Hmac<Sha256>;

/// A derived key.
pub(super) type SigningKey = Zeroizing<[u8; 32]>;

/// Derived keys that are kept: a few hundred callers, each with a few services.
const KEPT_MAX: usize = 4_096;

/// Derived keys, by the credential that they belong to. An access key has one secret for its life; what
/// is deleted or disabled is not looked up here any more.
#[derive(Default)]
pub(crate) struct SigningKeys(Mutex<HashMap<String, SigningKey>>);

impl SigningKeys {
    pub(super) fn get(&self, credential: &str, derive: impl FnOnce() -> SigningKey) -> SigningKey {
        let kept = self.0.lock().get(credential).cloned();
        kept.unwrap_or_else(derive)
    }

    /// Keeps a key that has made a good signature; others would let anybody fill the table.
    pub(super) fn keep(&self, credential: &str, key: &SigningKey) {
        let mut kept = self.0.lock();
        if kept.contains_key(credential) {
            return;
        }
        // Keys go out of use each day; those in use are soon here again.
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(credential.to_owned(), key.clone());
    }
}

impl std::fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SigningKeys(..)")
    }
}

/// An HMAC with `key`.
pub(super) fn keyed(key: &[u8]) -> HmacSha256 {
    HmacSha256::new_from_slice(key).expect("an HMAC takes keys of any length")
}

/// The signing key of `secret` for `scope`.
pub(super) fn derive(secret: &Secret, scope: &Scope) -> SigningKey {
    let first = Zeroizing::new(format!("AWS4{}", secret.expose()));
    let step = |key: &[u8], data: &str| -> SigningKey {
        let mut mac = keyed(key);
        mac.update(data.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    };
    let date = step(first.as_bytes(), &scope.date);
    let region = step(date.as_ref(), &scope.region);
    let service = step(region.as_ref(), &scope.service);
    step(service.as_ref(), &scope.terminator)
}
