//! Signature Version 4 of AWS: reads signatures, verifies them, makes them.
//!
//! A signature is verified in three steps, so that a request without hope is answered before its body is
//! read: [`Signed::parse`] takes the request's head apart, [`Signed::check`] holds it against the time,
//! [`Signed::verify`] against the body and the secret. Each step is strict: what AWS would guess at is
//! refused.
//!
//! The body is always hashed here; `x-amz-content-sha256` is only compared. The path and the query are
//! those that were sent, never decoded or tidied before.
//!
//! Knows nothing of users, of what a request asks for, or of HTTP answers.

mod canonical;
mod date;
mod parse;
mod sign;
mod signing_key;

use std::fmt;
use std::sync::Arc;

use hmac::Mac as _;
use sha2::{Digest as _, Sha256};

use self::date::Date;
pub(crate) use self::sign::{Signer, sign};
pub(crate) use self::signing_key::SigningKeys;
use self::signing_key::{HmacSha256, keyed};
use super::secret::Secret;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const TERMINATOR: &str = "aws4_request";

/// How far the clocks of client and server may be apart, in seconds.
const SKEW_S: i64 = 300;

/// Longest life of a presigned request, in seconds: seven days.
const EXPIRES_S_MAX: u32 = 604_800;

/// A request's signature, and what it covers but for the body.
pub(crate) struct Signed {
    access_key_id: Arc<str>,
    /// `ID/DATE/REGION/SERVICE/aws4_request`, as written.
    credential: String,
    scope: Scope,
    date: Date,
    /// Of a presigned request: for how long, in seconds.
    expires_s: Option<u32>,
    has_session_token: bool,
    /// `x-amz-content-sha256`.
    content_sha256: Option<[u8; 32]>,
    signature: [u8; 32],
    /// The canonical request up to the hash of the body.
    head: Vec<u8>,
}

/// What a signature is good for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    /// `YYYYMMDD`.
    date: String,
    region: Arc<str>,
    service: String,
    terminator: String,
}

impl Scope {
    fn text(&self) -> String {
        let Self {
            date,
            region,
            service,
            terminator,
        } = self;
        format!("{date}/{region}/{service}/{terminator}")
    }
}

/// Why a request has no caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AuthError {
    /// It is not signed.
    #[error("Missing Authentication Token")]
    Missing,
    /// What should be a signature can't be read as one.
    #[error("{0}")]
    Malformed(String),
    /// Nobody has this access key, or it is disabled.
    #[error("The security token included in the request is invalid.")]
    UnknownKey,
    /// The signature can be read, and breaks a rule: its date, its scope, what it covers.
    #[error("{0}")]
    Invalid(String),
    /// It was not made with the key's secret for this request.
    #[error(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )]
    Mismatch,
    /// It was used before.
    #[error("The signature was used before, or is older than this server; sign the request again.")]
    Replayed,
    /// Too many others failed before it.
    #[error("Too many requests with a bad signature; try again in a second.")]
    Throttled,
}

impl AuthError {
    /// The name that clients of Lambda know it by.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Missing => "MissingAuthenticationTokenException",
            Self::Malformed(_) => "IncompleteSignatureException",
            Self::UnknownKey => "UnrecognizedClientException",
            Self::Invalid(_) | Self::Mismatch => "InvalidSignatureException",
            Self::Replayed => "SignatureReplayed",
            Self::Throttled => "ThrottlingException",
        }
    }
}

impl Signed {
    /// The signature of a request, in its header or in its query.
    ///
    /// # Errors
    ///
    /// [`AuthError::Missing`], [`AuthError::Malformed`], or [`AuthError::Invalid`] when it does not cover
    /// what it must.
    pub(crate) fn parse(parts: &http::request::Parts) -> Result<Self, AuthError> {
        parse::signed(parts)
    }

    /// The key that it is said to be made with.
    pub(crate) fn access_key_id(&self) -> &Arc<str> {
        &self.access_key_id
    }

    pub(crate) fn region(&self) -> &Arc<str> {
        &self.scope.region
    }

    pub(crate) fn service(&self) -> &str {
        &self.scope.service
    }

    /// Whether it comes with the token of a temporary key.
    pub(crate) fn has_session_token(&self) -> bool {
        self.has_session_token
    }

