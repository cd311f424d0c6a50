//! `POST /2015-03-31/functions/{name}/policy`: one more statement in a resource policy.

use domain::{Qualifier, VersionId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::error::ApiError;
use super::call::{Call, reply};
use super::change::{Revised, new_revision, policy_revision, revision};
use super::checks::{Checks, is_word};
use super::principals;
use super::wire::settings_key;
use crate::http::error::HttpResponse;
use crate::registry::ResourcePolicy;

/// Most bytes of a resource policy. Lambda's limit.
const POLICY_BYTES_MAX: usize = 20_480;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    statement_id: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    source_arn: Option<String>,
    source_account: Option<String>,
    event_source_token: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    revision_id: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
}

pub(super) async fn add_permission(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    let request: Request = call.json()?;
    request.check()?;
    let expected = revision(request.revision_id.as_deref(), Revised::Policy)?;
    let target = call.target()?;
    if target.qualifier == Some(Qualifier::Version(VersionId::Latest)) {
        return Err(ApiError::validation(
            "We currently do not support adding policies for $LATEST.",
        ));
    }
    call.function_with_qualifier()?;
    let statement = request.statement(&call.target_arn()?)?;
    let sid = request.statement_id.unwrap_or_default();
    let key = settings_key(target.qualifier.as_ref());
    let identities = call.request.app.identities.now();
    let added = principals::stored(&identities, statement.clone())?;
    let new = new_revision(call.request.app);
    call.settings(move |_function, settings| {
        let policy = settings.policies.get(&key);
        policy_revision(expected, policy)?;
        let mut statements = policy.map_or_else(Vec::new, |policy| policy.statements.clone());
        if statements.iter().any(|known| known["Sid"] == *sid) {
            return Err(ApiError::conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the existing statement."
            )));
        }
        statements.push(added);
        let bytes = policy_text(&statements).len();
        if bytes > POLICY_BYTES_MAX {
            return Err(ApiError::new(
                StatusCode::BAD_REQUEST,
                "PolicyLengthExceededException",
                format!("The final policy size ({bytes}) is bigger than the limit ({POLICY_BYTES_MAX})."),
            ));
        }
        settings.policies.insert(key, ResourcePolicy { revision: new, statements });
        Ok(())
    })
    .await?;
    let body = json!({ "Statement": statement.to_string() });
    reply(StatusCode::CREATED, &body)
}

/// A resource policy as its text.
pub(super) fn policy_text(statements: &[Value]) -> String {
    json!({ "Version": "2012-10-17", "Id": "default", "Statement": statements }).to_string()
}

fn is_action(text: &str) -> bool {
    let name = text.strip_prefix("lambda:");
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphabetic());
    text == "*" || name.is_some_and(|name| name == "*" || is_name(name))
}

impl Request {
    fn check(&self) -> Result<(), ApiError> {
        let mut checks = Checks::default();
        checks.required("statementId", self.statement_id.as_ref());
        checks.required("action", self.action.as_ref());
        checks.required("principal", self.principal.as_ref());
        let sid = self.statement_id.as_deref();
        checks.length("statementId", sid, &(1..=100));
        checks.pattern("statementId", sid, "([a-zA-Z0-9-_]+)", |text| {
            is_word(text) || text.is_empty()
        });
        let pattern = "(lambda:[*]|lambda:[a-zA-Z]+|[*])";
        checks.pattern("action", self.action.as_deref(), pattern, is_action);
        let account = self.source_account.as_deref();
        checks.pattern("sourceAccount", account, "\\d{12}", principals::is_account);
        let pattern = "arn:(aws[a-zA-Z0-9-]*):([a-zA-Z0-9\\-])+:([a-z0-9-]*):(\\d{12})?:(.*)";
        checks.pattern("sourceArn", self.source_arn.as_deref(), pattern, |text| {
            text.len() <= 2_048 && text.starts_with("arn:aws") && text.matches(':').count() >= 5
        });
        let token = self.event_source_token.as_deref();
        checks.length("eventSourceToken", token, &(1..=256));
        let known = ["NONE", "AWS_IAM"];
        checks.one_of(
            "functionUrlAuthType",
            self.function_url_auth_type.as_deref(),
            &known,
        );
        let pattern = "o-[a-z0-9]{10,32}";
        checks.pattern(
            "principalOrgID",
            self.principal_org_id.as_deref(),
            pattern,
            |text| {
                text.strip_prefix("o-").is_some_and(|id| {
                    (10..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric())
                })
            },
        );
        checks.done()
    }

    /// The statement on `resource`.
    fn statement(&self, resource: &str) -> Result<Value, ApiError> {
        let mut statement = json!({
            "Sid": self.statement_id,
            "Effect": "Allow",
            "Principal": principals::read(self.principal.as_deref().unwrap_or(""))?,
            "Action": self.action,
            "Resource": resource,
        });
        let mut equals = Map::new();
        let mut add = |key: &str, value: &Option<String>| {
            if let Some(value) = value {
                equals.insert(key.to_owned(), json!(value));
            }
        };
        add("AWS:SourceAccount", &self.source_account);
        add("lambda:FunctionUrlAuthType", &self.function_url_auth_type);
        add("lambda:EventSourceToken", &self.event_source_token);
        add("aws:PrincipalOrgID", &self.principal_org_id);
        let mut condition = Map::new();
        if !equals.is_empty() {
            condition.insert("StringEquals".to_owned(), Value::Object(equals));
        }
        if let Some(arn) = &self.source_arn {
            condition.insert("ArnLike".to_owned(), json!({ "AWS:SourceArn": arn }));
        }
        if let Some(via_url) = self.invoked_via_function_url {
            let value = via_url.to_string();
            let member = json!({ "lambda:InvokedViaFunctionUrl": value });
            condition.insert("Bool".to_owned(), member);
        }
        if !condition.is_empty() {
            statement["Condition"] = Value::Object(condition);
        }
        Ok(statement)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_the_form_of_lambda() {
        for good in ["*", "lambda:*", "lambda:InvokeFunction"] {
            assert!(is_action(good), "{good}");
        }
        for bad in [
            "",
            "lambda:",
            "lambda:Invoke*",
            "s3:GetObject",
            "InvokeFunction",
        ] {
            assert!(!is_action(bad), "{bad}");
        }
    }
}
