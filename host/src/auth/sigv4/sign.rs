//! Signs requests, as a client does.

use hmac::Mac as _;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderName, HeaderValue};
use sha2::{Digest as _, Sha256};

use super::date::Date;
use super::signing_key::{derive, keyed};
use super::{ALGORITHM, Scope, TERMINATOR, canonical, hex, string_to_sign};
use crate::auth::secret::Secret;

/// Who signs, and for which region.
#[derive(Debug, Clone)]
pub(crate) struct Signer {
    pub(crate) access_key_id: String,
    pub(crate) secret: Secret,
    pub(crate) region: String,
}

/// Signs a request for `service`, at `now_s` in Unix seconds: its host, its content type and every
/// `x-amz-*` header, to which it adds the date and the hash of the body. `None` when the request can't
/// be signed: it has no host, or its query is not percent-encoded, or the region is no header's text.
pub(crate) fn sign(
    parts: &mut Parts,
    body: &[u8],
    signer: &Signer,
    service: &str,
    now_s: i64,
) -> Option<()> {
    let date = Date::at(now_s);
    let scope = Scope {
        date: date.day().to_owned(),
        region: signer.region.as_str().into(),
        service: service.to_owned(),
        terminator: TERMINATOR.to_owned(),
    };
    let body_sha256: [u8; 32] = Sha256::digest(body).into();
    for (name, value) in [
        ("x-amz-content-sha256", hex(&body_sha256)),
        ("x-amz-date", date.to_string()),
    ] {
        let value = HeaderValue::try_from(value).ok()?;
        parts.headers.insert(HeaderName::from_static(name), value);
    }
    let is_signed = |name: &&HeaderName| {
        **name == HOST || **name == CONTENT_TYPE || name.as_str().starts_with("x-amz-")
    };
    let names = parts.headers.keys().filter(is_signed);
    let mut names: Vec<String> = names.map(|name| name.as_str().to_owned()).collect();
    names.sort();
    if !parts.headers.contains_key(HOST) {
        return None;
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let head = canonical::head(parts, &names, None)?;
    let mut mac = keyed(derive(&signer.secret, &scope).as_ref());
    mac.update(string_to_sign(&date, &scope, &head, &body_sha256).as_bytes());
    let authorization = format!(
        "{ALGORITHM} Credential={}/{}, SignedHeaders={}, Signature={}",
        signer.access_key_id,
        scope.text(),
        names.join(";"),
        hex(&mac.finalize().into_bytes())
    );
    let mut authorization = HeaderValue::try_from(authorization).ok()?;
    authorization.set_sensitive(true);
    parts.headers.insert(AUTHORIZATION, authorization);
    Some(())
}
