//! `mayfly policy`: what users may do, and why.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Subcommand;
use domain::names::ACCOUNT_ID;
use domain::policy::PolicyDocument;
use domain::routing::decode_percent;
use serde::Deserialize;
use serde_json::{Value, json};

use super::output::{answer, note, one_line, printable};
use super::places::Places;
use crate::client::Client;

/// Bytes of a policy that are read.
const BYTES_MAX: u64 = 1 << 20;

/// Manages what users may do.
///
/// A policy is a JSON document as on AWS. A user may do what one of them allows and none denies.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  mayfly policy put ci deploy deploy-policy.json
  mayfly policy put ci deploy - < deploy-policy.json
  mayfly policy attach ci arn:aws:iam::aws:policy/AWSLambda_ReadOnlyAccess
  mayfly policy list ci
  mayfly policy get ci deploy | jq
  mayfly policy simulate ci lambda:InvokeFunction hello
  mayfly policy simulate ci lambda:GetFunction arn:aws:lambda:local:000000000000:function:hello:1

A policy that lets a user call one function:
  {\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Allow\",
    \"Action\": \"lambda:InvokeFunction\", \"Resource\": [
      \"arn:aws:lambda:*:*:function:hello\", \"arn:aws:lambda:*:*:function:hello:*\"]}]}")]
pub(super) struct Policy {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Put a policy into a user, in place of one with the same name
    Put {
        user: String,
        name: String,
        /// The document; `-` reads stdin
        file: PathBuf,
    },
    /// Print a policy of a user
    Get { user: String, name: String },
    /// List the policies of a user
    List { user: String },
    /// Take a policy out of a user
    Delete { user: String, name: String },
    /// Attach a policy that has an ARN to a user
    Attach { user: String, arn: String },
    /// Detach a policy from a user
    Detach { user: String, arn: String },
    /// Say whether a user may do something, and which statement decides
    ///
    /// Exits with 0 when it is allowed and with 1 when it is not.
    Simulate {
        user: String,
        /// Such as lambda:InvokeFunction
        action: String,
        /// An ARN, a function's name, or `*`
        #[arg(default_value = "*")]
        resource: String,
        /// What a condition looks at, such as aws:SourceIp=10.0.0.1
        #[arg(long, value_name = "KEY=VALUE")]
        context: Vec<String>,
    },
}

/// Does what was asked.
pub(super) fn run(policy: &Policy, places: &Places) -> anyhow::Result<ExitCode> {
    let client = Places::client(&places.config()?)?;
    match &policy.command {
        PolicyCommand::Put { user, name, file } => put(&client, user, name, file)?,
        PolicyCommand::Get { user, name } => get(&client, user, name)?,
        PolicyCommand::List { user } => list(&client, user)?,
        PolicyCommand::Delete { user, name } => {
            let parameters = json!({ "UserName": user, "PolicyName": name });
            let _deleted: Value = client.iam("DeleteUserPolicy", &parameters)?;
            note(&format!(
                "took policy {} out of user {}",
                printable(name),
                printable(user)
            ));
        }
        PolicyCommand::Attach { user, arn } => {
            let parameters = json!({ "UserName": user, "PolicyArn": arn });
            let _attached: Value = client.iam("AttachUserPolicy", &parameters)?;
            note(&format!(
                "attached {} to {}",
                printable(arn),
                printable(user)
            ));
        }
        PolicyCommand::Detach { user, arn } => {
            let parameters = json!({ "UserName": user, "PolicyArn": arn });
            let _detached: Value = client.iam("DetachUserPolicy", &parameters)?;
            note(&format!(
                "detached {} from {}",
                printable(arn),
                printable(user)
            ));
        }
        PolicyCommand::Simulate {
            user,
            action,
            resource,
            context,
        } => return simulate(&client, user, (action, resource), context),
    }
    Ok(ExitCode::SUCCESS)
}

fn put(client: &Client, user: &str, name: &str, file: &Path) -> anyhow::Result<()> {
    let document = read(file)?;
    // Says what is wrong before anything is sent.
    PolicyDocument::parse_identity(&document).with_context(|| file.display().to_string())?;
    let parameters = json!({ "UserName": user, "PolicyName": name, "PolicyDocument": document });
    let _put: Value = client.iam("PutUserPolicy", &parameters)?;
    note(&format!(
        "user {} has policy {}",
        printable(user),
        printable(name)
    ));
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    let failed = || format!("reading {} failed", file.display());
    let mut text = String::new();
    let count = if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(BYTES_MAX)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file)
            .with_context(failed)?
            .take(BYTES_MAX)
            .read_to_string(&mut text)
    };
    count.with_context(failed)?;
    Ok(text)
}

