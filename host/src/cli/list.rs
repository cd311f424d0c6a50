//! `mayfly list`: what is live, and what was refused and why.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Deserialize;

use super::output::{answer, one_line};
use super::places::Places;
use super::rollback::Target;
use super::table::{Align, aligned};

const PATH: &str = "/mayfly/functions";

/// Hexadecimal digits of an artifact's hash that are shown.
const HASH_DIGITS: usize = 12;

/// Lists the functions of the running server, and the files it refused.
///
/// A refused file is shown with its reason. Where an older version of the function keeps answering,
/// that is said too.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly list
  mayfly list -v                     with routes, artifact and times
  mayfly list --json | jq -r '.functions[].name'")]
pub(super) struct List {
    /// Show everything about each function
    #[arg(short, long)]
    verbose: bool,

    /// Print JSON, as the control API answers it
    #[arg(long, conflicts_with = "verbose")]
    json: bool,
}

/// What the control API says about functions.
#[derive(Debug, Deserialize)]
struct Listing {
    functions: Vec<Function>,
    refused: Vec<Refused>,
}

#[derive(Debug, Deserialize)]
struct Function {
    name: String,
    kind: String,
    version: String,
    description: Option<String>,
    memory_mb: u64,
    timeout_ms: u64,
    concurrency: Option<u64>,
    routes: Vec<String>,
    urls: Vec<String>,
    artifact: String,
    size_bytes: u64,
    origin: String,
    #[serde(default)]
    versions: u64,
    #[serde(default)]
    aliases: Vec<Alias>,
    updated_at: String,
    engine: Option<String>,
    refused: Option<String>,
}

impl Function {
    /// Whether its file is gone from the functions folder.
    fn is_absent(&self) -> bool {
        self.origin == "absent"
    }
}

#[derive(Debug, Deserialize)]
struct Alias {
    name: String,
    #[serde(flatten)]
    target: Target,
}

#[derive(Debug, Deserialize)]
struct Refused {
    file: String,
    reason: String,
    since: String,
    serving: bool,
}

/// Lists.
pub(super) fn run(command: &List, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    if command.json {
        let text = client.get_text(PATH)?;
        answer(format!("{}\n", text.trim_end()))?;
    } else {
        let listing: Listing = client.get(PATH)?;
        answer(if command.verbose {
            details(&listing)
        } else {
            overview(&listing)
        })?;
    }
    Ok(ExitCode::SUCCESS)
}

fn overview(listing: &Listing) -> String {
    if listing.functions.is_empty() && listing.refused.is_empty() {
        return "no functions yet; drop a .wasm file into the functions folder, or run `mayfly new hello`\n".to_owned();
    }
    let columns = [
        ("NAME", Align::Left),
        ("KIND", Align::Left),
        ("MEMORY", Align::Right),
        ("TIMEOUT", Align::Right),
        ("URL", Align::Left),
    ];
    let rows: Vec<_> = listing
        .functions
        .iter()
        .map(|function| {
            vec![
                function.name.clone(),
                function.kind.clone(),
                format!("{} MB", function.memory_mb),
                seconds(function.timeout_ms),
                urls(function),
            ]
        })
        .collect();
    format!("{}{}", aligned(&columns, &rows), refused(listing))
}

fn details(listing: &Listing) -> String {
    let mut text = String::new();
    for function in &listing.functions {
        let concurrency = function
            .concurrency
            .map_or_else(|| "shared".to_owned(), |count| format!("{count} at once"));
        let hash: String = function.artifact.chars().take(HASH_DIGITS).collect();
        let lines = [
            ("description", function.description.as_deref().map(one_line)),
            ("kind", Some(function.kind.clone())),
            ("version", Some(function.version.clone())),
            ("versions", published(function.versions)),
            ("aliases", Some(aliases(&function.aliases))),
            ("memory", Some(format!("{} MB", function.memory_mb))),
            ("timeout", Some(seconds(function.timeout_ms))),
            ("concurrency", Some(concurrency)),
            ("routes", Some(function.routes.join(", "))),
            ("urls", Some(function.urls.join(", "))),
            (
                "artifact",
                Some(format!("sha256:{hash}… {} bytes", function.size_bytes)),
            ),
            ("origin", Some(origin(function))),
            ("updated", Some(function.updated_at.clone())),
            ("engine", function.engine.clone()),
            (
                "refused",
                function.refused.as_deref().map(|reason| {
                    let reason = one_line(reason);
                    match function.is_absent() {
                        true => reason,
                        false => format!("{reason} (the version above keeps answering)"),
                    }
                }),
            ),
        ];
        let _written = writeln!(text, "{}", function.name);
        for (label, value) in lines {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                let _written = writeln!(text, "  {label:<12} {}", one_line(&value));
            }
        }
        text.push('\n');
    }
    text.push_str(refused(listing).trim_start_matches('\n'));
    text
}

