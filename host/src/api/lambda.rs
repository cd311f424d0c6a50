//! The Lambda API: which operation a request is, whether its caller may, and then the operation.
//!
//! What operations there are is in [`operation`]; what a request is about is read by [`call`], which
//! hands out what an operation needs only with a grant.

pub(super) mod operation;

mod call;
mod change;
mod client_context;
pub(super) mod code;
mod condition_keys;
mod declaration;
mod environment;
mod event_invoke;
mod paging;
mod principals;
mod urls;
mod wire;

mod create_function;
mod delete_function;
mod get_function;
mod get_function_configuration;
mod list_functions;
mod update_function_code;
mod update_function_configuration;

mod list_versions;
mod publish_version;

mod create_alias;
mod delete_alias;
mod get_alias;
mod list_aliases;
mod update_alias;

mod delete_function_concurrency;
mod get_function_concurrency;
mod put_function_concurrency;

mod create_function_url_config;
mod delete_function_url_config;
mod get_function_url_config;
mod list_function_url_configs;
mod update_function_url_config;

mod add_permission;
mod get_policy;
mod remove_permission;

mod delete_function_event_invoke_config;
mod get_function_event_invoke_config;
mod list_function_event_invoke_configs;
mod put_function_event_invoke_config;
mod update_function_event_invoke_config;

mod list_tags;
mod tag_resource;
mod untag_resource;

mod get_account_settings;

mod invoke;
mod invoke_async;
mod invoke_with_response_stream;

mod quiet;

use http::Method;
use http::header::CONTENT_LENGTH;
use http::request::Parts;

use self::call::Call;
use self::operation::{Body, Operation};
use super::checks;
use super::error::ApiError;
use super::request::ApiRequest;
use crate::http::body::BodyError;
use crate::http::error::HttpResponse;

/// Most bytes that the body of a request may have, if it is one for this API. What the query says
/// makes no difference.
pub(super) fn body_bytes_max(method: &Method, path: &str) -> Option<usize> {
    let (operation, _labels) = Operation::find(method, path, "")?;
    Some(operation.spec().body.bytes_max())
}

/// The error for a body that is longer, in the words of Lambda.
pub(super) fn body_too_large(parts: &Parts) -> ApiError {
    let Some((operation, _labels)) = Operation::find(&parts.method, parts.uri.path(), "") else {
        return BodyError::TooLarge.into();
    };
    let spec = operation.spec();
    let announced = parts.headers.get(CONTENT_LENGTH);
    let announced = announced.and_then(|value| value.to_str().ok());
    ApiError::too_large(match spec.body {
        Body::Event => format!(
            "{} byte payload is too large for the RequestResponse invocation type (limit {} bytes)",
            announced.unwrap_or("This"),
            spec.body.bytes_max()
        ),
        Body::Json | Body::Code => format!(
            "Request must be smaller than {} bytes for the {} operation",
            spec.body.bytes_max(),
            spec.name
        ),
    })
}

/// Whether a request may be made twice with one signature. What the query says makes no difference.
pub(super) fn may_repeat(method: &Method, path: &str) -> bool {
    let found = Operation::find(method, path, "");
    found.is_some_and(|(operation, _labels)| {
        *method == Method::GET
            || matches!(
                operation,
                Operation::Invoke | Operation::InvokeWithResponseStream
            )
    })
}

/// Answers a request for this API.
pub(super) async fn answer(request: &ApiRequest<'_>) -> Result<HttpResponse, ApiError> {
    let (method, uri) = (&request.parts.method, &request.parts.uri);
    let found = Operation::find(method, uri.path(), uri.query().unwrap_or(""));
    let (operation, labels) =
        found.ok_or_else(|| ApiError::unknown_operation(method, uri.path()))?;
    let call = Call::authorised(request, operation, &labels).await?;
    act(&call).await
}