fn get(client: &Client, user: &str, name: &str) -> anyhow::Result<()> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Got {
        policy_document: String,
    }
    let parameters = json!({ "UserName": user, "PolicyName": name });
    let got: Got = client.iam("GetUserPolicy", &parameters)?;
    // IAM answers with the document percent-encoded.
    let document = decode_percent(got.policy_document.as_bytes())
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .context("the server answered with a document that is not percent-encoded UTF-8")?;
    answer(format!("{}\n", document.trim_end()))
}

fn list(client: &Client, user: &str) -> anyhow::Result<()> {
    let parameters = json!({ "UserName": user });
    let inline = client.iam_list("ListUserPolicies", "PolicyNames", &parameters)?;
    let attached = client.iam_list("ListAttachedUserPolicies", "AttachedPolicies", &parameters)?;
    let names = inline
        .iter()
        .chain(attached.iter().map(|policy| &policy["PolicyArn"]));
    let mut text = String::new();
    for name in names.filter_map(Value::as_str) {
        text.push_str(&printable(name));
        text.push('\n');
    }
    answer(text)
}

/// An answer of `SimulatePrincipalPolicy`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Simulated {
    evaluation_results: Vec<Evaluation>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Evaluation {
    eval_action_name: String,
    eval_resource_name: String,
    eval_decision: String,
    matched_statements: Vec<Matched>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Matched {
    source_policy_id: String,
    source_policy_type: String,
    statement: String,
}

fn simulate(
    client: &Client,
    user: &str,
    (action, resource): (&str, &str),
    context: &[String],
) -> anyhow::Result<ExitCode> {
    let user: Value = client.iam("GetUser", &json!({ "UserName": user }))?;
    let mut parameters = json!({
        "PolicySourceArn": user["User"]["Arn"],
        "ActionNames": [action],
        "ResourceArns": [arn(resource)],
    });
    for (number, pair) in (1..).zip(context) {
        let (key, value) = pair
            .split_once('=')
            .with_context(|| format!("--context {pair} must be KEY=VALUE"))?;
        parameters[format!("ContextEntries.member.{number}.ContextKeyName")] = json!(key);
        parameters[format!("ContextEntries.member.{number}.ContextKeyValues.member.1")] =
            json!(value);
    }
    let simulated: Simulated = client.iam("SimulatePrincipalPolicy", &parameters)?;
    let mut text = String::new();
    let mut is_allowed = !simulated.evaluation_results.is_empty();
    for result in &simulated.evaluation_results {
        is_allowed &= result.eval_decision == "allowed";
        text.push_str(&one_line(&line(result)));
        text.push('\n');
    }
    answer(text)?;
    Ok(if is_allowed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The ARN of a function that is named without one.
fn arn(resource: &str) -> String {
    if resource == "*" || resource.starts_with("arn:") {
        resource.to_owned()
    } else {
        format!("arn:aws:lambda:local:{ACCOUNT_ID}:function:{resource}")
    }
}

fn line(result: &Evaluation) -> String {
    let word = match result.eval_decision.as_str() {
        "allowed" => "allowed",
        "explicitDeny" => "denied",
        _ => "not allowed",
    };
    let why = result.matched_statements.first().map_or_else(
        || "no statement allows it".to_owned(),
        |matched| {
            let kind = match matched.source_policy_type.as_str() {
                "Resource Policy" => "the policy of",
                _ => "policy",
            };
            format!(
                "{} of {kind} {}",
                matched.statement, matched.source_policy_id
            )
        },
    );
    format!(
        "{word}: {} on {}: {why}",
        result.eval_action_name, result.eval_resource_name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_line_with_its_reason() {
        let evaluation = |decision: &str, matched| Evaluation {
            eval_action_name: "lambda:GetFunction".to_owned(),
            eval_resource_name: arn("f:1"),
            eval_decision: decision.to_owned(),
            matched_statements: matched,
        };
        let matched = |kind: &str| Matched {
            source_policy_id: "p".to_owned(),
            source_policy_type: kind.to_owned(),
            statement: "statement 2".to_owned(),
        };
        let on = "lambda:GetFunction on arn:aws:lambda:local:000000000000:function:f:1";
        assert_eq!(
            line(&evaluation("explicitDeny", vec![matched("IAM Policy")])),
            format!("denied: {on}: statement 2 of policy p")
        );
        assert_eq!(
            line(&evaluation("allowed", vec![matched("Resource Policy")])),
            format!("allowed: {on}: statement 2 of the policy of p")
        );
        assert_eq!(
            line(&evaluation("implicitDeny", Vec::new())),
            format!("not allowed: {on}: no statement allows it")
        );
    }
}
