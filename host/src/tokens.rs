//! Texts that we give out and want back unchanged: where a page ended, what may be downloaded.
//!
//! Each is authenticated with a key of this process, so nobody else can make one, and bound to what it
//! is for, so one made elsewhere is none here. After a restart none is valid any more.
//!
//! Knows nothing of what the texts mean.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

/// Bytes of a key, and of what it authenticates with.
const MAC_BYTES: usize = 32;

/// Longest text that is looked at; what we give out is far shorter.
const TOKEN_CHARS_MAX: usize = 1_024;

/// Makes and reads tokens.
pub(crate) struct Tokens {
    key: [u8; MAC_BYTES],
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// With a new key.
    ///
    /// # Errors
    ///
    /// [`getrandom::Error`] when the system gives no random bytes.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut key = [0; MAC_BYTES];
        getrandom::fill(&mut key)?;
        Ok(Self { key })
    }

    /// A token that holds `text`, readable by anybody, for `purpose`.
    pub(crate) fn seal(&self, purpose: &str, text: &str) -> String {
        let mut bytes = self.mac(purpose, text).finalize().into_bytes().to_vec();
        bytes.extend_from_slice(text.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The text of a token that this process made for `purpose`.
    pub(crate) fn open(&self, purpose: &str, token: &str) -> Option<String> {
        if token.len() > TOKEN_CHARS_MAX {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (mac, text) = bytes.split_at_checked(MAC_BYTES)?;
        let text = std::str::from_utf8(text).ok()?;
        // Compares in constant time.
        self.mac(purpose, text).verify_slice(mac).ok()?;
        Some(text.to_owned())
    }

    fn mac(&self, purpose: &str, text: &str) -> Hmac<Sha256> {
        // A key of any length will do.
        #[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key of 32 bytes");
        // The length keeps purpose and text apart.
        mac.update(&(purpose.len() as u64).to_be_bytes());
        mac.update(purpose.as_bytes());
        mac.update(text.as_bytes());
        mac
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_where_it_was_made_and_for_what_it_was_made() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.seal("ListFunctions", "f:00001");
        assert_eq!(tokens.open("ListFunctions", &token).unwrap(), "f:00001");
        assert_eq!(tokens.open("ListAliases", &token), None);
        assert_eq!(tokens.open("ListFunctionsf", &token), None);
        assert_eq!(Tokens::new().unwrap().open("ListFunctions", &token), None);
        assert_eq!(format!("{tokens:?}"), "Tokens { .. }");
    }

    #[test]
    fn a_token_that_was_changed_anywhere_is_none() {
        let tokens = Tokens::new().unwrap();
        let token = tokens.seal("p", "text");
        for at in 0..token.len() {
            for with in [b'A', b'B'] {
                let mut forged = token.clone().into_bytes();
                if forged[at] == with {
                    continue;
                }
                forged[at] = with;
                let forged = String::from_utf8(forged).unwrap();
                assert_eq!(tokens.open("p", &forged), None, "{at}");
            }
        }
        for nonsense in ["", "%", "AAAA", &"A".repeat(1 << 20)] {
            assert_eq!(tokens.open("p", nonsense), None);
        }
    }
}
