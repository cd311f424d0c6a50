//! `mayfly api-keys`: the keys that clients of HTTP triggers send.

use std::process::ExitCode;

use clap::Subcommand;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{answer, note, printable};
use super::places::Places;
use super::table::{Align, aligned};

const PATH: &str = "/mayfly/api-keys";

/// Manages API keys of HTTP triggers.
///
/// A route with `auth = "api-key"` answers whoever sends one of them in the header `x-api-key`. A key is
/// printed when it is made and never again: only its hash is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly api-keys create partner             prints the key, this once
  curl -H \"x-api-key: KEY\" http://127.0.0.1:3000/hello
  mayfly api-keys list
  mayfly api-keys disable partner
  mayfly api-keys delete partner")]
pub(super) struct ApiKeys {
    #[command(subcommand)]
    command: ApiKeysCommand,
}

#[derive(Debug, Subcommand)]
enum ApiKeysCommand {
    /// Make a key and print it, this once
    Create { name: String },
    /// List the names of keys
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a key be used again
    Enable { name: String },
    /// Refuse a key from now on
    Disable { name: String },
    /// Delete a key
    Delete { name: String },
}

#[derive(Debug, Deserialize)]
struct Listing {
    api_keys: Vec<ApiKey>,
}

#[derive(Debug, Deserialize)]
struct ApiKey {
    name: String,
    enabled: bool,
    created_at: String,
}

#[derive(Deserialize)]
struct Created {
    key: String,
}

/// Does what was asked.
pub(super) fn run(keys: &ApiKeys, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    let path = |name: &str| format!("{PATH}/{}", crate::client::encode(name));
    let update = |name: &str, enabled: bool| {
        client.send_json::<Value>(&Method::PUT, &path(name), &json!({ "enabled": enabled }))
    };
    match &keys.command {
        ApiKeysCommand::Create { name } => {
            let body = json!({ "name": name });
            let created: Created = client.send_json(&Method::POST, PATH, &body)?;
            answer(format!("{}\n", created.key))?;
            note("this is the only time that the key is shown");
        }
        ApiKeysCommand::List { json: true } => {
            answer(format!("{}\n", client.get_text(PATH)?.trim_end()))?;
        }
        ApiKeysCommand::List { json: false } => answer(table(client.get(PATH)?))?,
        ApiKeysCommand::Enable { name } => {
            let _updated = update(name, true)?;
            note(&format!("enabled API key {}", printable(name)));
        }
        ApiKeysCommand::Disable { name } => {
            let _updated = update(name, false)?;
            note(&format!("disabled API key {}", printable(name)));
        }
        ApiKeysCommand::Delete { name } => {
            let _deleted: Value = client.send_json(&Method::DELETE, &path(name), &json!({}))?;
            note(&format!("deleted API key {}", printable(name)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(listing: Listing) -> String {
    if listing.api_keys.is_empty() {
        return "no API keys yet; `mayfly api-keys create NAME` makes one\n".to_owned();
    }
    let columns = [
        ("NAME", Align::Left),
        ("STATUS", Align::Left),
        ("CREATED", Align::Left),
    ];
    let status = |enabled| if enabled { "enabled" } else { "disabled" };
    let rows: Vec<_> = listing
        .api_keys
        .into_iter()
        .map(|key| vec![key.name, status(key.enabled).to_owned(), key.created_at])
        .collect();
    aligned(&columns, &rows)
}
