//! The manifest of a function: `function.toml` in its folder, or `NAME.toml` beside `NAME.wasm`.
//!
//! A [`Manifest`] is checked: every value is in range and every route is well-formed. The text is
//! read with [`Manifest::parse`]; the serde form is how the registry keeps a manifest that was
//! checked when it was published.
//!
//! Knows nothing of the function's name, of files, or of routes that other functions claim.

pub(crate) mod document;
pub(crate) mod events;
pub(crate) mod route_rules;
pub(crate) mod schedule;
pub(crate) mod subscribe;

use std::path::PathBuf;

use domain::billing::budget::Budget;
use domain::routing::{Route, RouteMethod, RouteTable};
use domain::{FunctionName, Limits, MemoryMb, Timeout};
use serde::{Deserialize, Serialize};

use self::document::{Problem, Table, quoted};
use self::events::EventRules;
use self::route_rules::{HttpRoute, Inherited, RouteRules};
use self::schedule::ManifestSchedule;
use self::subscribe::Subscription;

/// Most invocations of one function at a time that a manifest may ask for.
pub(crate) const CONCURRENCY_MAX: u32 = 20_000;

/// Bytes of all environment variables of a function, names and values together. Lambda's limit.
pub(crate) const ENVIRONMENT_BYTES_MAX: usize = 4_096;

/// Most `[[http]]` entries of one function. The default quota of an HTTP API in API Gateway.
pub(crate) const ROUTES_MAX: usize = 300;

/// Where function URLs are, among paths.
pub(crate) const URLS: &str = "/_url";

/// Longest description, in characters. Lambda's limit.
const DESCRIPTION_CHARS_MAX: usize = 256;

/// Names that start so are set by the platform.
const RESERVED_PREFIXES: [&str; 2] = ["AWS_", "MAYFLY_"];

/// How one function is to be run, as its author asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// What the function is for. At most 256 characters. Key `description`.
    #[serde(default)]
    pub(crate) description: Option<String>,
    /// Memory from 1 to 4,096 MB, default 128, key `memory_mb`; timeout from 0.001 to 900 seconds,
    /// default 3, key `timeout`.
    #[serde(default)]
    pub(crate) limits: Limits,
    /// Variables of the sandbox, sorted by name; together at most 4,096 bytes. Table `[environment]`.
    #[serde(default)]
    pub(crate) environment: Vec<(String, String)>,
    /// Invocations that may run at once, 0 to 20,000; 0 refuses every one. `None` shares the
    /// process's limit. Key `concurrency`.
    #[serde(default)]
    pub(crate) concurrency: Option<u32>,
    /// What a month may cost. Table `[budget]`: `monthly_usd`, a number or text with up to 12 decimals, to
    /// 10,000,000; `throttle`, default false.
    #[serde(default)]
    pub(crate) budget: Option<Budget>,
    /// The routes of `[[http]]`, none of them twice. `None` means the two default routes; an empty
    /// list, written `http = []`, means no route at all.
    #[serde(default)]
    pub(crate) routes: Option<Vec<HttpRoute>>,
    /// What routes ask of their requests that do not say otherwise. Keys `auth`, `qualifier`, `rate`,
    /// `burst`, `rate_per_key`, `burst_per_key`; tables `jwt`, `cors`.
    #[serde(default)]
    pub(crate) rules: RouteRules,
    /// Topics whose events it gets, at most 100. Tables `[[subscribe]]`.
    #[serde(default)]
    pub(crate) subscriptions: Vec<Subscription>,
    /// What becomes of its events. Table `[async]`.
    #[serde(default)]
    pub(crate) events: EventRules,
    /// Where its keys `on_success` and `on_failure` stand: line and column.
    #[serde(skip)]
    destination_places: Vec<(&'static str, (usize, usize))>,
    /// When the function runs by itself, at most 100 entries. Tables `[[schedule]]`.
    #[serde(default)]
    pub(crate) schedules: Vec<ManifestSchedule>,
    /// How the artifact is made. Table `[build]`.
    #[serde(default)]
    pub(crate) build: Build,
}

/// How a function that is a folder gets its artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    /// The artifact's path inside the folder, if not `build/NAME.wasm`. Key `build.artifact`.
    #[serde(default)]
    pub(crate) artifact: Option<String>,
    /// A shell command that makes the artifact, run in the folder. Key `build.command`.
    #[serde(default)]
    pub(crate) command: Option<String>,
}

