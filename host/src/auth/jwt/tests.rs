//! Good tokens, and many that are not.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256};
use serde_json::json;

use super::*;

const NOW_S: i64 = 1_800_000_000;

/// An issuer with one key.
struct Issuer {
    jwk: Value,
    signing: EncodingKey,
    algorithm: Algorithm,
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    fn ecdsa() -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        // An uncompressed point: 4, x, y.
        let point = pair.public_key_raw();
        let (x, y) = (base64(&point[1..33]), base64(&point[33..]));
        Self {
            jwk: json!({"kty": "EC", "crv": "P-256", "kid": "k", "use": "sig", "x": x, "y": y}),
            signing: EncodingKey::from_ec_der(&pair.serialize_der()),
            algorithm: Algorithm::ES256,
        }
    }

    fn rsa() -> Self {
        let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        // PKCS #8 wraps PKCS #1 in 26 bytes, for a key of 2,048 bits.
        let signing = EncodingKey::from_rsa_der(&pair.serialize_der()[26..]);
        let jwk = Jwk::from_encoding_key(&signing, Algorithm::RS256).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk["kid"] = json!("k");
        Self {
            jwk,
            signing,
            algorithm: Algorithm::RS256,
        }
    }

    fn key(&self) -> VerifyingKey {
        VerifyingKey::of(&serde_json::from_value(self.jwk.clone()).unwrap()).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some("k".to_owned());
        jsonwebtoken::encode(&header, claims, &self.signing).unwrap()
    }
}

fn rules() -> JwtRules {
    JwtRules {
        issuer: "https://issuer.example/".to_owned(),
        audience: vec!["us".to_owned(), "them".to_owned()],
        jwks: None,
        scopes: Vec::new(),
    }
}

fn claims() -> Value {
    json!({"iss": "https://issuer.example/", "aud": "us", "exp": NOW_S + 60, "sub": "ada"})
}

/// The claims with some replaced; `null` takes one away.
fn claims_but(other: &Value) -> Value {
    let mut claims = claims();
    for (name, value) in other.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn headers(authorization: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, authorization.parse().unwrap());
    headers
}

fn verify(key: &VerifyingKey, authorization: &str, rules: &JwtRules) -> Result<Token, JwtError> {
    token_of(&headers(authorization))?.verify(key, rules, NOW_S)
}

#[test]
fn a_good_token_says_who_and_what_as_texts() {
    for issuer in [Issuer::ecdsa(), Issuer::rsa()] {
        let token = issuer.sign(&claims_but(&json!({
            "aud": ["other", "them"], "n": 1, "yes": true, "groups": ["a", "b"], "nbf": NOW_S,
        })));
        for authorization in [
            token.clone(),
            format!("Bearer {token}"),
            format!("BEARER  {token}"),
        ] {
            let found = verify(&issuer.key(), &authorization, &rules()).unwrap();
            assert_eq!(found.subject.as_deref(), Some("ada"));
            assert_eq!(found.scopes, None);
            let claim = |name: &str| {
                let found = found.claims.iter().find(|(known, _)| known == name);
                found.map(|(_, value)| value.as_str())
            };
            assert_eq!(claim("aud"), Some("[other them]"));
            assert_eq!(claim("groups"), Some("[a b]"));
            assert_eq!((claim("n"), claim("yes")), (Some("1"), Some("true")));
            assert_eq!(claim("exp"), Some("1800000060"));
        }
    }
}

#[test]
fn a_token_for_others_or_for_another_time_is_not_good() {
    let issuer = Issuer::ecdsa();
    let key = issuer.key();
    for bad in [
        json!({"iss": "https://issuer.example"}),
        json!({"iss": null}),
        json!({"iss": ["https://issuer.example/"]}),
        json!({"aud": "you"}),
        json!({"aud": ["you"]}),
        json!({"aud": null}),
        // `client_id` counts only without `aud`.
        json!({"aud": "you", "client_id": "us"}),
        json!({"aud": 1}),
        json!({"exp": NOW_S}),
        json!({"exp": null}),
        json!({"exp": "1900000000"}),
        json!({"nbf": NOW_S + 60}),
        json!({"iat": NOW_S + 60}),
        json!({"nbf": "soon"}),
    ] {
        let token = issuer.sign(&claims_but(&bad));
        let answer = verify(&key, &token, &rules());
        assert!(
            matches!(answer, Err(JwtError::Invalid(_))),
            "{bad}: {answer:?}"
        );
    }
    for good in [
        json!({"aud": null, "client_id": "us"}),
        json!({"exp": 1_800_000_000.5}),
        json!({"iat": NOW_S + 1}),
    ] {
        let token = issuer.sign(&claims_but(&good));
        verify(&key, &token, &rules()).unwrap();
    }
}

