//! `GET /mayfly/functions`: what can be invoked, and what was refused.

use http::StatusCode;
use serde::Serialize;

use crate::app::App;
use crate::http::error::{HttpResponse, json_response};
use crate::registry::refusals::RefusedFile;
use crate::registry::{Function, Target};
use crate::time_text::rfc3339_ms;

#[derive(Serialize)]
struct Listing {
    functions: Vec<FunctionView>,
    refused: Vec<RefusedView>,
}

/// A function, as the command line shows it.
#[derive(Debug, Serialize)]
pub(crate) struct FunctionView {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    version: String,
    description: Option<String>,
    pub(crate) memory_mb: u32,
    pub(crate) timeout_ms: u32,
    concurrency: Option<u32>,
    routes: Vec<String>,
    pub(crate) urls: Vec<String>,
    artifact: String,
    size_bytes: u64,
    origin: &'static str,
    /// How many numbered versions there are.
    versions: usize,
    aliases: Vec<AliasView>,
    updated_at: String,
    engine: &'static str,
    /// Why a newer file is not live.
    refused: Option<String>,
}

/// An alias, as the command line shows it.
#[derive(Debug, Serialize)]
struct AliasView {
    name: String,
    #[serde(flatten)]
    target: TargetView,
}

/// What an alias leads to.
#[derive(Debug, Serialize)]
pub(super) struct TargetView {
    version: String,
    /// A second version and its part of the events, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    additional: Option<AdditionalView>,
}

#[derive(Debug, Serialize)]
struct AdditionalView {
    version: String,
    weight: f64,
}

impl TargetView {
    pub(super) fn of(target: Target) -> Self {
        Self {
            version: target.version.to_string(),
            additional: target.additional.map(|additional| AdditionalView {
                version: additional.version.to_string(),
                weight: additional.weight,
            }),
        }
    }
}

#[derive(Serialize)]
struct RefusedView {
    file: String,
    function: Option<String>,
    reason: String,
    since: String,
    /// Whether an older version of the function answers.
    serving: bool,
}

pub(super) fn list_functions(app: &App) -> HttpResponse {
    let refused = app.refusals.list();
    let listing = Listing {
        functions: function_views(app, &refused),
        refused: refused
            .into_iter()
            .map(|file| RefusedView {
                serving: is_serving(app, &file),
                file: file.file,
                function: file.function,
                reason: file.reason,
                since: rfc3339_ms(file.since_us),
            })
            .collect(),
    };
    // Texts and numbers only: there is nothing that can fail.
    json_response(
        StatusCode::OK,
        serde_json::to_vec(&listing).unwrap_or_default(),
    )
}

fn is_serving(app: &App, file: &RefusedFile) -> bool {
    let name = file.function.as_deref().and_then(|name| name.parse().ok());
    name.is_some_and(|name| app.registry.dropped(&name).is_some())
}

/// All functions, by name.
pub(crate) fn function_views(app: &App, refused: &[RefusedFile]) -> Vec<FunctionView> {
    let view = |function: &Function| {
        let version = &function.latest;
        let name = version.name.as_str();
        let newer = refused
            .iter()
            .find(|file| file.function.as_deref() == Some(name));
        let configuration = &version.configuration;
        FunctionView {
            name: name.to_owned(),
            kind: configuration.kind.as_str(),
            version: version.id.to_string(),
            description: configuration.description.clone(),
            memory_mb: configuration.limits.memory.get(),
            timeout_ms: configuration.limits.timeout.ms(),
            concurrency: function.concurrency(),
            routes: function
                .routes()
                .iter()
                .map(|http| http.route.to_string())
                .collect(),
            urls: urls(app, function),
            artifact: version.artifact.to_string(),
            size_bytes: configuration.size_bytes,
            origin: function.origin.as_str(),
            versions: function.versions.len(),
            aliases: function
                .aliases
                .iter()
                .map(|(name, alias)| AliasView {
                    name: name.to_string(),
                    target: TargetView::of(alias.target()),
                })
                .collect(),
            updated_at: rfc3339_ms(version.updated_at_us),
            engine: app.sandboxes.settings_report().profile.as_str(),
            refused: newer.map(|file| file.reason.clone()),
        }
    };
    app.registry
        .functions()
        .iter()
        .map(|function| view(function))
        .collect()
}

/// Where a function answers; a route that covers all below another one is left out.
fn urls(app: &App, function: &Function) -> Vec<String> {
    let paths: Vec<&str> = function
        .routes()
        .iter()
        .map(|http| http.route.path())
        .collect();
    let mut urls = Vec::new();
    for path in &paths {
        let base = path.strip_suffix("/{proxy+}");
        if base.is_some_and(|base| paths.contains(&base)) {
            continue;
        }
        let url = format!("{}{path}", app.triggers_url());
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}