/// Why a text is not a manifest: every problem, each with line and column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ManifestError {
    problems: Vec<Problem>,
}

impl std::fmt::Display for ManifestError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ManifestError {}

impl Manifest {
    /// Reads a manifest. The empty text is one: every key has a default.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] lists what is not TOML, unknown, of the wrong type or out of range.
    pub(crate) fn parse(text: &str) -> Result<Self, ManifestError> {
        document::read(text, Self::from_root).map_err(|problems| ManifestError { problems })
    }

    fn from_root(root: &Table<'_>) -> Self {
        let inherited = route_rules::inherited(root);
        let (events, destination_places) = events::event_rules(root);
        Self {
            description: description(root),
            limits: limits(root),
            environment: root
                .table("environment")
                .map_or_else(Vec::new, |env| environment(&env)),
            concurrency: root
                .integer("concurrency", &(0..=u64::from(CONCURRENCY_MAX)))
                .and_then(|number| u32::try_from(number).ok()),
            budget: root.table("budget").and_then(|table| budget(&table)),
            routes: root
                .tables("http")
                .map(|entries| routes(root, &entries, &inherited)),
            subscriptions: subscribe::subscriptions(root),
            events,
            destination_places,
            schedules: schedule::schedules(root),
            build: root
                .table("build")
                .map_or_else(Build::default, |table| build(&table)),
            rules: inherited.rules,
        }
    }

    /// Line and column of `on_success` or `on_failure`, if it is written.
    pub(crate) fn place_of(&self, key: &str) -> Option<(usize, usize)> {
        let mut places = self.destination_places.iter();
        places
            .find(|(known, _)| *known == key)
            .map(|(_, place)| *place)
    }

    /// Where the artifact of the function `name` lies, relative to its folder.
    pub(crate) fn artifact_path(&self, name: &FunctionName) -> PathBuf {
        match &self.build.artifact {
            Some(path) => PathBuf::from(path),
            None => PathBuf::from(format!("build/{name}.wasm")),
        }
    }
}

fn description(root: &Table<'_>) -> Option<String> {
    let text = root.text("description")?;
    let chars = text.value.chars().count();
    if chars > DESCRIPTION_CHARS_MAX {
        let rule = format!("has {chars} characters; at most {DESCRIPTION_CHARS_MAX} are allowed");
        root.wrong_at(&text, "description", &rule);
    }
    Some(text.value.to_owned())
}

/// A table `[budget]`.
fn budget(table: &Table<'_>) -> Option<Budget> {
    let throttle = table.boolean("throttle").unwrap_or(false);
    let monthly = table.usd("monthly_usd", &(1..=Budget::MAX));
    if !table.has("monthly_usd") {
        table.wrong("`budget` needs `monthly_usd`, what a month may cost".to_owned());
    }
    monthly.map(|monthly| Budget { monthly, throttle })
}

fn limits(root: &Table<'_>) -> Limits {
    let range_mb = u64::from(MemoryMb::MIN.get())..=u64::from(MemoryMb::MAX.get());
    let memory = root
        .integer("memory_mb", &range_mb)
        .and_then(|mb| u32::try_from(mb).ok())
        .and_then(MemoryMb::new);
    let timeout = root
        .seconds("timeout", &(Timeout::MIN_MS..=Timeout::MAX_MS))
        .and_then(Timeout::from_ms);
    Limits {
        memory: memory.unwrap_or(MemoryMb::DEFAULT),
        timeout: timeout.unwrap_or(Timeout::DEFAULT),
    }
}

fn environment(table: &Table<'_>) -> Vec<(String, String)> {
    let mut bytes = 0;
    let mut variables = Vec::new();
    for (name, value) in table.texts() {
        bytes += name.value.len() + value.len();
        if let Some(rule) = variable_problem(name.value, value) {
            table.wrong_at(&name, name.value, &rule);
        }
        variables.push((name.value.to_owned(), value.to_owned()));
    }
    if bytes > ENVIRONMENT_BYTES_MAX {
        table.wrong(format!(
            "`environment` has {bytes} bytes of names and values; at most {ENVIRONMENT_BYTES_MAX} are allowed"
        ));
    }
    variables
}

