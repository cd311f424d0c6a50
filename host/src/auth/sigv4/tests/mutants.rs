//! Signed requests with one byte changed: none may be taken.

use http::{HeaderValue, Method, Uri};
use sha2::Digest as _;

use super::*;

/// Enough for every byte of every part to be hit many times; takes seconds without optimisation.
const MUTANTS: u64 = 100_000;

const PLACES: [&str; 6] = ["method", "path", "query", "header", "body", "signature"];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: usize) -> usize {
        self.0 += 1;
        let digest = Sha256::digest(self.0.to_be_bytes());
        let number = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        usize::try_from(number).unwrap() % below
    }

    /// `bytes` with one of them changed.
    fn change(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut changed = bytes.to_vec();
        let at = self.next(bytes.len());
        // Never the same: 1 to 255 is added. Often a byte that such a text may hold.
        let by = u8::try_from(1 + self.next(255)).unwrap();
        changed[at] = changed[at].wrapping_add(by);
        changed
    }
}

/// What a query says, in no order.
fn meaning(uri: &Uri) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut pairs = canonical::pairs(uri.query().unwrap_or(""))?;
    pairs.sort();
    Some(pairs)
}

fn uri(path: &[u8], query: &[u8]) -> Option<Uri> {
    Uri::try_from([path, b"?", query].concat()).ok()
}

/// A copy with one byte of one part changed; `None` when no server would get it.
fn mutant(parts: &Parts, body: &[u8], place: &str, dice: &mut Dice) -> Option<(Parts, Vec<u8>)> {
    let (mut parts, mut body) = (parts.clone(), body.to_vec());
    let path = parts.uri.path().as_bytes().to_vec();
    let query = parts.uri.query().unwrap().as_bytes().to_vec();
    match place {
        "method" => {
            let method = dice.change(parts.method.as_str().as_bytes());
            parts.method = Method::from_bytes(&method).ok()?;
        }
        "path" => parts.uri = uri(&dice.change(&path), &query)?,
        "query" => parts.uri = uri(&path, &dice.change(&query))?,
        "body" => body = dice.change(&body),
        "header" => {
            let names = [
                "host",
                "content-type",
                "x-amz-date",
                "x-amz-log-type",
                "x-amz-content-sha256",
            ];
            let name = names[dice.next(names.len())];
            let value = dice.change(parts.headers[name].as_bytes());
            parts
                .headers
                .insert(name, HeaderValue::from_bytes(&value).ok()?);
        }
        _ => {
            let text = parts.headers["authorization"].as_bytes();
            let (rest, signature) = text.split_at(text.len() - 64);
            let changed = [rest, &dice.change(signature)].concat();
            parts
                .headers
                .insert("authorization", HeaderValue::from_bytes(&changed).ok()?);
        }
    }
    Some((parts, body))
}

#[test]
fn no_mutant_is_taken() {
    let body = br#"{"FunctionName":"f","n":[1,2,3]}"#;
    let parts = signed_request(body);
    assert_eq!(verify(&parts, body, NOW_S), Ok(()));
    let meant = meaning(&parts.uri);
    let mut dice = Dice(0);
    let mut tried = [0_u32; PLACES.len()];
    let keys = SigningKeys::default();
    for number in 0..MUTANTS {
        let place = usize::try_from(number).unwrap() % PLACES.len();
        let Some((mutant, other_body)) = mutant(&parts, body, PLACES[place], &mut dice) else {
            continue;
        };
        // `%2b` for `%2B`, `+` for a space at its end: spelt otherwise, and meant the same.
        let is_same = mutant.uri.path() == parts.uri.path() && meaning(&mutant.uri) == meant;
        if PLACES[place] == "query" && is_same {
            continue;
        }
        tried[place] += 1;
        let verified = Signed::parse(&mutant).and_then(|signed| {
            signed.check(NOW_S)?;
            signed.verify(&other_body, &secret(), &keys)
        });
        assert!(verified.is_err(), "taken: {mutant:?} {other_body:?}");
    }
    // Many are no HTTP; enough are.
    for (place, tried) in PLACES.iter().zip(tried) {
        assert!(tried > 2_000, "{place}: {tried}");
    }
}