#[test]
fn a_route_with_scopes_wants_one_of_them() {
    let issuer = Issuer::ecdsa();
    let mut rules = rules();
    rules.scopes = vec!["orders:read".to_owned(), "orders:all".to_owned()];
    for (scopes, expected) in [
        (json!({"scope": "profile orders:all"}), Ok(())),
        (json!({"scp": ["orders:read"]}), Ok(())),
        (json!({"scp": "orders:read email"}), Ok(())),
        (json!({"scope": "orders"}), Err(JwtError::Scope)),
        (
            json!({"scope": "", "scp": "orders:all"}),
            Err(JwtError::Scope),
        ),
        (json!({}), Err(JwtError::Scope)),
    ] {
        let token = issuer.sign(&claims_but(&scopes));
        let answer = verify(&issuer.key(), &token, &rules);
        assert_eq!(
            answer.map(|token| assert!(token.scopes.is_some())),
            expected
        );
    }
}

#[test]
fn a_token_that_its_issuer_did_not_sign_is_not_good() {
    let issuer = Issuer::ecdsa();
    let key = issuer.key();
    let good = issuer.sign(&claims());
    verify(&key, &good, &rules()).unwrap();

    let other = Issuer::ecdsa().sign(&claims());
    let by_rsa = Issuer::rsa().sign(&claims());
    let payload = base64(claims().to_string().as_bytes());
    let part = |text: &str| base64(text.as_bytes());
    let none = format!("{}.{payload}.", part(r#"{"alg":"none","kid":"k"}"#));
    let none_upper = format!("{}.{payload}.", part(r#"{"alg":"NONE","kid":"k"}"#));
    let hmac = {
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some("k".to_owned());
        let public = issuer.jwk.to_string();
        let key = EncodingKey::from_secret(public.as_bytes());
        jsonwebtoken::encode(&header, &claims(), &key).unwrap()
    };
    let parts: Vec<&str> = good.split('.').collect();
    let forged = part(&claims_but(&json!({"sub": "eve"})).to_string());
    let embedded = {
        let evil = Issuer::ecdsa();
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        header.jwk = Some(serde_json::from_value(evil.jwk.clone()).unwrap());
        jsonwebtoken::encode(&header, &claims(), &evil.signing).unwrap()
    };
    for bad in [
        other,
        by_rsa,
        none,
        none_upper,
        hmac,
        embedded,
        format!("{}.{forged}.{}", parts[0], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{good}x"),
        "a.b.c".to_owned(),
        "...".to_owned(),
        "x".repeat(20_000),
        format!("{}.{payload}.", part(&"[".repeat(9_000))),
    ] {
        let answer = verify(&key, &bad, &rules());
        assert!(
            matches!(answer, Err(JwtError::Invalid(_))),
            "{bad}: {answer:?}"
        );
    }
}

#[test]
fn a_token_without_a_key_or_with_unknown_extensions_is_not_looked_at() {
    let issuer = Issuer::ecdsa();
    let header = Header::new(Algorithm::ES256);
    let nameless = jsonwebtoken::encode(&header, &claims(), &issuer.signing).unwrap();
    let mut header = Header::new(Algorithm::ES256);
    header.kid = Some("k".to_owned());
    header.crit = Some(vec!["b64".to_owned()]);
    let critical = jsonwebtoken::encode(&header, &claims(), &issuer.signing).unwrap();
    for token in [nameless, critical] {
        let answer = token_of(&headers(&token)).map(|_| ());
        assert!(matches!(answer, Err(JwtError::Invalid(_))), "{answer:?}");
    }
    assert_eq!(token_of(&HeaderMap::new()), Err(JwtError::Missing));
    assert_eq!(token_of(&headers("Bearer ")), Err(JwtError::Missing));
    let mut two = headers("a");
    two.append(AUTHORIZATION, "b".parse().unwrap());
    assert!(matches!(token_of(&two), Err(JwtError::Invalid(_))));
}

#[test]
fn only_public_keys_for_signing_by_rsa_or_ecdsa_are_taken() {
    let issuer = Issuer::ecdsa();
    let key = |change: &Value| {
        let mut jwk = issuer.jwk.clone();
        for (name, value) in change.as_object().unwrap() {
            jwk[name] = value.clone();
        }
        let jwk: Option<Jwk> = serde_json::from_value(jwk).ok();
        jwk.and_then(|jwk| VerifyingKey::of(&jwk))
    };
    assert!(key(&json!({})).is_some());
    assert!(key(&json!({"alg": "ES256"})).is_some());
    for bad in [
        json!({"use": "enc"}),
        json!({"alg": "RS256"}),
        json!({"alg": "HS256"}),
        json!({"crv": "P-384", "alg": "ES256"}),
        json!({"kty": "oct", "k": "c2VjcmV0"}),
    ] {
        assert!(key(&bad).is_none(), "{bad}");
    }
}