    pub(crate) fn signature(&self) -> &[u8; 32] {
        &self.signature
    }

    /// When it was made, in Unix seconds, as its maker says.
    pub(crate) fn date_s(&self) -> i64 {
        self.date.unix_s
    }

    /// Holds scope and date against each other and against the time, in Unix seconds.
    ///
    /// # Errors
    ///
    /// [`AuthError::Invalid`] that says which rule is broken.
    pub(crate) fn check(&self, now_s: i64) -> Result<(), AuthError> {
        let invalid = |message| Err(AuthError::Invalid(message));
        let (scope, date) = (&self.scope, &self.date);
        if scope.terminator != TERMINATOR {
            return invalid(format!(
                "Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{}'.",
                scope.terminator
            ));
        }
        if scope.date != date.day() {
            return invalid(format!(
                "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '{}' != '{}', from '{date}'.",
                scope.date,
                date.day()
            ));
        }
        let now = Date::at(now_s);
        let (life_s, life) = match self.expires_s {
            None => (SKEW_S, "5 min".to_owned()),
            Some(expires_s) => (i64::from(expires_s), format!("{expires_s} sec")),
        };
        let earliest_s = now_s.saturating_sub(life_s);
        if date.unix_s < earliest_s {
            let earliest = Date::at(earliest_s);
            return invalid(format!(
                "Signature expired: {date} is now earlier than {earliest} ({now} - {life}.)"
            ));
        }
        let latest_s = now_s.saturating_add(SKEW_S);
        if date.unix_s > latest_s {
            let latest = Date::at(latest_s);
            return invalid(format!(
                "Signature not yet current: {date} is still later than {latest} ({now} + 5 min.)"
            ));
        }
        Ok(())
    }

    /// Whether `secret` made this signature for this request with `body`.
    ///
    /// # Errors
    ///
    /// [`AuthError::Invalid`] when the body is not the one that the client hashed,
    /// [`AuthError::Mismatch`] when the signature is wrong.
    pub(crate) fn verify(
        &self,
        body: &[u8],
        secret: &Secret,
        keys: &SigningKeys,
    ) -> Result<(), AuthError> {
        let hash: [u8; 32] = Sha256::digest(body).into();
        if self.content_sha256.is_some_and(|said| said != hash) {
            return Err(AuthError::Invalid(
                "The provided 'x-amz-content-sha256' header does not match what was computed."
                    .to_owned(),
            ));
        }
        let key = keys.get(&self.credential, || {
            signing_key::derive(secret, &self.scope)
        });
        let mut mac: HmacSha256 = keyed(key.as_ref());
        mac.update(self.string_to_sign(&hash).as_bytes());
        mac.verify_slice(&self.signature)
            .map_err(|_| AuthError::Mismatch)?;
        keys.keep(&self.credential, &key);
        Ok(())
    }

    /// What [`Signed::verify`] does, for a key that nobody has.
    pub(crate) fn verify_in_vain(&self) -> AuthError {
        let nobody =
            Secret::new("nobody has this key, and its secret is never compared".to_owned());
        let keys = SigningKeys::default();
        match self.verify(&[], &nobody, &keys) {
            Ok(()) | Err(_) => AuthError::UnknownKey,
        }
    }

    fn string_to_sign(&self, body_sha256: &[u8; 32]) -> String {
        string_to_sign(&self.date, &self.scope, &self.head, body_sha256)
    }
}

/// What the HMAC is taken of.
fn string_to_sign(date: &Date, scope: &Scope, head: &[u8], body_sha256: &[u8; 32]) -> String {
    let mut request = Sha256::new();
    request.update(head);
    request.update(hex(body_sha256));
    let request = hex(&request.finalize());
    format!("{ALGORITHM}\n{date}\n{}\n{request}", scope.text())
}

/// Lower-case hexadecimal digits.
fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;

    bytes.iter().fold(String::new(), |mut text, byte| {
        let written = write!(text, "{byte:02x}");
        debug_assert!(written.is_ok(), "writing to a String can't fail");
        text
    })
}

impl fmt::Debug for Signed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signed")
            .field("access_key_id", &self.access_key_id)
            .field("scope", &self.scope)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
