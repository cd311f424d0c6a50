//! The keys that issuers sign tokens with: fetched when they are needed, kept for a while.
//!
//! A set comes from a file, from a URL, or from where the issuer's `/.well-known/openid-configuration`
//! says. Fetching is bounded in time and bytes, happens once for all who wait, and not often: a token
//! that names an unknown key makes us look again once a minute. Redirects are not followed. Where no
//! set can be had nobody is let in.
//!
//! Knows nothing of tokens.

mod fetch;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use domain::Clock;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Mutex;

use self::fetch::Fetcher;
use super::jwt::VerifyingKey;
use crate::manifest::route_rules::JwtRules;

/// After this, a set is fetched again: a key that its issuer withdrew must not count for ever.
const FRESH: Duration = Duration::from_secs(15 * 60);

/// A set that can't be fetched again counts for so long.
const USABLE: Duration = Duration::from_secs(12 * 60 * 60);

/// Between two fetches for a key that is not in the set, or for a set that could not be fetched again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// Between two fetches while there is no set at all.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// Most keys of a set; what is beyond is not looked at.
const KEYS_MAX: usize = 100;

/// Most sets that are kept. Each is one that a manifest names.
const SETS_MAX: usize = 1_000;

/// Where keys come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum KeySource {
    File(PathBuf),
    Url(String),
    /// The issuer, who says where they are.
    Issuer(String),
}

/// No keys can be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the keys of {source_text} can't be had: {reason}")]
pub(crate) struct KeysUnavailable {
    source_text: String,
    reason: String,
}

/// The keys of all issuers.
#[derive(Debug)]
pub(crate) struct KeySets {
    sets: DashMap<KeySource, Arc<KeySet>>,
    fetcher: Fetcher,
    clock: Clock,
    /// Paths are relative to it.
    folder: PathBuf,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
struct KeySet {
    keys: ArcSwapOption<Keys>,
    /// When they were fetched last, with or without success; held while that is done.
    fetched: Mutex<Option<Instant>>,
}

#[derive(Debug)]
struct Keys {
    by_id: HashMap<String, Arc<VerifyingKey>>,
    fetched: Instant,
}

impl KeySource {
    /// Where the keys for a route's tokens come from.
    fn of(rules: &JwtRules, folder: &Path) -> Self {
        match &rules.jwks {
            None => Self::Issuer(rules.issuer.clone()),
            Some(text) if text.contains("://") => Self::Url(text.clone()),
            Some(path) => Self::File(folder.join(path)),
        }
    }
}

impl KeySets {
    /// No keys yet; files are looked for in `folder`.
    pub(crate) fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            sets: DashMap::new(),
            fetcher: Fetcher::default(),
            clock,
            folder,
        }
    }

    /// The key of this name of the issuer of a route's tokens; `None` when it has none.
    ///
    /// # Errors
    ///
    /// [`KeysUnavailable`].
    pub(crate) async fn key(
        &self,
        rules: &JwtRules,
        id: &str,
    ) -> Result<Option<Arc<VerifyingKey>>, KeysUnavailable> {
        let source = KeySource::of(rules, &self.folder);
        let set = self.set(&source);
        let now = self.clock.now();
        if let Some(keys) = &*set.keys.load()
            && now.duration_since(keys.fetched) < FRESH
            && let Some(key) = keys.by_id.get(id)
        {
            return Ok(Some(Arc::clone(key)));
        }
        self.renew(&source, &set, id).await?;
        let keys = set.keys.load();
        Ok(keys.as_ref().and_then(|keys| keys.by_id.get(id).cloned()))
    }

    fn set(&self, source: &KeySource) -> Arc<KeySet> {
        if let Some(set) = self.sets.get(source) {
            return Arc::clone(&set);
        }
        if self.sets.len() >= SETS_MAX {
            // Manifests come and go; what is still in use is fetched again.
            self.sets.clear();
        }
        Arc::clone(&self.sets.entry(source.clone()).or_default())
    }

    /// Fetches a set again, unless that was done lately, or what it holds will do.
    async fn renew(
        &self,
        source: &KeySource,
        set: &KeySet,
        id: &str,
    ) -> Result<(), KeysUnavailable> {
        let mut fetched = set.fetched.lock().await;
        let now = self.clock.now();
        let age = |at: Instant| now.duration_since(at);
        let held = set
            .keys
            .load_full()
            .filter(|keys| age(keys.fetched) < USABLE);
        if let Some(keys) = &held
            && keys.by_id.contains_key(id)
            && age(keys.fetched) < FRESH
        {
            // Somebody else fetched it while we waited.
            return Ok(());
        }
        let pause = if held.is_some() {
            LOOK_AGAIN
        } else {
            TRY_AGAIN
        };
        let unavailable = |reason: String| KeysUnavailable {
            source_text: source.to_string(),
            reason,
        };
        if fetched.is_some_and(|at| age(at) < pause) {
            return match held {
                Some(_) => Ok(()),
                None => Err(unavailable("the last try failed a moment ago".to_owned())),
            };
        }
        *fetched = Some(now);
        let document = match source {
            KeySource::File(path) => fetch::file(path.clone()).await,
            KeySource::Url(url) => self.fetcher.get(url).await,
            KeySource::Issuer(issuer) => self.fetcher.discover(issuer).await,
        };
        match document.and_then(|document| keys_of(&document)) {
            Ok(by_id) => {
                let fetched = self.clock.now();
                set.keys.store(Some(Arc::new(Keys { by_id, fetched })));
                Ok(())
            }
            Err(reason) => {
                let error = unavailable(reason);
                if held.is_some() {
                    tracing::warn!("{error}; those of before are used");
                    return Ok(());
                }
                set.keys.store(None);
                tracing::error!("{error}; routes that need them answer 503");
                Err(error)
            }
        }
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Url(url) => write!(f, "{url}"),
            Self::Issuer(issuer) => write!(f, "the issuer {issuer}"),
        }
    }
}

