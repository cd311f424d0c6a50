//! What a route asks of its requests: which version answers, who may ask, from which pages, how often.
//!
//! The keys at the top of a manifest hold for every route that does not say otherwise; each rule is
//! inherited or replaced whole. Knows nothing of how a rule is kept: `http::guard` does that.

use std::num::NonZeroU32;

use domain::routing::Route;
use domain::{Qualifier, VersionId};
use serde::{Deserialize, Serialize};

use super::document::{At, Table, quoted};

/// Requests per second, and at once, that a manifest may allow.
const RATE_MAX: u64 = 1_000_000;

/// Most audiences and most scopes of a route. The quotas of an HTTP API in API Gateway.
const AUDIENCES_MAX: usize = 50;
const SCOPES_MAX: usize = 10;

/// Most entries of a list of `cors`, and most characters of one.
const CORS_ENTRIES_MAX: usize = 100;
const CORS_ENTRY_CHARS_MAX: usize = 256;

/// Longest `max_age` of `cors`, in seconds: a day, as on AWS.
const MAX_AGE_S_MAX: u64 = 86_400;

/// Longest URL or path of keys, in characters.
const SOURCE_CHARS_MAX: usize = 2_048;

/// A route and its rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "StoredRoute")]
pub(crate) struct HttpRoute {
    pub(crate) route: Route,
    pub(crate) rules: RouteRules,
}

/// A route in the registry: before there were rules, it stood alone.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredRoute {
    Bare(Route),
    Whole {
        route: Route,
        rules: Box<RouteRules>,
    },
}

impl From<StoredRoute> for HttpRoute {
    fn from(stored: StoredRoute) -> Self {
        match stored {
            StoredRoute::Bare(route) => Self {
                route,
                rules: RouteRules::default(),
            },
            StoredRoute::Whole { route, rules } => Self {
                route,
                rules: *rules,
            },
        }
    }
}

/// What a route asks of its requests. Nothing, by default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RouteRules {
    /// The alias or version that answers; `None` is what was dropped last. Key `qualifier`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) qualifier: Option<Qualifier>,
    /// Who may ask. Key `auth`.
    #[serde(default, skip_serializing_if = "RouteAuth::is_open")]
    pub(crate) auth: RouteAuth,
    /// Which web pages may read the answers. Table `cors`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cors: Option<Cors>,
    /// For all requests together. Keys `rate` and `burst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
    /// For each caller, or each address where callers have no names. Keys `rate_per_key` and
    /// `burst_per_key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate_per_key: Option<Rate>,
}

/// Who may use a route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RouteAuth {
    /// Anybody. `none`.
    #[default]
    Open,
    /// Who signs with an access key, and is allowed to. `iam`.
    Iam,
    /// Who has an API key. `api-key`.
    ApiKey,
    /// Who brings a token of an issuer. `jwt`.
    Jwt(JwtRules),
}

/// Which tokens are good. Table `jwt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JwtRules {
    /// The claim `iss`, byte by byte.
    pub(crate) issuer: String,
    /// One of them must be among the claim `aud`, or be `client_id`.
    pub(crate) audience: Vec<String>,
    /// Where the issuer's keys are: a URL or a file, relative to the functions folder. `None` asks the
    /// issuer's `/.well-known/openid-configuration`.
    #[serde(default)]
    pub(crate) jwks: Option<String>,
    /// One of them must be among the claim `scope` or `scp`, if there are any.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

/// So many per second, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rate {
    pub(crate) per_second: NonZeroU32,
    pub(crate) burst: NonZeroU32,
}

/// What web pages of other origins may do. Each list may hold `*`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cors {
    pub(crate) allow_credentials: bool,
    pub(crate) allow_headers: Vec<String>,
    pub(crate) allow_methods: Vec<String>,
    pub(crate) allow_origins: Vec<String>,
    pub(crate) expose_headers: Vec<String>,
    pub(crate) max_age_s: Option<u32>,
}

/// What routes inherit: the rules, and the tokens that a route with `auth = "jwt"` accepts.
#[derive(Debug, Default)]
pub(super) struct Inherited {
    pub(super) rules: RouteRules,
    jwt: Option<JwtRules>,
}

impl RouteAuth {
    fn is_open(&self) -> bool {
        matches!(self, Self::Open)
    }
}

/// The rules that stand at the top of a manifest.
pub(super) fn inherited(root: &Table<'_>) -> Inherited {
    let nothing = Inherited::default();
    let jwt = root.table("jwt").and_then(|table| jwt(&table));
    let rules = rules(root, &nothing, jwt.as_ref());
    Inherited { rules, jwt }
}

