//! From a signed request to its caller: looks the key up, holds the signature against it, and slows down
//! whoever fails.
//!
//! Knows nothing of what the caller may do.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::header::USER_AGENT;
use http::request::Parts;

use domain::Clock;

use super::identities::Identities;
use super::replays::Replays;
use super::root_key::RootKey;
use super::secret::Secret;
use super::sigv4::{AuthError, Signed, SigningKeys};
use super::throttle::Throttle;
use super::trail::Trail;
use super::{Caller, Identity};

/// Characters of a `User-Agent` that are kept.
const USER_AGENT_CHARS_MAX: usize = 256;

/// An access key that somebody has.
#[derive(Debug, Clone)]
pub(crate) struct KnownKey {
    pub(crate) secret: Secret,
    pub(crate) identity: Identity,
    pub(crate) active: bool,
}

/// Where a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) address: IpAddr,
    /// Whether the connection is TLS.
    pub(crate) is_secure: bool,
    pub(crate) listener: Listener,
}

/// Where it arrived. Each has failures of its own: guessing at one slows nobody down at the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listener {
    Control,
    Functions,
}

/// Knows who signs.
#[derive(Debug)]
pub(crate) struct Authentication {
    root: RootKey,
    identities: Arc<Identities>,
    signing_keys: SigningKeys,
    control_throttle: Throttle,
    functions_throttle: Throttle,
    replays: Option<Replays>,
    clock: Clock,
}

/// How strict to be.
#[derive(Debug, Clone)]
pub(crate) struct AuthConfig {
    /// Whether a signature is good once only, for what changes something.
    ///
    /// Default no. Key `auth.replay_cache`, variable `MAYFLY_AUTH_REPLAY_CACHE`.
    pub(crate) replay_cache: bool,

    /// Requests with a bad signature that are answered in a second, for each source address: in all, and
    /// with each access key that somebody has. Beyond it they are refused without a look. Good ones with
    /// other keys go on being served.
    ///
    /// Range 1 to 1,000,000, default 50. Key `auth.failures_per_second`, variable
    /// `MAYFLY_AUTH_FAILURES_PER_SECOND`.
    pub(crate) failures_per_second: u32,
}

/// A request whose head is good, and whose key is known; its body is still to be read.
#[derive(Debug)]
pub(crate) struct Pending {
    signed: Signed,
    key: KnownKey,
    source: Source,
    user_agent: Option<String>,
}

impl Pending {
    /// The service of the signature's scope.
    pub(crate) fn service(&self) -> &str {
        self.signed.service()
    }

    /// The key that it is said to be signed with.
    pub(crate) fn access_key_id(&self) -> &Arc<str> {
        self.signed.access_key_id()
    }
}

impl Authentication {
    pub(crate) fn new(
        root: RootKey,
        identities: Arc<Identities>,
        config: &AuthConfig,
        clock: Clock,
    ) -> Self {
        let now_s = clock.unix_us().div_euclid(1_000_000);
        Self {
            root,
            identities,
            signing_keys: SigningKeys::default(),
            control_throttle: Throttle::new(config.failures_per_second, clock.now()),
            functions_throttle: Throttle::new(config.failures_per_second, clock.now()),
            replays: config.replay_cache.then(|| Replays::new(now_s)),
            clock,
        }
    }

    /// The key of this id.
    fn key(&self, access_key_id: &str) -> Option<KnownKey> {
        let root = self.root.key(access_key_id);
        root.or_else(|| self.identities.key(access_key_id))
    }

    /// Whether a key may still be used.
    pub(crate) fn is_active(&self, access_key_id: &str) -> bool {
        self.key(access_key_id).is_some_and(|key| key.active)
    }

    /// Looks at a request's head: everything that can be said without its body.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub(crate) fn head(&self, parts: &Parts, source: Source) -> Result<Pending, AuthError> {
        let now = self.clock.now();
        let refuses = |key: Option<&str>| {
            let throttle = self.throttle(source.listener);
            throttle.refuses(source.address, key, now)
        };
        let signed = match Signed::parse(parts) {
            Ok(signed) => signed,
            // Costs nothing and says nothing: browsers and probes do it.
            Err(AuthError::Missing) => return Err(AuthError::Missing),
            Err(_) if refuses(None) => return Err(AuthError::Throttled),
            Err(error) => return Err(self.failed(source, None, error, now)),
        };
        let id = signed.access_key_id();
        let known = self.key(id).filter(|key| key.active);
        let Some(key) = known.filter(|_| !signed.has_session_token()) else {
            if refuses(None) {
                return Err(AuthError::Throttled);
            }
            let error = signed.verify_in_vain();
            return Err(self.failed(source, Some(id), error, now));
        };
        if refuses(Some(id)) {
            return Err(AuthError::Throttled);
        }
        if let Err(error) = signed.check(self.now_s()) {
            return Err(self.failed(source, Some(id), error, now));
        }
        let user_agent = parts.headers.get(USER_AGENT);
        let user_agent = user_agent.and_then(|value| value.to_str().ok());
        Ok(Pending {
            key,
            source,
            user_agent: user_agent.map(|text| text.chars().take(USER_AGENT_CHARS_MAX).collect()),
            signed,
        })
    }

    /// The caller, once the body is there. `may_repeat` says that it does no harm to do it twice.
    ///
    /// # Errors
    ///
    /// [`AuthError`].
    pub(crate) fn verify(
        &self,
        pending: Pending,
        body: &[u8],
        may_repeat: bool,
    ) -> Result<Caller, AuthError> {
        let Pending {
            signed,
            key,
            source,
            user_agent,
        } = pending;
        let id = signed.access_key_id();
        if let Err(error) = signed.verify(body, &key.secret, &self.signing_keys) {
            return Err(self.failed(source, Some(id), error, self.clock.now()));
        }
        if let Some(replays) = self.replays.as_ref().filter(|_| !may_repeat)
            && !replays.is_first(id, signed.signature(), signed.date_s(), self.now_s())
        {
            return Err(AuthError::Replayed);
        }
        Ok(Caller {
            identity: key.identity,
            access_key_id: Arc::clone(id),
            source: source.address,
            region: Arc::clone(signed.region()),
            user_agent,
            is_secure: source.is_secure,
            trail: Trail::default(),
        })
    }

    fn throttle(&self, listener: Listener) -> &Throttle {
        match listener {
            Listener::Control => &self.control_throttle,
            Listener::Functions => &self.functions_throttle,
        }
    }

    /// Counts a failure, and logs it if there are not too many. Never with the signature.
    fn failed(
        &self,
        source: Source,
        key: Option<&str>,
        error: AuthError,
        now: Instant,
    ) -> AuthError {
        let throttle = self.throttle(source.listener);
        let counted = key.filter(|_| error != AuthError::UnknownKey);
        let noted = throttle.note(source.address, counted, now);
        if noted.unlogged_before > 0 {
            tracing::warn!(
                "{} more bad signatures were not logged",
                noted.unlogged_before
            );
        }
        if noted.is_logged {
            let (address, key) = (source.address, key.unwrap_or("none"));
            tracing::warn!(source = %address, access_key_id = key, "a signature was refused: {error}");
        }
        error
    }

    fn now_s(&self) -> i64 {
        self.clock.unix_us().div_euclid(1_000_000)
    }
}
