//! New keys and secrets, from the system's random numbers.

use super::secret::Secret;

const ID_CHARS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const SECRET_CHARS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Bytes that nobody can foresee.
///
/// # Panics
///
/// When the system has no random numbers: no secret may be made then, and none of the systems that we
/// run on ever says so.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has random numbers");
    bytes
}

/// `AKIA` and 16 of `A-Z2-7`: 80 random bits.
pub(crate) fn access_key_id() -> String {
    format!("AKIA{}", text::<16>(ID_CHARS))
}

/// 40 of `A-Za-z0-9+/`: 240 random bits.
pub(crate) fn secret() -> Secret {
    Secret::new(text::<40>(SECRET_CHARS))
}

/// `N` of `alphabet`, whose length divides 256, so that each is as likely as the next.
fn text<const N: usize>(alphabet: &[u8]) -> String {
    let pick = |byte: u8| alphabet.get(usize::from(byte) % alphabet.len()).copied();
    bytes::<N>()
        .into_iter()
        .filter_map(pick)
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn keys_have_the_form_that_clients_know_and_do_not_repeat() {
        let ids: HashSet<_> = (0..1_000).map(|_| access_key_id()).collect();
        assert_eq!(ids.len(), 1_000);
        for id in ids {
            let rest = id.strip_prefix("AKIA").unwrap();
            assert_eq!(rest.len(), 16);
            assert!(rest.bytes().all(|byte| ID_CHARS.contains(&byte)), "{id}");
        }
        let secrets: HashSet<_> = (0..1_000).map(|_| secret().expose().to_owned()).collect();
        assert_eq!(secrets.len(), 1_000);
        assert!(secrets.iter().all(|secret| secret.len() == 40));
    }
}
