//! Tokens that an issuer signed: is one good for a route, and what does it say?
//!
//! Only signatures by RSA (PKCS #1) and ECDSA count, and which of them is the key's choice, never the
//! token's. A token's hints where to find keys are not followed. Time is handed in.
//!
//! Knows nothing of requests beyond one header; [`super::key_sets`] finds keys.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde_json::{Map, Value};

use crate::manifest::route_rules::JwtRules;

/// Longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// How far the clocks of an issuer and of ours may differ, in seconds, where a token is too young.
const SKEW_S: f64 = 5.0;

/// A token that is good.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// The claim `sub`.
    pub(crate) subject: Option<String>,
    /// Every claim as text, sorted by name.
    pub(crate) claims: Vec<(String, String)>,
    /// The token's scopes, where the route asks for some.
    pub(crate) scopes: Option<Vec<String>>,
}

/// Why a token is not good for a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// There is none.
    #[error("there is no token")]
    Missing,
    /// It is not one, or not for us.
    #[error("{0}")]
    Invalid(&'static str),
    /// It is good, and not for this route.
    #[error("the token has none of the scopes of the route")]
    Scope,
}

/// A key that an issuer signs with, and how.
pub(crate) struct VerifyingKey {
    key: DecodingKey,
    algorithms: Vec<Algorithm>,
}

/// A token whose head was read: nothing of it is proven.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unverified<'a> {
    text: &'a str,
    algorithm: Algorithm,
    /// Which key is said to have signed it.
    pub(crate) key_id: String,
}

impl VerifyingKey {
    /// The key of an entry of a key set; `None` when it is not one that tokens may be signed with.
    pub(crate) fn of(jwk: &Jwk) -> Option<Self> {
        let is_for_signing = match &jwk.common.public_key_use {
            None | Some(PublicKeyUse::Signature) => true,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_)) => false,
        };
        let possible: &[(KeyAlgorithm, Algorithm)] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => &[
                (KeyAlgorithm::RS256, Algorithm::RS256),
                (KeyAlgorithm::RS384, Algorithm::RS384),
                (KeyAlgorithm::RS512, Algorithm::RS512),
            ],
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => &[(KeyAlgorithm::ES256, Algorithm::ES256)],
                EllipticCurve::P384 => &[(KeyAlgorithm::ES384, Algorithm::ES384)],
                _ => return None,
            },
            _ => return None,
        };
        let algorithms: Vec<Algorithm> = possible
            .iter()
            .filter(|(named, _)| jwk.common.key_algorithm.is_none_or(|only| only == *named))
            .map(|(_, algorithm)| *algorithm)
            .collect();
        if !is_for_signing || algorithms.is_empty() {
            return None;
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { key, algorithms })
    }
}

impl std::fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

/// The token of a request: in `Authorization`, with or without `Bearer`.
///
/// # Errors
///
/// [`JwtError::Missing`] and [`JwtError::Invalid`].
pub(crate) fn token_of(headers: &HeaderMap) -> Result<Unverified<'_>, JwtError> {
    const SCHEME: &str = "bearer ";
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = match (values.next(), values.next()) {
        (None, _) => return Err(JwtError::Missing),
        (Some(value), None) => value,
        (Some(_), Some(_)) => return Err(JwtError::Invalid("there are several tokens")),
    };
    let Ok(text) = value.to_str() else {
        return Err(JwtError::Invalid("the token is not text"));
    };
    let text = match text.get(..SCHEME.len()) {
        Some(scheme) if scheme.eq_ignore_ascii_case(SCHEME) => &text[SCHEME.len()..],
        _ => text,
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(JwtError::Missing);
    }
    if text.len() > TOKEN_BYTES_MAX {
        return Err(JwtError::Invalid("the token is too long"));
    }
    let Ok(head) = jsonwebtoken::decode_header(text) else {
        return Err(JwtError::Invalid("the token is malformed"));
    };
    if head.crit.is_some() {
        return Err(JwtError::Invalid("the token asks for an extension"));
    }
    let Some(key_id) = head.kid else {
        return Err(JwtError::Invalid("the token names no key"));
    };
    Ok(Unverified {
        text,
        algorithm: head.alg,
        key_id,
    })
}

impl Unverified<'_> {
    /// What it says, if `key` signed it and the route's rules are kept at `now_s`, in Unix seconds.
    ///
    /// # Errors
    ///
    /// [`JwtError::Invalid`] and [`JwtError::Scope`].
    pub(crate) fn verify(
        &self,
        key: &VerifyingKey,
        rules: &JwtRules,
        now_s: i64,
    ) -> Result<Token, JwtError> {
        if !key.algorithms.contains(&self.algorithm) {
            return Err(JwtError::Invalid("the key does not sign in this way"));
        }
        let mut validation = Validation::new(self.algorithm);
        // The claims are ours to judge, by our clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Map<String, Value>>(self.text, &key.key, &validation)
            .map_err(|_| JwtError::Invalid("the signature does not match"))?
            .claims;
        check_claims(&claims, rules, now_s)?;
        let scopes = scopes(&claims);
        if !rules.scopes.is_empty() && !scopes.iter().any(|scope| rules.scopes.contains(scope)) {
            return Err(JwtError::Scope);
        }
        Ok(Token {
            subject: claims.get("sub").and_then(Value::as_str).map(str::to_owned),
            scopes: (!rules.scopes.is_empty()).then_some(scopes),
            claims: claims
                .into_iter()
                .map(|(name, value)| (name, text(value)))
                .collect(),
        })
    }
}

fn check_claims(claims: &Map<String, Value>, rules: &JwtRules, now_s: i64) -> Result<(), JwtError> {
    if claims.get("iss").and_then(Value::as_str) != Some(rules.issuer.as_str()) {
        return Err(JwtError::Invalid("the token is of another issuer"));
    }
    let is_ours = |value: &Value| {
        value
            .as_str()
            .is_some_and(|text| rules.audience.iter().any(|ours| ours == text))
    };
    let is_for_us = match claims.get("aud") {
        Some(Value::Array(all)) => all.iter().any(is_ours),
        Some(one) => is_ours(one),
        None => claims.get("client_id").is_some_and(is_ours),
    };
    if !is_for_us {
        return Err(JwtError::Invalid("the token is for another audience"));
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds since 1970 are exact for millions of years"
    )]
    let now_s = now_s as f64;
    let moment = |name| match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(moment) => Ok(Some(moment)),
            None => Err(JwtError::Invalid("a time in the token is not a number")),
        },
    };
    match moment("exp")? {
        None => return Err(JwtError::Invalid("the token never expires")),
        Some(expires) if expires <= now_s => {
            return Err(JwtError::Invalid("the token has expired"));
        }
        Some(_) => {}
    }
    for name in ["nbf", "iat"] {
        if moment(name)?.is_some_and(|from| from > now_s + SKEW_S) {
            return Err(JwtError::Invalid("the token is not valid yet"));
        }
    }
    Ok(())
}

/// What `scope` says, a text with spaces, or `scp`, a text or a list.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let split = |text: &str| text.split_whitespace().map(str::to_owned).collect();
    match claims.get("scope").or_else(|| claims.get("scp")) {
        Some(Value::String(text)) => split(text),
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(Value::as_str)
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    }
}

/// A claim as an event has it. A list is written `[a b]`, as API Gateway does.
fn text(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Array(all) => {
            let texts: Vec<_> = all.into_iter().map(text).collect();
            format!("[{}]", texts.join(" "))
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            other.to_string()
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
