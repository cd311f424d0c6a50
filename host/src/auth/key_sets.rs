//! The keys that issuers sign tokens with: fetched when they are needed, kept for a while.
//!
//! A set comes from a file, from a URL, or from where the issuer's `/.well-known/openid-configuration`
//! says. Fetching is bounded in time and bytes, happens once for all who wait, goes on when they leave,
//! and is not done often: a token that names an unknown key makes us look again once a minute. Redirects
//! are not followed. Where no set can be had nobody is let in.
//!
//! Knows nothing of tokens.

mod fetch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use dashmap::DashMap;
use domain::Clock;
use jsonwebtoken::jwk::Jwk;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

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
    /// In the functions folder.
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
    fetcher: Arc<Fetcher>,
    clock: Clock,
    /// Paths are relative to it.
    folder: PathBuf,
}

/// The keys of one issuer.
#[derive(Debug, Default)]
struct KeySet {
    keys: ArcSwapOption<Keys>,
    /// When fetching them ended last, with or without success; held while that is done.
    fetched: Arc<Mutex<Option<Instant>>>,
}

#[derive(Debug)]
struct Keys {
    by_id: HashMap<String, Arc<VerifyingKey>>,
    fetched: Instant,
}

impl KeySource {
    /// Where the keys for a route's tokens come from.
    fn of(rules: &JwtRules) -> Self {
        match &rules.jwks {
            None => Self::Issuer(rules.issuer.clone()),
            Some(text) if text.contains("://") => Self::Url(text.clone()),
            Some(path) => Self::File(path.into()),
        }
    }
}

impl KeySets {
    /// No keys yet; files are looked for in `folder`.
    pub(crate) fn new(folder: PathBuf, clock: Clock) -> Self {
        Self {
            sets: DashMap::new(),
            fetcher: Arc::default(),
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
        let source = KeySource::of(rules);
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
        set: &Arc<KeySet>,
        id: &str,
    ) -> Result<(), KeysUnavailable> {
        let fetched = Arc::clone(&set.fetched).lock_owned().await;
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
        if fetched.is_some_and(|at| age(at) < pause) {
            return match held {
                Some(_) => Ok(()),
                None => Err(source.unavailable("the last try failed a moment ago".to_owned())),
            };
        }
        let fetch = Fetch {
            source: source.clone(),
            set: Arc::clone(set),
            fetched,
            is_held: held.is_some(),
            fetcher: Arc::clone(&self.fetcher),
            folder: self.folder.clone(),
            clock: self.clock.clone(),
        };
        // On its own: whoever asks and leaves must not end it, or nobody would ever have keys.
        let fetching = tokio::spawn(fetch.run());
        let ended = fetching.await;
        ended.unwrap_or_else(|error| Err(source.unavailable(error.to_string())))
    }
}

/// The fetching of a set that is due. Whoever else wants it waits for the lock.
struct Fetch {
    source: KeySource,
    set: Arc<KeySet>,
    fetched: OwnedMutexGuard<Option<Instant>>,
    /// Whether there are keys of before that still count.
    is_held: bool,
    fetcher: Arc<Fetcher>,
    folder: PathBuf,
    clock: Clock,
}

impl Fetch {
    async fn run(mut self) -> Result<(), KeysUnavailable> {
        let document = match &self.source {
            KeySource::File(path) => fetch::file(self.folder.clone(), path.clone()).await,
            KeySource::Url(url) => self.fetcher.get(url).await,
            KeySource::Issuer(issuer) => self.fetcher.discover(issuer).await,
        };
        let now = self.clock.now();
        *self.fetched = Some(now);
        let reason = match document.and_then(|document| keys_of(&document)) {
            Ok(by_id) => {
                let keys = Keys {
                    by_id,
                    fetched: now,
                };
                self.set.keys.store(Some(Arc::new(keys)));
                return Ok(());
            }
            Err(reason) => reason,
        };
        let error = self.source.unavailable(reason);
        if self.is_held {
            tracing::warn!("{error}; those of before are used");
            return Ok(());
        }
        self.set.keys.store(None);
        tracing::error!("{error}; routes that need them answer 503");
        Err(error)
    }
}

impl KeySource {
    fn unavailable(&self, reason: String) -> KeysUnavailable {
        KeysUnavailable {
            source_text: self.to_string(),
            reason,
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

    #[tokio::test]
    async fn a_fetch_goes_on_when_whoever_asked_has_left() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let sets = KeySets::new(PathBuf::new(), Clock::manual(0));
        let rules = JwtRules {
            jwks: Some(format!("http://{address}/keys")),
            ..rules()
        };
        let mut stream = tokio::select! {
            accepted = listener.accept() => accepted.unwrap().0,
            found = sets.key(&rules, "a") => panic!("{}", found.is_ok()),
        };
        // That request is gone. The keys come now, and whoever asks next finds them.
        let answer = async {
            let mut head = [0; 1_024];
            assert!(stream.read(&mut head).await.unwrap() > 0);
            let body = document(&["a"]);
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await.unwrap();
        };
        let ((), found) = tokio::join!(answer, sets.key(&rules, "a"));
        assert!(found.unwrap().is_some());
    }

    #[tokio::test]
    async fn a_file_of_keys_is_one_in_the_folder_and_never_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("functions");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(folder.path().join("outside.json"), document(&["a"])).unwrap();
        std::os::unix::fs::symlink("../outside.json", root.join("link.json")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            root.join("pipe.json"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        let outside = folder.path().join("outside.json");
        for (path, reason) in [
            ("pipe.json", "a named pipe"),
            ("link.json", "a symbolic link"),
            ("../outside.json", "can't be read"),
            (outside.to_str().unwrap(), "can't be read"),
        ] {
            let sets = KeySets::new(root.clone(), Clock::manual(0));
            let rules = JwtRules {
                jwks: Some(path.to_owned()),
                ..rules()
            };
            let error = sets.key(&rules, "a").await.unwrap_err().to_string();
            assert!(error.contains(reason), "{path}: {error}");
        }
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
