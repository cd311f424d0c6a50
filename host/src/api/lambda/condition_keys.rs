//! What the conditions of policies may know of an operation: the parameters of its request that have a
//! condition key, and what is stored where a request changes or removes it.
//!
//! Reads those members alone and checks none: what has another type than it should is refused when the
//! operation reads it.

use serde::Deserialize;
use serde_json::Value;

use domain::FunctionRef;
use domain::names::ACCOUNT_ID;

use super::super::error::ApiError;
use super::super::json::{self, JsonError};
use super::super::query::Query;
use super::super::request::ApiRequest;
use super::call::internal;
use super::checks::Checks;
use super::operation::{Body, Operation};
use super::principals::shown;
use super::wire::settings_key;
use crate::auth::identities::State;
use crate::registry::{Function, UrlAuth};

/// Keys and values; a key with more than one value is there more than once.
pub(super) type Keys = Vec<(String, String)>;

const URL_AUTH: &str = "lambda:FunctionUrlAuthType";

/// The members of a body that decide whether the caller may.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub(super) struct Said {
    function_name: Option<Value>,
    tags: Option<Value>,
    layers: Option<Value>,
    vpc_config: Option<Value>,
    code_signing_config_arn: Option<Value>,
    auth_type: Option<Value>,
    principal: Option<Value>,
    function_url_auth_type: Option<Value>,
}

impl Said {
    /// Reads them where the operation has any.
    ///
    /// # Errors
    ///
    /// 400 for a body that is no JSON.
    pub(super) async fn of(
        request: &ApiRequest<'_>,
        operation: Operation,
    ) -> Result<Self, ApiError> {
        use Operation as Op;
        let is_read = matches!(
            operation,
            Op::CreateFunction
                | Op::UpdateFunctionConfiguration
                | Op::TagResource
                | Op::CreateFunctionUrlConfig
                | Op::UpdateFunctionUrlConfig
                | Op::AddPermission
        );
        if !is_read || request.body.is_empty() {
            return Ok(Self::default());
        }
        if operation.spec().body != Body::Code {
            return Ok(json::peek(&request.body)?);
        }
        // It may be large.
        let body = request.body.clone();
        let reading = tokio::task::spawn_blocking(move || json::peek(&body));
        Ok(reading.await.map_err(|_| internal())??)
    }

    /// `FunctionName`.
    ///
    /// # Errors
    ///
    /// 400 when it is not there, or no text.
    pub(super) fn function_name(&self) -> Result<String, ApiError> {
        let mut checks = Checks::default();
        match &self.function_name {
            Some(Value::String(name)) => return Ok(name.clone()),
            Some(Value::Null) | None => checks.required::<String>("functionName", None),
            Some(_) => {
                let wrong = JsonError::Malformed("FunctionName: expected a string".to_owned());
                return Err(wrong.into());
            }
        }
        checks.done()?;
        Err(internal())
    }

    fn tags(&self, keys: &mut Keys) {
        for (name, value) in self.tags.iter().filter_map(Value::as_object).flatten() {
            keys.push(("aws:TagKeys".to_owned(), name.clone()));
            if let Some(value) = value.as_str() {
                keys.push((format!("aws:RequestTag/{name}"), value.to_owned()));
            }
        }
    }

    fn configuration(&self, keys: &mut Keys) {
        let in_vpc = |member| self.vpc_config.as_ref().and_then(|vpc| vpc.get(member));
        let lists = [
            ("lambda:Layer", self.layers.as_ref()),
            ("lambda:SubnetIds", in_vpc("SubnetIds")),
            ("lambda:SecurityGroupIds", in_vpc("SecurityGroupIds")),
        ];
        for (key, list) in lists {
            let items = list.and_then(Value::as_array).into_iter().flatten();
            keys.extend(texts(key, items));
        }
        keys.extend(texts(
            "lambda:CodeSigningConfigArn",
            self.code_signing_config_arn.as_ref(),
        ));
    }
}