/// A line for each refused file, after an empty one; nothing when there is none.
fn refused(listing: &Listing) -> String {
    let mut text = String::new();
    for refused in &listing.refused {
        if text.is_empty() {
            text.push('\n');
        }
        let serving = if refused.serving {
            "; the last good version keeps answering"
        } else {
            ""
        };
        let _written = writeln!(
            text,
            "refused {}: {} (since {}{serving})",
            one_line(&refused.file),
            one_line(&refused.reason),
            refused.since,
        );
    }
    text
}

fn origin(function: &Function) -> String {
    if function.is_absent() {
        "absent: the file is gone; versions, aliases and settings are kept until it is back or the function is deleted".to_owned()
    } else {
        function.origin.clone()
    }
}

fn published(versions: u64) -> Option<String> {
    (versions > 0).then(|| format!("{versions} published"))
}

fn aliases(aliases: &[Alias]) -> String {
    let shown = aliases.iter();
    let shown = shown.map(|alias| format!("{} is {}", alias.name, alias.target));
    shown.collect::<Vec<_>>().join(", ")
}

/// The first address, and how many more there are.
fn urls(function: &Function) -> String {
    match function.urls.split_first() {
        None if function.is_absent() => "absent".to_owned(),
        None => "-".to_owned(),
        Some((first, [])) => first.clone(),
        Some((first, more)) => format!("{first} (and {} more)", more.len()),
    }
}

fn seconds(ms: u64) -> String {
    let text = format!("{}.{:03}", ms / 1_000, ms % 1_000);
    format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing() -> Listing {
        serde_json::from_str(
            r#"{"functions":[
                {"name":"hello","kind":"sdk","version":"$LATEST","description":"Greets\nyou",
                 "memory_mb":128,"timeout_ms":3000,"concurrency":null,
                 "routes":["ANY /hello","ANY /hello/{proxy+}"],
                 "urls":["http://127.0.0.1:3000/hello"],"artifact":"0123456789abcdef0123",
                 "size_bytes":1234,"origin":"drop","versions":3,
                 "aliases":[{"name":"live","version":"2","additional":{"version":"3","weight":0.1}}],"updated_at":"2026-11-22T16:28:17.840Z",
                 "engine":"small","refused":null,"new_field":1},
                {"name":"n","kind":"command","version":"$LATEST","description":null,
                 "memory_mb":4096,"timeout_ms":250,"concurrency":2,"routes":[],"urls":[],
                 "artifact":"ff","size_bytes":1,"origin":"drop",
                 "updated_at":"2026-11-22T16:28:17.840Z","engine":null,"refused":"not wasm"}],
              "refused":[{"file":"n.wasm","function":"n","reason":"not wasm",
                 "since":"2026-11-22T16:28:18.000Z","serving":true}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn the_overview_is_a_table_and_the_refused() {
        assert_eq!(
            overview(&listing()),
            "\
NAME   KIND      MEMORY  TIMEOUT  URL
hello  sdk       128 MB      3 s  http://127.0.0.1:3000/hello
n      command  4096 MB   0.25 s  -

refused n.wasm: not wasm (since 2026-11-22T16:28:18.000Z; the last good version keeps answering)
"
        );
    }

    #[test]
    fn the_details_are_a_line_for_each_thing_that_is_known() {
        let text = details(&listing());
        assert!(
            text.starts_with("hello\n  description  Greets you\n  kind         sdk\n"),
            "{text}"
        );
        assert!(
            text.contains("  artifact     sha256:0123456789ab… 1234 bytes\n"),
            "{text}"
        );
        assert!(
            text.contains("  versions     3 published\n  aliases      live is 2 and 10 % 3\n"),
            "{text}"
        );
        assert!(text.contains("  refused      not wasm (the version above keeps answering)\n"));
    }

    #[test]
    fn a_function_whose_file_is_gone_is_absent() {
        let mut listing = listing();
        listing.functions.remove(0);
        listing.functions[0].origin = "absent".to_owned();
        assert!(overview(&listing).contains("0.25 s  absent\n"));
        let text = details(&listing);
        assert!(
            text.contains("  origin       absent: the file is gone;"),
            "{text}"
        );
        assert!(text.contains("  refused      not wasm\n"), "{text}");
    }

    #[test]
    fn nothing_there_says_what_to_do() {
        let empty = Listing {
            functions: Vec::new(),
            refused: Vec::new(),
        };
        assert!(overview(&empty).contains("mayfly new hello"));
    }
}
