//! `SimulatePrincipalPolicy`: what a user or role may do, and which statement says so.
//!
//! Asks the evaluator that decides real requests, with the policies that are in force, those of the
//! resource among them. `Statement` in a match is ours: its `Sid`, or which one it is.

use domain::names::ACCOUNT_ID;
use domain::policy::{Context, Decision, Place, PolicyKind};

use super::Call;
use crate::api::error::ApiError;
use crate::api::form::{Form, validation};
use crate::api::xml::Node;
use crate::auth::decide::{Answer, Question, Who, of_time};
use crate::auth::identities::State;

/// Actions times resources.
const QUESTIONS_MAX: usize = 1_000;

pub(super) fn simulate(call: &Call<'_>) -> Result<Option<Node>, ApiError> {
    let state = call.identities.now();
    let who = principal(&state, call.form.required("PolicySourceArn")?)?;
    let actions = call.form.list("ActionNames");
    let mut resources = call.form.list("ResourceArns");
    if actions.is_empty() {
        call.form.required("ActionNames.member.1")?;
    }
    if resources.is_empty() {
        resources.push("*");
    }
    if actions.len() * resources.len() > QUESTIONS_MAX {
        return Err(validation(format!(
            "actions times resources must be at most {QUESTIONS_MAX}"
        )));
    }
    let context = context(call.form, call.now_us);
    let mut results = Vec::new();
    for action in &actions {
        for resource in &resources {
            let question = Question {
                region: call.region,
                action,
                resource,
                own: (call.resource_side)(resource),
                context: context.clone(),
            };
            results.push(view(action, resource, &question.ask(&state, who)));
        }
    }
    Ok(Some(Node::Fields(vec![
        ("EvaluationResults", Node::List(results)),
        ("IsTruncated", Node::text("false")),
    ])))
}

/// The user or role of an ARN.
fn principal<'a>(state: &'a State, arn: &str) -> Result<Who<'a>, ApiError> {
    let invalid = || {
        validation(format!(
            "PolicySourceArn {} is not the ARN of a user or role, such as arn:aws:iam::{ACCOUNT_ID}:user/NAME",
            arn.chars().take(200).collect::<String>().escape_debug()
        ))
    };
    let who = arn
        .strip_prefix(&format!("arn:aws:iam::{ACCOUNT_ID}:"))
        .ok_or_else(invalid)?;
    let (kind, path) = who.split_once('/').ok_or_else(invalid)?;
    let name = path.rsplit('/').next().unwrap_or(path);
    match kind {
        "user" => Ok(Who::User(state.user(name)?)),
        "role" => Ok(Who::Role(state.role(name)?)),
        _ => Err(invalid()),
    }
}

/// The time, and what `ContextEntries` say.
fn context(form: &Form, now_us: i64) -> Context {
    let mut context = of_time(now_us);
    let mut number = 1;
    let entry = |number: usize| format!("ContextEntries.member.{number}");
    while let Some(key) = form.text(&format!("{}.ContextKeyName", entry(number))) {
        let values = form.list(&format!("{}.ContextKeyValues", entry(number)));
        context.set_all(key, values.into_iter().map(str::to_owned).collect());
        number += 1;
    }
    context
}

fn view(action: &str, resource: &str, answer: &Answer) -> Node {
    let (decision, kind) = match &answer.decision {
        Decision::Allowed(Place { kind, .. }) => ("allowed", Some(kind)),
        Decision::Denied(Place { kind, .. }) => ("explicitDeny", Some(kind)),
        Decision::NotAllowed => ("implicitDeny", None),
    };
    let matched = kind.map(|kind| {
        let kind = match kind {
            PolicyKind::Identity => "IAM Policy",
            PolicyKind::Resource => "Resource Policy",
        };
        let text = |text: &Option<String>| Node::text(text.as_deref().unwrap_or(""));
        Node::Fields(vec![
            ("SourcePolicyId", text(&answer.policy)),
            ("SourcePolicyType", Node::text(kind)),
            ("Statement", text(&answer.sid)),
        ])
    });
    Node::Fields(vec![
        ("EvalActionName", Node::text(action)),
        ("EvalResourceName", Node::text(resource)),
        ("EvalDecision", Node::text(decision)),
        (
            "MatchedStatements",
            Node::List(matched.into_iter().collect()),
        ),
        ("MissingContextValues", Node::List(Vec::new())),
    ])
}