/// What a request asks, as it was routed.
pub(super) struct Asked<'a> {
    pub(super) operation: Operation,
    pub(super) said: &'a Said,
    pub(super) target: Option<&'a FunctionRef>,
    /// The second label of the path.
    pub(super) label: Option<&'a str>,
    pub(super) query: &'a Query,
    /// The function as it is, if there is one.
    pub(super) stored: Option<&'a Function>,
    /// Who there is.
    pub(super) identities: &'a State,
}

impl Asked<'_> {
    /// The condition keys that the request has by what it asks.
    pub(super) fn keys(&self) -> Keys {
        use Operation as Op;
        let said = self.said;
        let mut keys = Keys::new();
        match self.operation {
            Op::CreateFunction => {
                said.tags(&mut keys);
                said.configuration(&mut keys);
            }
            Op::UpdateFunctionConfiguration => said.configuration(&mut keys),
            Op::TagResource => said.tags(&mut keys),
            Op::UntagResource => {
                let names = self.query.all("tagKeys");
                keys.extend(names.map(|name| ("aws:TagKeys".to_owned(), name.to_owned())));
            }
            Op::CreateFunctionUrlConfig => keys.extend(texts(URL_AUTH, &said.auth_type)),
            Op::UpdateFunctionUrlConfig => {
                match said.auth_type.as_ref().filter(|auth| !auth.is_null()) {
                    Some(auth) => keys.extend(texts(URL_AUTH, [auth])),
                    None => keys.extend(self.url()),
                }
            }
            Op::GetFunctionUrlConfig | Op::DeleteFunctionUrlConfig => keys.extend(self.url()),
            Op::ListFunctionUrlConfigs => {
                let urls = self
                    .stored
                    .into_iter()
                    .flat_map(|known| &known.settings.urls);
                keys.extend(urls.map(|(_, url)| url_auth(url.auth)));
            }
            Op::AddPermission => {
                principal(&mut keys, said.principal.as_ref());
                keys.extend(texts(URL_AUTH, &said.function_url_auth_type));
            }
            Op::RemovePermission => self.removed(&mut keys),
            Op::Invoke | Op::InvokeWithResponseStream | Op::InvokeAsync => {
                keys.push((
                    "lambda:InvokedViaFunctionUrl".to_owned(),
                    "false".to_owned(),
                ));
            }
            _ => {}
        }
        keys
    }

    /// How the URL that is stored is protected.
    fn url(&self) -> Option<(String, String)> {
        let key = settings_key(self.target?.qualifier.as_ref());
        let url = self.stored?.settings.urls.get(&key)?;
        Some(url_auth(url.auth))
    }

    /// Whom the statement that is to be removed is about.
    fn removed(&self, keys: &mut Keys) {
        let (Some(target), Some(stored)) = (self.target, self.stored) else {
            return;
        };
        let key = settings_key(target.qualifier.as_ref());
        let policy = stored.settings.policies.get(&key);
        let statement = policy.and_then(|policy| {
            let mut all = policy.statements.iter();
            all.find(|known| known["Sid"].as_str() == self.label)
        });
        let Some(statement) = statement else {
            return;
        };
        let statement = shown(self.identities, statement);
        let named = &statement["Principal"];
        let named = [named, &named["AWS"], &named["Service"]];
        principal(keys, named.into_iter().find(|name| name.is_string()));
        let auth = &statement["Condition"]["StringEquals"][URL_AUTH];
        keys.extend(texts(URL_AUTH, [auth]));
    }
}

/// Whom a statement is about, in each of the spellings that mean the same.
fn principal(keys: &mut Keys, named: Option<&Value>) {
    let Some(named) = named.and_then(Value::as_str) else {
        return;
    };
    let mut add = |name: &str| keys.push(("lambda:Principal".to_owned(), name.to_owned()));
    add(named);
    let root = format!("arn:aws:iam::{ACCOUNT_ID}:root");
    if named == ACCOUNT_ID {
        add(&root);
    } else if named == root {
        add(ACCOUNT_ID);
    }
}

