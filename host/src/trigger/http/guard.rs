//! What stands before a function: who may ask, how often, from which pages.
//!
//! A [`Guard`] is made of the rules of a route when it is published, and keeps its allowances as long
//! as the rules stay the same. The order is fixed: preflight, allowance of the route, who it is,
//! allowance of who it is. What is refused ran nothing and costs nothing.
//!
//! Knows nothing of bodies, of routing, or of how a refusal is written.

use std::net::SocketAddr;

use domain::Clock;
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::authorizer::Authorizer;
use super::rate::{KeyedLimiter, Limiter, TooMany};
use crate::app::App;
use crate::auth::jwt::{JwtError, Token, token_of};
use crate::manifest::route_rules::{Cors, JwtRules, RouteAuth, RouteRules};

/// What a route keeps about its requests.
#[derive(Debug)]
pub(crate) struct Guard {
    auth: RouteAuth,
    cors: Option<Cors>,
    all: Option<Limiter>,
    each: Option<KeyedLimiter>,
}

/// Why a request does not reach its function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The allowance is used up.
    TooMany(TooMany),
    /// It is not known who asks; how to say it, for `WWW-Authenticate`.
    Unknown { challenge: String },
    /// It is known, or of no account, and not allowed.
    Forbidden { challenge: Option<String> },
    /// It can't be found out.
    Unavailable,
}

impl Guard {
    /// Keeps `rules`; `None` when there is nothing to keep.
    pub(crate) fn new(rules: &RouteRules, clock: &Clock) -> Option<Box<Self>> {
        let guard = Self {
            auth: rules.auth.clone(),
            cors: rules.cors.clone(),
            all: rules.rate.map(|rate| Limiter::new(rate, clock)),
            each: rules
                .rate_per_key
                .map(|rate| KeyedLimiter::new(rate, clock)),
        };
        let is_empty = guard.auth == RouteAuth::Open
            && guard.cors.is_none()
            && guard.all.is_none()
            && guard.each.is_none();
        (!is_empty).then(|| Box::new(guard))
    }

    /// Which web pages may read the answers.
    pub(crate) fn cors(&self) -> Option<&Cors> {
        self.cors.as_ref()
    }

    /// Lets a request in, or says why not. Its body was not read.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) async fn admit(
        &self,
        app: &App,
        parts: &Parts,
        peer: SocketAddr,
    ) -> Result<Authorizer, Refusal> {
        if let Some(all) = &self.all {
            all.take().map_err(Refusal::TooMany)?;
        }
        let authorizer = match &self.auth {
            RouteAuth::Open => Authorizer::Open,
            RouteAuth::Jwt(rules) => Authorizer::Jwt(bearer(app, rules, &parts.headers).await?),
            RouteAuth::ApiKey | RouteAuth::Iam => {
                return Err(Refusal::Forbidden { challenge: None });
            }
        };
        if let Some(each) = &self.each {
            each.take(&authorizer.rate_key(peer))
                .map_err(Refusal::TooMany)?;
        }
        Ok(authorizer)
    }
}

impl Refusal {
    /// What a client can do about it.
    pub(crate) fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self {
            Self::TooMany(TooMany(wait)) => {
                let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
                let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
                Some((RETRY_AFTER, HeaderValue::from(seconds)))
            }
            Self::Unknown { challenge }
            | Self::Forbidden {
                challenge: Some(challenge),
            } => {
                let value = HeaderValue::from_str(challenge).ok()?;
                Some((WWW_AUTHENTICATE, value))
            }
            Self::Forbidden { challenge: None } | Self::Unavailable => None,
        }
    }
}

/// The token of a request, if it is good for a route.
async fn bearer(app: &App, rules: &JwtRules, headers: &HeaderMap) -> Result<Token, Refusal> {
    let token = token_of(headers).map_err(|error| refusal(&error, rules))?;
    let key = match app.key_sets.key(rules, &token.key_id).await {
        Ok(Some(key)) => key,
        Ok(None) => {
            let unknown = JwtError::Invalid("the issuer has no such key");
            return Err(refusal(&unknown, rules));
        }
        // The operator was told when it failed.
        Err(_) => return Err(Refusal::Unavailable),
    };
    let now_s = app.clock.unix_us().div_euclid(1_000_000);
    token
        .verify(&key, rules, now_s)
        .map_err(|error| refusal(&error, rules))
}

/// As RFC 6750 has it, and API Gateway writes it.
fn refusal(error: &JwtError, rules: &JwtRules) -> Refusal {
    let scopes = rules.scopes.join(" ");
    match error {
        JwtError::Missing => Refusal::Unknown {
            challenge: "Bearer".to_owned(),
        },
        JwtError::Invalid(what) => Refusal::Unknown {
            challenge: format!(
                r#"Bearer scope="{scopes}" error="invalid_token" error_description="{what}""#
            ),
        },
        JwtError::Scope => Refusal::Forbidden {
            challenge: Some(format!(
                r#"Bearer scope="{scopes}" error="insufficient_scope" error_description="{error}""#
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_without_rules_has_no_guard() {
        let clock = Clock::manual(0);
        assert!(Guard::new(&RouteRules::default(), &clock).is_none());
        let rules = RouteRules {
            auth: RouteAuth::ApiKey,
            ..RouteRules::default()
        };
        assert!(Guard::new(&rules, &clock).is_some());
    }

    #[test]
    fn a_refused_token_is_told_what_is_missing() {
        let rules = JwtRules {
            issuer: String::new(),
            audience: Vec::new(),
            jwks: None,
            scopes: vec!["a".to_owned(), "b".to_owned()],
        };
        for (error, expected) in [
            (JwtError::Missing, "Bearer"),
            (
                JwtError::Invalid("why"),
                r#"Bearer scope="a b" error="invalid_token" error_description="why""#,
            ),
        ] {
            let challenge = expected.to_owned();
            assert_eq!(refusal(&error, &rules), Refusal::Unknown { challenge });
        }
    }
}