/// The rule that a variable breaks, if it breaks one.
fn variable_problem(name: &str, value: &str) -> Option<String> {
    let is_word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if name.is_empty() || !is_word || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(
            "is not a variable's name: letters, digits and `_`, not a digit first".to_owned(),
        );
    }
    if let Some(prefix) = RESERVED_PREFIXES
        .iter()
        .find(|prefix| name.starts_with(**prefix))
    {
        return Some(format!(
            "is reserved: variables that start with `{prefix}` are set for you"
        ));
    }
    value
        .contains('\0')
        .then(|| "has a NUL in its value".to_owned())
}

fn routes(root: &Table<'_>, entries: &[Table<'_>], inherited: &Inherited) -> Vec<HttpRoute> {
    if entries.len() > ROUTES_MAX {
        root.wrong(format!(
            "`http` has {} entries; at most {ROUTES_MAX} are allowed",
            entries.len()
        ));
        return Vec::new();
    }
    let mut claimed = RouteTable::<usize>::default();
    let mut routes = Vec::with_capacity(entries.len());
    for (at, entry) in entries.iter().enumerate() {
        let rules = route_rules::of_entry(entry, inherited);
        let Some(route) = route(entry) else { continue };
        if let Err(first) = claimed.insert(route.clone(), at) {
            let first = first + 1;
            entry.wrong(format!(
                "`http[{}]` claims `{route}`, as `http[{first}]` does",
                at + 1
            ));
        }
        routes.push(HttpRoute { route, rules });
    }
    routes
}

fn route(entry: &Table<'_>) -> Option<Route> {
    let written = entry.text("method");
    let method = match &written {
        None => Some(RouteMethod::Any),
        Some(written) => {
            let method = RouteMethod::parse(&written.value.to_ascii_uppercase());
            if method.is_none() {
                let known = RouteMethod::ALL.map(RouteMethod::as_str).join(", ");
                let rule = format!("must be one of {known}, not \"{}\"", quoted(written.value));
                entry.wrong_at(written, "method", &rule);
            }
            method
        }
    };
    let Some(path) = entry.text("path") else {
        if !entry.has("path") {
            entry.wrong("`[[http]]` needs a `path`, such as \"/orders/{id}\"".to_owned());
        }
        return None;
    };
    match Route::new(method?, path.value) {
        Ok(route) if is_reserved(route.path()) => {
            let rule = format!("can't begin with \"{URLS}\": function URLs do");
            entry.wrong_at(&path, "path", &rule);
            None
        }
        Ok(route) => Some(route),
        Err(error) => {
            entry.wrong_at(
                &path,
                "path",
                &format!("is not a route: {}", quoted_error(&error)),
            );
            None
        }
    }
}

/// Whether a path belongs to function URLs.
pub(crate) fn is_reserved(path: &str) -> bool {
    path.strip_prefix(URLS)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A route's error repeats the path as it was written; this one fits on a line.
fn quoted_error(error: &domain::routing::RouteError) -> String {
    const CHARS_MAX: usize = 300;
    let text = error.to_string();
    text.chars()
        .take(CHARS_MAX)
        .flat_map(|c| {
            let escaped: Vec<char> = if c.is_control() {
                c.escape_debug().collect()
            } else {
                vec![c]
            };
            escaped
        })
        .collect()
}

fn build(table: &Table<'_>) -> Build {
    let artifact = table.text("artifact");
    if let Some(artifact) = &artifact
        && let Some(rule) = artifact_problem(artifact.value)
    {
        table.wrong_at(artifact, "artifact", &rule);
    }
    let command = table.text("command");
    if let Some(command) = &command
        && (command.value.trim().is_empty() || command.value.contains('\0'))
    {
        table.wrong_at(command, "command", "must be a shell command");
    }
    Build {
        artifact: artifact.map(|artifact| artifact.value.to_owned()),
        command: command.map(|command| command.value.to_owned()),
    }
}

/// An artifact lies inside its folder.
fn artifact_problem(path: &str) -> Option<String> {
    let inside = path.split('/').all(|part| !matches!(part, "" | "." | ".."));
    let plain = !path.contains(|c: char| c.is_control() || c == '\\');
    let is_wasm = path.len() > ".wasm".len() && path.ends_with(".wasm");
    (!(inside && plain && is_wasm)).then(|| {
        format!(
            "must be the path of a `.wasm` file inside the function's folder, not \"{}\"",
            quoted(path)
        )
    })
}

#[cfg(test)]
mod tests;
