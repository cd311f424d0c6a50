//! `mayfly keys`: the keys that sign requests for control.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};
use storage::DataDir;

use super::output::{answer, note, printable};
use super::places::Places;
use super::table::{Align, aligned};
use super::users;
use crate::auth::credentials::{self, PROFILE, Profile};
use crate::auth::root_key::{Endpoint, KeyPlaces, RootKey};
use crate::auth::secret::Secret;
use crate::client::Client;

/// Manages access keys.
///
/// A user has up to two, so that a new one can take over from an old one. The secret of a key is shown
/// when the key is made: that is the only time.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly keys create ci --write ci.credentials   a file for ci alone
  AWS_SHARED_CREDENTIALS_FILE=ci.credentials AWS_PROFILE=mayfly aws lambda list-functions
  mayfly keys create ci                          print the secret, this once
  mayfly keys list
  mayfly keys disable AKIAIOSFODNN7EXAMPLE       refused from now on
  mayfly keys rotate AKIAIOSFODNN7EXAMPLE --write ci.credentials --profile new
  mayfly keys rotate-root                        when nobody has the root key any more")]
pub(super) struct Keys {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a key for a user; shows the secret, this once
    Create {
        user: String,
        #[command(flatten)]
        place: Place,
    },
    /// List keys, of one user or of all
    List {
        user: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Refuse a key from now on
    Disable { key: String },
    /// Let a key be used again
    Enable { key: String },
    /// Make a new key for the owner of this one, and delete this one
    Rotate {
        key: String,
        #[command(flatten)]
        place: Place,
    },
    /// Delete a key
    Delete { key: String },
    /// Replace the root key; the server must be stopped
    ///
    /// Works on the data directory itself, so it needs no key. The new one is written to the credentials
    /// file; the old one is refused from the next start on.
    RotateRoot,
}

/// Where the secret goes.
#[derive(Debug, clap::Args)]
struct Place {
    /// Add it as a profile to this AWS credentials file, of mode 0600, instead of printing it
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,

    /// Name of the profile
    #[arg(long, value_name = "NAME", default_value = PROFILE)]
    profile: String,
}

/// A key, as IAM lists it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    user_name: String,
    access_key_id: String,
    status: String,
    create_date: String,
}