/// The rules of one `[[http]]` entry.
pub(super) fn of_entry(entry: &Table<'_>, inherited: &Inherited) -> RouteRules {
    let own = entry.table("jwt");
    let has_own = own.is_some();
    let jwt = own.and_then(|table| jwt(&table));
    let rules = rules(
        entry,
        inherited,
        if has_own {
            jwt.as_ref()
        } else {
            inherited.jwt.as_ref()
        },
    );
    if has_own && !matches!(rules.auth, RouteAuth::Jwt(_)) && jwt.is_some() {
        entry.wrong("`jwt` says which tokens are good, and `auth` is not \"jwt\"".to_owned());
    }
    rules
}

fn rules(table: &Table<'_>, inherited: &Inherited, jwt: Option<&JwtRules>) -> RouteRules {
    let above = &inherited.rules;
    let own_qualifier = qualifier(table);
    RouteRules {
        qualifier: if table.has("qualifier") {
            own_qualifier
        } else {
            above.qualifier.clone()
        },
        auth: auth(table, jwt).unwrap_or_else(|| match (&above.auth, jwt) {
            // Other tokens, asked for in the same way.
            (RouteAuth::Jwt(_), Some(jwt)) => RouteAuth::Jwt(jwt.clone()),
            (auth, _) => auth.clone(),
        }),
        cors: match table.table("cors") {
            Some(own) => Some(cors(&own)),
            None => above.cors.clone(),
        },
        rate: rate(table, ["rate", "burst"]).or(above.rate),
        rate_per_key: rate(table, ["rate_per_key", "burst_per_key"]).or(above.rate_per_key),
    }
}

fn qualifier(table: &Table<'_>) -> Option<Qualifier> {
    let written = table.text("qualifier")?;
    match Qualifier::parse(written.value) {
        Ok(Qualifier::Version(VersionId::Latest)) => None,
        Ok(qualifier) => Some(qualifier),
        Err(error) => {
            let rule = format!("names no version or alias: {error}");
            table.wrong_at(&written, "qualifier", &rule);
            None
        }
    }
}

fn auth(table: &Table<'_>, jwt: Option<&JwtRules>) -> Option<RouteAuth> {
    let written = table.text("auth")?;
    match (written.value, jwt) {
        ("none", _) => Some(RouteAuth::Open),
        ("iam", _) => Some(RouteAuth::Iam),
        ("api-key", _) => Some(RouteAuth::ApiKey),
        ("jwt", Some(jwt)) => Some(RouteAuth::Jwt(jwt.clone())),
        ("jwt", None) => {
            if !table.has("jwt") {
                let rule = "is \"jwt\", which needs a table `jwt` with `issuer` and `audience`";
                table.wrong_at(&written, "auth", rule);
            }
            None
        }
        (other, _) => {
            let rule = format!(
                "must be \"none\", \"iam\", \"api-key\" or \"jwt\", not \"{}\"",
                quoted(other)
            );
            table.wrong_at(&written, "auth", &rule);
            None
        }
    }
}

fn jwt(table: &Table<'_>) -> Option<JwtRules> {
    let issuer = table.text("issuer");
    let jwks = table.text("jwks");
    let audience = texts(table, "audience", AUDIENCES_MAX, |text| !text.is_empty());
    let scopes = texts(table, "scopes", SCOPES_MAX, |text| {
        !text.is_empty() && !text.contains(char::is_whitespace)
    });
    if issuer.is_none() && !table.has("issuer") {
        table.wrong("`jwt` needs an `issuer`: what tokens say as `iss`".to_owned());
    }
    if audience.is_empty() && !table.has("audience") {
        table.wrong("`jwt` needs an `audience`: a list of what tokens may say as `aud`".to_owned());
    }
    if let Some(issuer) = &issuer
        && (issuer.value.is_empty() || issuer.value.chars().count() > SOURCE_CHARS_MAX)
    {
        table.wrong_at(
            issuer,
            "issuer",
            "must be the text that tokens say as `iss`",
        );
    } else if let Some(issuer) = &issuer
        && jwks.is_none()
        && !is_fetchable(issuer.value)
    {
        let rule = "is where the keys are asked for, so it must be an https URL; or set `jwks`";
        table.wrong_at(issuer, "issuer", rule);
    }
    if let Some(jwks) = &jwks
        && let Some(rule) = jwks_problem(jwks.value)
    {
        table.wrong_at(jwks, "jwks", &rule);
    }
    let (issuer, jwks) = (
        issuer?.value.to_owned(),
        jwks.map(|jwks| jwks.value.to_owned()),
    );
    Some(JwtRules {
        issuer,
        audience,
        jwks,
        scopes,
    })
}

