//! Signatures that must be taken, and those that must not.

mod mutants;
mod oracle;
mod strict;
mod vectors;

use http::Request;
use http::request::Parts;

use super::*;

const ID: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// 2015-08-30T12:36:00Z
const NOW_S: i64 = 1_440_938_160;

fn secret() -> Secret {
    Secret::new(SECRET.to_owned())
}

fn signer(region: &str) -> Signer {
    Signer {
        access_key_id: ID.to_owned(),
        secret: secret(),
        region: region.to_owned(),
    }
}

/// Everything that is asked of a signature.
fn verify(parts: &Parts, body: &[u8], now_s: i64) -> Result<(), AuthError> {
    let signed = Signed::parse(parts)?;
    signed.check(now_s)?;
    signed.verify(body, &secret(), &SigningKeys::default())
}

/// A request, signed by ourselves.
fn signed_request(body: &[u8]) -> Parts {
    let request = Request::post("/2015-03-31/functions/f/invocations?Qualifier=1&a=b%20c")
        .header("host", "127.0.0.1:3002")
        .header("content-type", "application/json")
        .header("x-amz-log-type", "Tail");
    let mut parts = request.body(()).unwrap().into_parts().0;
    sign(&mut parts, body, &signer("us-east-1"), "lambda", NOW_S).unwrap();
    parts
}