fn url_auth(auth: UrlAuth) -> (String, String) {
    let auth = match auth {
        UrlAuth::None => "NONE",
        UrlAuth::AwsIam => "AWS_IAM",
    };
    (URL_AUTH.to_owned(), auth.to_owned())
}

/// `key` with each value that is a text.
fn texts<'a>(
    key: &str,
    values: impl IntoIterator<Item = &'a Value>,
) -> impl Iterator<Item = (String, String)> {
    let texts = values.into_iter().filter_map(Value::as_str);
    texts.map(move |text| (key.to_owned(), text.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use domain::policy::{KeySource, condition_keys};
    use serde_json::json;

    use super::*;

    fn keys(operation: Operation, body: &Value, query: &str) -> Keys {
        let said: Said = serde_json::from_value(body.clone()).unwrap();
        let query = Query::parse(query).unwrap();
        let asked = Asked {
            operation,
            said: &said,
            target: None,
            label: None,
            query: &query,
            stored: None,
            identities: &State::default(),
        };
        asked.keys()
    }

    #[test]
    fn parameters_become_the_values_of_their_keys() {
        let is = |operation, body: Value, expected: &[(&str, &str)]| {
            let found = keys(operation, &body, "");
            let found: Vec<_> = found
                .iter()
                .map(|(k, v)| (k.as_str(), v.as_str()))
                .collect();
            assert_eq!(found, expected, "{operation:?} {body}");
        };
        let tags = [("aws:TagKeys", "owner"), ("aws:RequestTag/owner", "bob")];
        is(
            Operation::TagResource,
            json!({"Tags": {"owner": "bob"}}),
            &tags,
        );
        is(
            Operation::CreateFunction,
            json!({"Tags": {"owner": "bob"}}),
            &tags,
        );
        for operation in [
            Operation::CreateFunctionUrlConfig,
            Operation::UpdateFunctionUrlConfig,
        ] {
            is(
                operation,
                json!({"AuthType": "NONE"}),
                &[(URL_AUTH, "NONE")],
            );
            is(operation, json!({"AuthType": null}), &[]);
        }
        is(
            Operation::AddPermission,
            json!({"Principal": "*", "FunctionUrlAuthType": "NONE"}),
            &[("lambda:Principal", "*"), (URL_AUTH, "NONE")],
        );
        let root = "arn:aws:iam::000000000000:root";
        let account = [("lambda:Principal", ACCOUNT_ID), ("lambda:Principal", root)];
        is(
            Operation::AddPermission,
            json!({"Principal": ACCOUNT_ID}),
            &account,
        );
        let untagged = keys(Operation::UntagResource, &json!({}), "tagKeys=a&tagKeys=b");
        assert_eq!(untagged.len(), 2);
    }

    /// A key that is known and comes from operations is set by one of them: here, or by IAM.
    #[test]
    fn every_key_of_lambda_operations_is_set_by_one() {
        let body = json!({
            "Tags": {"a": "b"}, "Layers": ["x"], "CodeSigningConfigArn": "x", "AuthType": "NONE",
            "VpcConfig": {"SubnetIds": ["x"], "SecurityGroupIds": ["x"]}, "Principal": "*",
        });
        let all = Operation::ALL.into_iter();
        let set: BTreeSet<String> = all
            .flat_map(|operation| keys(operation, &body, "tagKeys=a"))
            .map(|(key, _)| key.to_ascii_lowercase().replace("/a", "/"))
            .collect();
        let expected: BTreeSet<String> = condition_keys()
            .filter(|(key, source)| *source == KeySource::Operation && !key.starts_with("iam:"))
            .map(|(key, _)| key.to_owned())
            .collect();
        assert_eq!(set, expected);
    }
}