/// Whether keys may be had from a URL: over TLS, or from this machine.
pub(crate) fn is_fetchable(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else {
        return false;
    };
    let host = uri.host().unwrap_or("");
    let has_user = uri.authority().is_some_and(|a| a.as_str().contains('@'));
    let is_here = host == "localhost"
        || host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => !host.is_empty() && !has_user,
        Some("http") => is_here && !has_user,
        _ => false,
    }
}

fn jwks_problem(text: &str) -> Option<String> {
    let is_file = !text.contains("://");
    let is_short = (1..=SOURCE_CHARS_MAX).contains(&text.chars().count());
    let is_below = || {
        let mut parts = std::path::Path::new(text).components();
        parts.all(|part| matches!(part, std::path::Component::Normal(_)))
    };
    let is_good = is_short
        && !text.contains('\0')
        && (is_file && is_below() || !is_file && is_fetchable(text));
    (!is_good).then(|| {
        format!(
            "must be an https URL or the path of a file below the functions folder, not \"{}\"; http is for this machine alone",
            quoted(text)
        )
    })
}

fn rate(table: &Table<'_>, [rate, burst]: [&'static str; 2]) -> Option<Rate> {
    let number = |key| {
        table
            .integer(key, &(1..=RATE_MAX))
            .and_then(|number| u32::try_from(number).ok())
            .and_then(NonZeroU32::new)
    };
    let (per_second, at_once) = (number(rate), number(burst));
    if !table.has(rate) && table.has(burst) {
        table.wrong(format!("`{burst}` needs `{rate}`, the requests per second"));
    }
    let per_second = per_second?;
    Some(Rate {
        per_second,
        burst: at_once.unwrap_or(per_second),
    })
}

fn cors(table: &Table<'_>) -> Cors {
    let list = |key, is_good: fn(&str) -> bool| texts(table, key, CORS_ENTRIES_MAX, is_good);
    let cors = Cors {
        allow_origins: list("allow_origins", is_origin),
        allow_methods: list("allow_methods", is_token),
        allow_headers: list("allow_headers", is_token),
        expose_headers: list("expose_headers", is_token),
        max_age_s: table
            .integer("max_age", &(0..=MAX_AGE_S_MAX))
            .and_then(|seconds| u32::try_from(seconds).ok()),
        allow_credentials: table.boolean("allow_credentials").unwrap_or(false),
    };
    if cors.allow_origins.is_empty() && !table.has("allow_origins") {
        table.wrong("`cors` needs `allow_origins`, such as [\"https://example.com\"]".to_owned());
    }
    if cors.allow_credentials && cors.allow_origins.iter().any(|origin| origin == "*") {
        table.wrong(
            "`cors` can't allow credentials to every origin; name the origins instead of \"*\""
                .to_owned(),
        );
    }
    cors
}

/// Whether a text is a scheme and a host, as browsers send it, or `*`.
pub(crate) fn is_origin(text: &str) -> bool {
    let is_plain = text.chars().all(|c| c.is_ascii_graphic());
    let rest = text.split_once("://").map(|(scheme, rest)| {
        !scheme.is_empty() && !rest.is_empty() && !rest.contains(['/', '?', '#', ','])
    });
    text == "*" || (is_plain && rest == Some(true))
}

/// Whether a text is a method or the name of a header, or `*`.
pub(crate) fn is_token(text: &str) -> bool {
    http::Method::from_bytes(text.as_bytes()).is_ok()
}

/// A list of texts that keep a rule; those that do not are noted.
fn texts(
    table: &Table<'_>,
    key: &'static str,
    entries_max: usize,
    is_good: impl Fn(&str) -> bool,
) -> Vec<String> {
    let Some(entries) = table.text_list(key) else {
        return Vec::new();
    };
    if entries.len() > entries_max {
        let rule = format!(
            "has {} entries; at most {entries_max} are allowed",
            entries.len()
        );
        if let Some(first) = entries.first() {
            table.wrong_at(first, key, &rule);
        }
        return Vec::new();
    }
    let note = |entry: &At<&str>| {
        let is_short = entry.value.chars().count() <= CORS_ENTRY_CHARS_MAX;
        if !is_short || !is_good(entry.value) {
            let rule = format!("can't hold \"{}\"", quoted(entry.value));
            table.wrong_at(entry, key, &rule);
        }
        entry.value.to_owned()
    };
    entries.iter().map(note).collect()
}

#[cfg(test)]
mod tests;
