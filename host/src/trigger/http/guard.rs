//! What stands before a function: who may ask, how often, from which pages.
//!
//! A [`Guard`] is made of the rules of a route or a function URL when they are set, and keeps its
//! allowances as long as they stay the same. The order is fixed: preflight, who it is, allowance of who it is,
//! allowance of the route. So whoever is not let in spends nothing of what others need. What is refused ran
//! nothing and costs nothing.
//!
//! Knows nothing of bodies, of routing, or of how a refusal is written.

mod doors;

use domain::names::ACCOUNT_ID;
use domain::policy::PolicyDocument;
use domain::{Clock, FunctionName, Qualifier, RequestId};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use self::doors::{
    api_key, bearer, denied, is_public, policy_of, refused_signature, signer, user_id,
};
use super::authorizer::Authorizer;
use super::rate::{KeyedLimiter, Limiter, TooMany};
use crate::app::App;
use crate::auth;
use crate::auth::authentication::Pending;
use crate::http::listener::Peer;
use crate::manifest::route_rules::{Cors, JwtRules, RouteAuth, RouteRules};
use crate::registry::{ResourcePolicy, UrlAuth, UrlConfig};

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

/// Which request asks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asks {
    pub(crate) peer: Peer,
    pub(crate) id: RequestId,
}

/// Who asks, as far as a request's head tells.
#[derive(Debug)]
pub(crate) enum Entrant {
    Known(Authorizer),
    Signing(Box<Signing>),
}

/// A request whose signature can be verified when its body is there, and what it then must be allowed.
#[derive(Debug)]
pub(crate) struct Signing {
    pending: Pending,
    action: &'static str,
    resource: String,
}

/// Why a request does not reach its function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Its path has slashes in a row, which the signature does not tell from single ones.
    EmptyPart,
    /// The allowance is used up.
    TooMany(TooMany),
    /// It is not known who asks; how to say it, for `WWW-Authenticate`.
    Unknown { challenge: String },
    /// It is known, or of no account, and not allowed.
    Forbidden { challenge: Option<String> },
    /// It can't be found out.
    Unavailable,
}

const FORBIDDEN: Refusal = Refusal::Forbidden { challenge: None };

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

    /// Lets a request in as far as its head tells, or says why not. Its body was not read.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) async fn admit(
        &self,
        app: &App,
        parts: &Parts,
        asks: Asks,
    ) -> Result<Entrant, Refusal> {
        let peer = asks.peer;
        let known = match &self.door {
            Door::Open => Authorizer::Open,
            Door::ApiKey => Authorizer::ApiKey(api_key(app, &parts.headers)?),
            Door::Jwt(rules) => Authorizer::Jwt(bearer(app, rules, &parts.headers).await?),
            Door::Public { resource, policy } => {
                let policy = policy.as_ref();
                let is_allowed = policy.is_some_and(|p| is_public(app, p, resource, peer));
                if !is_allowed {
                    return Err(FORBIDDEN);
                }
                Authorizer::Open
            }
            Door::Signed(errand) => return signer(app, errand, parts, asks),
        };
        self.take(&known, peer)?;
        Ok(Entrant::Known(known))
    }

    /// Lets a request in that is whole: who signs can be told by its body alone.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(crate) fn recognise(
        &self,
        app: &App,
        entrant: Entrant,
        body: &[u8],
        asks: Asks,
    ) -> Result<Authorizer, Refusal> {
        let signing = match entrant {
            Entrant::Known(authorizer) => return Ok(authorizer),
            Entrant::Signing(signing) => signing,
        };
        let Signing {
            pending,
            action,
            resource,
        } = *signing;
        // Clients send one signature twice within a second, and an event may run twice.
        let caller = app.authentication.verify(pending, body, true);
        let caller = caller.map_err(|error| refused_signature(app, &error, asks))?;
        let keys = [
            ("lambda:FunctionUrlAuthType", "AWS_IAM"),
            ("lambda:InvokedViaFunctionUrl", "true"),
        ];
        let keys = if action == doors::URL_ACTION {
            &keys[..]
        } else {
            &[]
        };
        let decided = auth::authorise_with(app, &caller, action, &resource, keys);
        decided.map_err(|_| denied(app, &caller, asks))?;
        let authorizer = Authorizer::Iam {
            user_id: user_id(app, &caller.identity),
            caller,
        };
        self.take(&authorizer, asks.peer)?;
        Ok(authorizer)
    }

    /// Takes one from the allowance of who asks, and then from that of all.
    fn take(&self, authorizer: &Authorizer, peer: Peer) -> Result<(), Refusal> {
        if let Some(each) = &self.each {
            let key = authorizer.rate_key(peer.remote);
            each.take(&key).map_err(Refusal::TooMany)?;
        }
        match &self.all {
            None => Ok(()),
            Some(all) => all.take().map_err(Refusal::TooMany),
        }
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
            Self::Forbidden { challenge: None } | Self::EmptyPart | Self::Unavailable => None,
        }
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
}
