//! What stands before a function: who may ask, how often, from which pages.
//!
//! A [`Guard`] is made of the rules of a route or a function URL when they are set, and keeps its
//! allowances as long as they stay the same. The order is fixed: preflight, allowance of the route, who it is,
//! allowance of who it is. What is refused ran nothing and costs nothing.
//!
//! Knows nothing of bodies, of routing, or of how a refusal is written.

use domain::names::ACCOUNT_ID;
use domain::policy::{Context, PolicyDocument, Principal, Request, evaluate};
use domain::{Clock, FunctionName, Qualifier};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use super::authorizer::Authorizer;
use super::rate::{KeyedLimiter, Limiter, TooMany};
use crate::app::App;
use crate::auth::jwt::{JwtError, Token, token_of};
use crate::http::listener::Peer;
use crate::manifest::route_rules::{Cors, JwtRules, RouteAuth, RouteRules};
use crate::registry::{ResourcePolicy, UrlAuth, UrlConfig};
use crate::time_text::rfc3339_ms;

/// What a route or a URL keeps about its requests.
#[derive(Debug)]
pub(crate) struct Guard {
    door: Door,
    cors: Option<Cors>,
    all: Option<Limiter>,
    each: Option<KeyedLimiter>,
}

/// Who may come in.
#[derive(Debug)]
enum Door {
    Open,
    /// Who has an API key.
    ApiKey,
    /// Who brings a good token.
    Jwt(JwtRules),
    /// Anybody, as far as the function's policy lets them use its URL.
    Public {
        resource: String,
        policy: Option<PolicyDocument>,
    },
    /// Who signs and is allowed to.
    Signed(Signed),
}

/// What signers must be allowed to do.
#[derive(Debug)]
enum Signed {
    /// Use a route: the resource up to the method.
    Route { resource: String },
    /// Use a URL.
    Url { resource: String },
}

/// Whose requests a guard looks at.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guarded<'a> {
    pub(crate) function: &'a FunctionName,
    pub(crate) qualifier: Option<&'a Qualifier>,
    /// The server's own.
    pub(crate) region: &'a str,
    pub(crate) clock: &'a Clock,
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
    /// Keeps the rules of a route; `None` when there is nothing to keep.
    pub(crate) fn of_route(rules: &RouteRules, guarded: Guarded<'_>) -> Option<Box<Self>> {
        let clock = guarded.clock;
        let door = match &rules.auth {
            RouteAuth::Open => Door::Open,
            RouteAuth::ApiKey => Door::ApiKey,
            RouteAuth::Jwt(rules) => Door::Jwt(rules.clone()),
            RouteAuth::Iam => Door::Signed(Signed::Route {
                resource: format!(
                    "arn:aws:execute-api:{}:{ACCOUNT_ID}:{}/$default/",
                    guarded.region, guarded.function
                ),
            }),
        };
        let guard = Self {
            door,
            cors: rules.cors.clone(),
            all: rules.rate.map(|rate| Limiter::new(rate, clock)),
            each: rules
                .rate_per_key
                .map(|rate| KeyedLimiter::new(rate, clock)),
        };
        let is_empty = matches!(guard.door, Door::Open)
            && guard.cors.is_none()
            && guard.all.is_none()
            && guard.each.is_none();
        (!is_empty).then(|| Box::new(guard))
    }

    /// Keeps the rules of a function URL, with the function's policy. A policy that can't be read lets
    /// nobody in.
    pub(crate) fn of_url(
        config: &UrlConfig,
        policy: Option<&ResourcePolicy>,
        guarded: Guarded<'_>,
    ) -> Self {
        let mut resource = guarded.function.arn(guarded.region);
        if let Some(qualifier) = guarded.qualifier {
            resource = format!("{resource}:{qualifier}");
        }
        let door = match config.auth {
            UrlAuth::AwsIam => Door::Signed(Signed::Url { resource }),
            UrlAuth::None => Door::Public {
                policy: policy.and_then(|policy| policy_of(policy, &resource)),
                resource,
            },
        };
        Self {
            door,
            cors: config.cors.clone(),
            all: None,
            each: None,
        }
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
        peer: Peer,
    ) -> Result<Authorizer, Refusal> {
        if let Some(all) = &self.all {
            all.take().map_err(Refusal::TooMany)?;
        }
        let authorizer = match &self.door {
            Door::Open => Authorizer::Open,
            Door::Jwt(rules) => Authorizer::Jwt(bearer(app, rules, &parts.headers).await?),
            Door::Public { resource, policy } => {
                let policy = policy.as_ref();
                let is_allowed = policy.is_some_and(|p| is_public(app, p, resource, peer));
                if !is_allowed {
                    return Err(Refusal::Forbidden { challenge: None });
                }
                Authorizer::Open
            }
            Door::ApiKey | Door::Signed(_) => {
                return Err(Refusal::Forbidden { challenge: None });
            }
        };
        if let Some(each) = &self.each {
            each.take(&authorizer.rate_key(peer.remote))
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

fn policy_of(policy: &ResourcePolicy, resource: &str) -> Option<PolicyDocument> {
    let text = json!({"Version": "2012-10-17", "Statement": policy.statements}).to_string();
    match PolicyDocument::parse_resource(&text) {
        Ok(policy) => Some(policy),
        Err(error) => {
            tracing::error!(
                "the policy of {resource} can't be read, so its URL is closed: {error}"
            );
            None
        }
    }
}

/// Whether a policy lets anybody use a URL.
fn is_public(app: &App, policy: &PolicyDocument, resource: &str, peer: Peer) -> bool {
    let now_us = app.clock.unix_us();
    let mut context = Context::default();
    context.set("lambda:FunctionUrlAuthType", "NONE");
    context.set("aws:SourceIp", peer.remote.ip().to_canonical().to_string());
    context.set("aws:SecureTransport", peer.is_secure.to_string());
    context.set("aws:CurrentTime", rfc3339_ms(now_us));
    context.set("aws:EpochTime", now_us.div_euclid(1_000_000).to_string());
    let request = Request {
        principal: Principal::Anonymous,
        action: "lambda:InvokeFunctionUrl",
        resource,
        region: &app.config.region,
        context,
    };
    evaluate(&[], &[policy], &request).is_allowed()
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
        let guarded = Guarded {
            function: &FunctionName::parse("f").unwrap(),
            qualifier: None,
            region: "local",
            clock: &Clock::manual(0),
        };
        assert!(Guard::of_route(&RouteRules::default(), guarded).is_none());
        let rules = RouteRules {
            auth: RouteAuth::ApiKey,
            ..RouteRules::default()
        };
        assert!(Guard::of_route(&rules, guarded).is_some());
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