/// The keys of a document that tokens may be signed with; others are left out.
fn keys_of(document: &[u8]) -> Result<HashMap<String, Arc<VerifyingKey>>, String> {
    #[derive(Deserialize)]
    struct Document {
        keys: Vec<Value>,
    }
    let document: Document =
        serde_json::from_slice(document).map_err(|error| format!("not a key set: {error}"))?;
    let keys = document
        .keys
        .into_iter()
        .take(KEYS_MAX)
        .filter_map(|entry| {
            let jwk: Jwk = serde_json::from_value(entry).ok()?;
            let key = VerifyingKey::of(&jwk)?;
            Some((jwk.common.key_id?, Arc::new(key)))
        });
    let keys: HashMap<_, _> = keys.collect();
    if keys.is_empty() {
        return Err(
            "it holds no key with a `kid` that signs by RS256 to RS512, ES256 or ES384".to_owned(),
        );
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const X: &str = "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4";
    const Y: &str = "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM";

    fn document(ids: &[&str]) -> String {
        let keys: Vec<_> = ids
            .iter()
            .map(|id| json!({"kty": "EC", "crv": "P-256", "kid": id, "x": X, "y": Y}))
            .collect();
        json!({"keys": keys}).to_string()
    }

    fn rules() -> JwtRules {
        JwtRules {
            issuer: "i".to_owned(),
            audience: vec!["a".to_owned()],
            jwks: Some("keys.json".to_owned()),
            scopes: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_set_is_read_again_for_an_unknown_key_once_a_minute() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        let clock = Clock::manual(0);
        let sets = KeySets::new(folder.path().to_owned(), clock.clone());
        let has = async |id: &str| sets.key(&rules(), id).await.map(|key| key.is_some());

        let error = has("a").await.unwrap_err().to_string();
        assert!(
            error.contains("keys.json") && error.contains("No such file"),
            "{error}"
        );
        std::fs::write(&file, document(&["a"])).unwrap();
        assert!(has("a").await.is_err(), "not again at once");
        clock.advance(TRY_AGAIN);
        assert_eq!(has("a").await, Ok(true));
        assert_eq!(has("b").await, Ok(false));

        std::fs::write(&file, document(&["b"])).unwrap();
        assert_eq!(has("b").await, Ok(false), "within the minute");
        assert_eq!(has("a").await, Ok(true));
        clock.advance(LOOK_AGAIN);
        assert_eq!(has("b").await, Ok(true));
        assert_eq!(has("a").await, Ok(false), "withdrawn");
    }

    #[tokio::test]
    async fn a_set_that_can_not_be_read_again_counts_for_hours_and_not_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("keys.json");
        std::fs::write(&file, document(&["a"])).unwrap();
        let clock = Clock::manual(0);
        let sets = KeySets::new(folder.path().to_owned(), clock.clone());
        let has = async |id: &str| sets.key(&rules(), id).await.map(|key| key.is_some());
        assert_eq!(has("a").await, Ok(true));

        std::fs::write(&file, "{}").unwrap();
        clock.advance(FRESH);
        assert_eq!(has("a").await, Ok(true));
        clock.advance(USABLE);
        let error = has("a").await.unwrap_err().to_string();
        assert!(error.contains("not a key set"), "{error}");

        std::fs::write(&file, document(&["c"])).unwrap();
        clock.advance(TRY_AGAIN);
        assert_eq!(has("a").await, Ok(false));
        assert_eq!(has("c").await, Ok(true));
    }

    #[test]
    fn what_is_no_signing_key_is_left_out_of_a_set() {
        let found = |text: &str| keys_of(text.as_bytes());
        assert_eq!(found(&document(&["a", "b"])).unwrap().len(), 2);
        for bad in [
            "",
            "[]",
            "{\"keys\":{}}",
            "{\"keys\":[]}",
            "{\"keys\":[1,{}]}",
        ] {
            found(bad).unwrap_err();
        }
        let mixed = json!({"keys": [
            {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
            {"kty": "EC", "crv": "P-256", "x": X, "y": Y},
            {"kty": "EC", "crv": "P-256", "kid": "good", "x": X, "y": Y},
        ]});
        let found = found(&mixed.to_string()).unwrap();
        assert_eq!(found.keys().collect::<Vec<_>>(), ["good"]);
    }
}