/// Does what was asked.
pub(super) fn run(keys: &Keys, places: &Places) -> anyhow::Result<ExitCode> {
    if matches!(keys.command, KeysCommand::RotateRoot) {
        return rotate_root(places);
    }
    let client = Places::client(&places.config()?)?;
    match &keys.command {
        KeysCommand::Create { user, place } => create(&client, user, place)?,
        KeysCommand::List { user, json } => list(&client, user.as_deref(), *json)?,
        KeysCommand::Disable { key } => {
            set_status(&client, key, "Inactive")?;
            note(&format!("disabled key {}", printable(key)));
        }
        KeysCommand::Enable { key } => {
            set_status(&client, key, "Active")?;
            note(&format!("enabled key {}", printable(key)));
        }
        KeysCommand::Rotate { key, place } => {
            let user = owner(&client, key)?;
            create(&client, &user, place)?;
            delete(&client, key)?;
        }
        KeysCommand::Delete { key } => delete(&client, key)?,
        KeysCommand::RotateRoot => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn create(client: &Client, user: &str, place: &Place) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Created {
        access_key: NewKey,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct NewKey {
        access_key_id: String,
        secret_access_key: String,
    }
    let name = &place.profile;
    anyhow::ensure!(
        !name.is_empty() && !name.contains(|c: char| c.is_control() || "[]".contains(c)),
        "--profile must be a name without `[` and `]`"
    );
    // Before there is a secret that could be lost.
    if let Some(file) = &place.write {
        anyhow::ensure!(
            !credentials::has(file, name)?,
            "{} has a profile [{name}] already; choose another name with --profile",
            file.display()
        );
    }
    let created: Created = client.iam("CreateAccessKey", &json!({ "UserName": user }))?;
    let profile = Profile {
        access_key_id: created.access_key.access_key_id,
        secret: Secret::new(created.access_key.secret_access_key),
        region: Some(client.region().to_owned()),
        endpoint_url: Some(client.endpoint_url()),
    };
    match &place.write {
        Some(file) => {
            write(file, name, &profile)?;
            note(&format!(
                "made key {} of user {}; it is the profile [{name}] in {}",
                profile.access_key_id,
                printable(user),
                file.display()
            ));
        }
        None => {
            answer(credentials::section_text(name, &profile).as_bytes())?;
            note("this is the only time that the secret is shown");
        }
    }
    Ok(())
}

fn write(file: &Path, name: &str, profile: &Profile) -> anyhow::Result<()> {
    credentials::add(file, name, profile).with_context(|| {
        format!(
            "the key {} was made and its secret is lost; delete it with `mayfly keys delete {0}`",
            profile.access_key_id
        )
    })
}

fn list(client: &Client, user: Option<&str>, as_json: bool) -> anyhow::Result<()> {
    let users = match user {
        Some(user) => vec![user.to_owned()],
        None => users::names(client)?,
    };
    let mut keys = Vec::new();
    for user in users {
        let parameters = json!({ "UserName": user });
        keys.extend(client.iam_list("ListAccessKeys", "AccessKeyMetadata", &parameters)?);
    }
    if as_json {
        return answer(format!("{}\n", Value::Array(keys)));
    }
    let keys: Vec<Key> = serde_json::from_value(Value::Array(keys))?;
    if keys.is_empty() {
        return answer("no keys of users yet; `mayfly keys create USER` makes one\n");
    }
    let columns = [
        ("USER", Align::Left),
        ("KEY", Align::Left),
        ("STATUS", Align::Left),
        ("CREATED", Align::Left),
    ];
    let rows: Vec<_> = keys
        .into_iter()
        .map(|key| {
            vec![
                key.user_name,
                key.access_key_id,
                key.status,
                key.create_date,
            ]
        })
        .collect();
    answer(aligned(&columns, &rows))
}

/// The user that a key belongs to.
fn owner(client: &Client, key: &str) -> anyhow::Result<String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct LastUsed {
        user_name: String,
    }
    let used: LastUsed = client.iam("GetAccessKeyLastUsed", &json!({ "AccessKeyId": key }))?;
    Ok(used.user_name)
}

fn set_status(client: &Client, key: &str, status: &str) -> anyhow::Result<()> {
    let user = owner(client, key)?;
    let parameters = json!({ "UserName": user, "AccessKeyId": key, "Status": status });
    let _set: Value = client.iam("UpdateAccessKey", &parameters)?;
    Ok(())
}

fn delete(client: &Client, key: &str) -> anyhow::Result<()> {
    let user = owner(client, key)?;
    let parameters = json!({ "UserName": user, "AccessKeyId": key });
    let _deleted: Value = client.iam("DeleteAccessKey", &parameters)?;
    note(&format!("deleted key {}", printable(key)));
    Ok(())
}

fn rotate_root(places: &Places) -> anyhow::Result<ExitCode> {
    let config = places.config()?;
    anyhow::ensure!(
        config.data_dir.is_dir(),
        "there is no data directory {}; say where it is with --data",
        config.data_dir.display()
    );
    // Holding it keeps a server from starting half way.
    let data_dir = DataDir::open(&config.data_dir)?;
    let key_places = KeyPlaces {
        data_dir: data_dir.path(),
        key_file: &config.key_file,
        credentials: &config.credentials,
    };
    let key = RootKey::rotate(&key_places, &Endpoint::of(&config, config.control))?;
    note(&format!(
        "the root key is {} now; it is the profile [{PROFILE}] in {}",
        key.access_key_id(),
        config.credentials.display()
    ));
    Ok(ExitCode::SUCCESS)
}
