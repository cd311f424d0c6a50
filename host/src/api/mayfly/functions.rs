//! `GET /mayfly/functions`: what can be invoked, and what was refused.

use http::StatusCode;
use serde::Serialize;
use storage::Origin;

use crate::app::App;
use crate::http::error::{HttpResponse, json_response};
use crate::registry::Version;
use crate::registry::refusals::RefusedFile;
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
    updated_at: String,
    engine: &'static str,
    /// Why a newer file is not live.
    refused: Option<String>,
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
    name.is_some_and(|name| app.registry.resolve(&name).is_ok())
}

/// All functions, by name.
pub(crate) fn function_views(app: &App, refused: &[RefusedFile]) -> Vec<FunctionView> {
    let view = |version: &Version| {
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
            concurrency: configuration.concurrency,
            routes: configuration
                .routes
                .iter()
                .map(|http| http.route.to_string())
                .collect(),
            urls: urls(app, version),
            artifact: version.artifact.to_string(),
            size_bytes: configuration.size_bytes,
            origin: match version.origin {
                Origin::Drop => "drop",
            },
            updated_at: rfc3339_ms(version.updated_at_us),
            engine: app.sandboxes.settings_report().profile.as_str(),
            refused: newer.map(|file| file.reason.clone()),
        }
    };
    app.registry
        .list()
        .iter()
        .map(|version| view(version))
        .collect()
}

/// Where a function answers; a route that covers all below another one is left out.
fn urls(app: &App, version: &Version) -> Vec<String> {
    let paths: Vec<&str> = version
        .configuration
        .routes
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