#[expect(clippy::too_many_lines, reason = "one arm for each operation")]
async fn act(call: &Call<'_>) -> Result<HttpResponse, ApiError> {
    use Operation as Op;
    match call.operation {
        Op::CreateFunction => create_function::create_function(call).await,
        Op::GetFunction => get_function::get_function(call),
        Op::GetFunctionConfiguration => {
            get_function_configuration::get_function_configuration(call)
        }
        Op::UpdateFunctionCode => update_function_code::update_function_code(call).await,
        Op::UpdateFunctionConfiguration => {
            update_function_configuration::update_function_configuration(call).await
        }
        Op::DeleteFunction => delete_function::delete_function(call).await,
        Op::ListFunctions => list_functions::list_functions(call),
        Op::PublishVersion => publish_version::publish_version(call).await,
        Op::ListVersionsByFunction => list_versions::list_versions(call),
        Op::CreateAlias => create_alias::create_alias(call).await,
        Op::GetAlias => get_alias::get_alias(call),
        Op::UpdateAlias => update_alias::update_alias(call).await,
        Op::DeleteAlias => delete_alias::delete_alias(call).await,
        Op::ListAliases => list_aliases::list_aliases(call),
        Op::PutFunctionConcurrency => {
            put_function_concurrency::put_function_concurrency(call).await
        }
        Op::GetFunctionConcurrency => get_function_concurrency::get_function_concurrency(call),
        Op::DeleteFunctionConcurrency => {
            delete_function_concurrency::delete_function_concurrency(call).await
        }
        Op::CreateFunctionUrlConfig => {
            create_function_url_config::create_function_url_config(call).await
        }
        Op::GetFunctionUrlConfig => get_function_url_config::get_function_url_config(call),
        Op::UpdateFunctionUrlConfig => {
            update_function_url_config::update_function_url_config(call).await
        }
        Op::DeleteFunctionUrlConfig => {
            delete_function_url_config::delete_function_url_config(call).await
        }
        Op::ListFunctionUrlConfigs => list_function_url_configs::list_function_url_configs(call),
        Op::AddPermission => add_permission::add_permission(call).await,
        Op::GetPolicy => get_policy::get_policy(call),
        Op::RemovePermission => remove_permission::remove_permission(call).await,
        Op::PutFunctionEventInvokeConfig => {
            put_function_event_invoke_config::put_function_event_invoke_config(call).await
        }
        Op::UpdateFunctionEventInvokeConfig => {
            update_function_event_invoke_config::update_function_event_invoke_config(call).await
        }
        Op::GetFunctionEventInvokeConfig => {
            get_function_event_invoke_config::get_function_event_invoke_config(call)
        }
        Op::DeleteFunctionEventInvokeConfig => {
            delete_function_event_invoke_config::delete_function_event_invoke_config(call).await
        }
        Op::ListFunctionEventInvokeConfigs => {
            list_function_event_invoke_configs::list_function_event_invoke_configs(call)
        }
        Op::TagResource => tag_resource::tag_resource(call).await,
        Op::UntagResource => untag_resource::untag_resource(call).await,
        Op::ListTags => list_tags::list_tags(call),
        Op::GetAccountSettings => get_account_settings::get_account_settings(call),
        Op::Invoke => invoke::invoke_function(call).await,
        Op::InvokeWithResponseStream => {
            invoke_with_response_stream::invoke_with_response_stream(call).await
        }
        Op::InvokeAsync => invoke_async::invoke_async(call).await,
        Op::ListEventSourceMappings => quiet::list_event_source_mappings(),
        Op::ListLayers => quiet::list_layers(),
        Op::GetFunctionCodeSigningConfig => quiet::get_function_code_signing_config(call),
        Op::GetRuntimeManagementConfig => quiet::get_runtime_management_config(call),
        Op::GetFunctionRecursionConfig => quiet::get_function_recursion_config(call),
        Op::ListProvisionedConcurrencyConfigs => quiet::list_provisioned_concurrency_configs(call),
        Op::GetProvisionedConcurrencyConfig => quiet::get_provisioned_concurrency_config(call),
    }
}

/// The operations for the table that the tests from outside go over.
#[cfg(test)]
pub(super) fn rows() -> Vec<super::matrix::Row> {
    use self::operation::Resource;
    let row = |operation: Operation| {
        let spec = operation.spec();
        let query = spec.query.map(|(name, value)| format!("?{name}={value}"));
        super::matrix::Row {
            service: "lambda",
            name: spec.name,
            action: spec.action,
            method: super::matrix::method(&spec.method),
            target: format!("{}{}", spec.path, query.unwrap_or_default()),
            about: match spec.resource {
                Resource::Account => "*",
                Resource::Qualified | Resource::Function | Resource::InBody | Resource::Tagged => {
                    "function"
                }
                Resource::Alias => "alias",
            },
        }
    };
    Operation::ALL.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_reads_or_invokes_may_be_repeated() {
        let invoke = "/2015-03-31/functions/f/invocations";
        assert!(may_repeat(&Method::POST, invoke));
        assert!(may_repeat(&Method::GET, "/2015-03-31/functions/f"));
        for (method, path) in [
            // A function may be called as the end of a path is.
            (Method::DELETE, "/2015-03-31/functions/invocations"),
            (Method::PUT, "/2015-03-31/functions/f/aliases/invocations"),
            (Method::POST, "/2015-03-31/functions"),
            (Method::PUT, invoke),
            (Method::GET, "/nothing"),
        ] {
            assert!(!may_repeat(&method, path), "{method} {path}");
        }
    }
}
