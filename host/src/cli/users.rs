//! `mayfly users`: who there is beside the owner of the account.

use std::process::ExitCode;

use clap::Subcommand;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{answer, note, printable};
use super::places::Places;
use super::table::{Align, aligned};
use crate::client::Client;

/// Manages users.
///
/// A user signs requests with access keys (`mayfly keys`) and may do what policies allow
/// (`mayfly policy`).
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly users create ci
  mayfly keys create ci --write ci.credentials
  mayfly policy put ci deploy deploy-policy.json
  mayfly users list
  mayfly users delete ci                   after its keys and policies are gone")]
pub(super) struct Users {
    #[command(subcommand)]
    command: UsersCommand,
}

#[derive(Debug, Subcommand)]
enum UsersCommand {
    /// Make a user, who may do nothing yet
    Create { name: String },
    /// List users
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Delete a user who has no keys and policies
    Delete { name: String },
}

/// A user, as IAM shows it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct User {
    user_name: String,
    arn: String,
    create_date: String,
}

/// Does what was asked.
pub(super) fn run(users: &Users, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    match &users.command {
        UsersCommand::Create { name } => {
            let _made: Value = client.iam("CreateUser", &json!({ "UserName": name }))?;
            note(&format!(
                "made user {}; `mayfly keys create {0}` makes a key, `mayfly policy put` says what it may do",
                printable(name)
            ));
        }
        UsersCommand::List { json } => {
            let users = client.iam_list("ListUsers", "Users", &json!({}))?;
            answer(if *json {
                format!("{}\n", Value::Array(users))
            } else {
                table(users)?
            })?;
        }
        UsersCommand::Delete { name } => {
            let _deleted: Value = client.iam("DeleteUser", &json!({ "UserName": name }))?;
            note(&format!("deleted user {}", printable(name)));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn table(users: Vec<Value>) -> anyhow::Result<String> {
    let users: Vec<User> = serde_json::from_value(Value::Array(users))?;
    if users.is_empty() {
        return Ok("no users yet; `mayfly users create NAME` makes one\n".to_owned());
    }
    let columns = [
        ("NAME", Align::Left),
        ("CREATED", Align::Left),
        ("ARN", Align::Left),
    ];
    let rows: Vec<_> = users
        .into_iter()
        .map(|user| vec![user.user_name, user.create_date, user.arn])
        .collect();
    Ok(aligned(&columns, &rows))
}

/// The names of all users.
pub(super) fn names(client: &Client) -> anyhow::Result<Vec<String>> {
    let users = client.iam_list("ListUsers", "Users", &json!({}))?;
    let users: Vec<User> = serde_json::from_value(Value::Array(users))?;
    Ok(users.into_iter().map(|user| user.user_name).collect())
}
