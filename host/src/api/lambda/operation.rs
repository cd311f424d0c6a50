//! The table of operations: what each is called, what it takes to do it, where it is found.
//!
//! A new operation is a variant of [`Operation`] with a row in [`Operation::spec`]: routing, the bound
//! on its body, authorisation and the tests that go over all operations follow from the row.
//!
//! Knows nothing of what operations do, and reads no body.

mod find;

use domain::limits::INVOKE_EVENT_BYTES_MAX;
use http::Method;

pub(in crate::api) use self::find::labels;

/// Most bytes of a body that holds code, as on Lambda: 50 MiB of zip in base64, and some JSON.
pub(super) const CODE_BODY_BYTES_MAX: usize = 70_167_211;

/// Most bytes of every other JSON body.
const JSON_BODY_BYTES_MAX: usize = 1 << 20;

/// What can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::api) enum Operation {
    CreateFunction,
    GetFunction,
    GetFunctionConfiguration,
    UpdateFunctionCode,
    UpdateFunctionConfiguration,
    DeleteFunction,
    ListFunctions,
    PublishVersion,
    ListVersionsByFunction,
    CreateAlias,
    GetAlias,
    UpdateAlias,
    DeleteAlias,
    ListAliases,
    PutFunctionConcurrency,
    GetFunctionConcurrency,
    DeleteFunctionConcurrency,
    CreateFunctionUrlConfig,
    GetFunctionUrlConfig,
    UpdateFunctionUrlConfig,
    DeleteFunctionUrlConfig,
    ListFunctionUrlConfigs,
    AddPermission,
    GetPolicy,
    RemovePermission,
    PutFunctionEventInvokeConfig,
    UpdateFunctionEventInvokeConfig,
    GetFunctionEventInvokeConfig,
    DeleteFunctionEventInvokeConfig,
    ListFunctionEventInvokeConfigs,
    TagResource,
    UntagResource,
    ListTags,
    GetAccountSettings,
    Invoke,
    InvokeWithResponseStream,
    InvokeAsync,
    ListEventSourceMappings,
    ListLayers,
    GetFunctionCodeSigningConfig,
    GetRuntimeManagementConfig,
    GetFunctionRecursionConfig,
    ListProvisionedConcurrencyConfigs,
    GetProvisionedConcurrencyConfig,
}

/// What a policy has to allow the action on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Resource {
    /// The account: `*`.
    Account,
    /// The function, version or alias that the path and `Qualifier` name, as they name it.
    Qualified,
    /// The function that the path names; a qualifier is no part of it.
    Function,
    /// The alias that the second label names.
    Alias,
    /// The function that the body names.
    InBody,
    /// The function whose ARN is the label.
    Tagged,
}

/// What an operation's body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum Body {
    /// JSON, or nothing.
    Json,
    /// JSON with the code of a function in it.
    Code,
    /// The event of an invocation.
    Event,
}

impl Body {
    /// Most bytes it may have.
    pub(in crate::api) fn bytes_max(self) -> usize {
        match self {
            Self::Json => JSON_BODY_BYTES_MAX,
            Self::Code => CODE_BODY_BYTES_MAX,
            Self::Event => INVOKE_EVENT_BYTES_MAX,
        }
    }
}

/// What is known of an operation before it is looked into.
#[derive(Debug)]
pub(in crate::api) struct Spec {
    /// As on Lambda.
    pub(in crate::api) name: &'static str,
    /// What a policy has to allow.
    pub(in crate::api) action: &'static str,
    pub(in crate::api) method: Method,
    /// The path; `{}` stands for a label.
    pub(in crate::api) path: &'static str,
    /// A parameter of the query that must have this value.
    pub(in crate::api) query: Option<(&'static str, &'static str)>,
    pub(in crate::api) resource: Resource,
    pub(in crate::api) body: Body,
}

impl Operation {
    /// Each of them. One with a fixed query comes before the one without.
    pub(in crate::api) const ALL: [Self; 44] = [
        Self::CreateFunction,
        Self::GetFunction,
        Self::GetFunctionConfiguration,
        Self::UpdateFunctionCode,
        Self::UpdateFunctionConfiguration,
        Self::DeleteFunction,
        Self::ListFunctions,
        Self::PublishVersion,
        Self::ListVersionsByFunction,
        Self::CreateAlias,
        Self::GetAlias,
        Self::UpdateAlias,
        Self::DeleteAlias,
        Self::ListAliases,
        Self::PutFunctionConcurrency,
        Self::GetFunctionConcurrency,
        Self::DeleteFunctionConcurrency,
        Self::CreateFunctionUrlConfig,
        Self::GetFunctionUrlConfig,
        Self::UpdateFunctionUrlConfig,
        Self::DeleteFunctionUrlConfig,
        Self::ListFunctionUrlConfigs,
        Self::AddPermission,
        Self::GetPolicy,
        Self::RemovePermission,
        Self::PutFunctionEventInvokeConfig,
        Self::UpdateFunctionEventInvokeConfig,
        Self::GetFunctionEventInvokeConfig,
        Self::DeleteFunctionEventInvokeConfig,
        Self::ListFunctionEventInvokeConfigs,
        Self::TagResource,
        Self::UntagResource,
        Self::ListTags,
        Self::GetAccountSettings,
        Self::Invoke,
        Self::InvokeWithResponseStream,
        Self::InvokeAsync,
        Self::ListEventSourceMappings,
        Self::ListLayers,
        Self::GetFunctionCodeSigningConfig,
        Self::GetRuntimeManagementConfig,
        Self::GetFunctionRecursionConfig,
        Self::ListProvisionedConcurrencyConfigs,
        Self::GetProvisionedConcurrencyConfig,
    ];

    /// Its row of the table.
    #[expect(clippy::too_many_lines, reason = "a table, one row for each operation")]
    pub(in crate::api) fn spec(self) -> Spec {
        use Resource::{Account, Alias, Function, InBody, Qualified, Tagged};
        const FUNCTIONS: &str = "/2015-03-31/functions";
        const FUNCTION: &str = "/2015-03-31/functions/{}";
        const CONFIGURATION: &str = "/2015-03-31/functions/{}/configuration";
        const VERSIONS: &str = "/2015-03-31/functions/{}/versions";
        const ALIASES: &str = "/2015-03-31/functions/{}/aliases";
        const ALIAS: &str = "/2015-03-31/functions/{}/aliases/{}";
        const POLICY: &str = "/2015-03-31/functions/{}/policy";
        const CONCURRENCY: &str = "/2017-10-31/functions/{}/concurrency";
        const URL: &str = "/2021-10-31/functions/{}/url";
        const EVENT_INVOKE: &str = "/2019-09-25/functions/{}/event-invoke-config";
        const TAGS: &str = "/2017-03-31/tags/{}";
        const PROVISIONED: &str = "/2019-09-30/functions/{}/provisioned-concurrency";
        macro_rules! row {
            ($name:literal $method:ident $path:expr, $resource:expr) => {
                row!($name $method $path, $resource, Body::Json)
            };
            ($name:literal $method:ident $path:expr, $resource:expr, $body:expr) => {
                Spec {
                    name: $name,
                    action: concat!("lambda:", $name),
                    method: Method::$method,
                    path: $path,
                    query: None,
                    resource: $resource,
                    body: $body,
                }
            };
        }
        match self {
            Self::CreateFunction => row!("CreateFunction" POST FUNCTIONS, InBody, Body::Code),
            Self::GetFunction => row!("GetFunction" GET FUNCTION, Qualified),
            Self::GetFunctionConfiguration => {
                row!("GetFunctionConfiguration" GET CONFIGURATION, Qualified)
            }
            Self::UpdateFunctionCode => {
                row!("UpdateFunctionCode" PUT "/2015-03-31/functions/{}/code", Function, Body::Code)
            }
            Self::UpdateFunctionConfiguration => {
                row!("UpdateFunctionConfiguration" PUT CONFIGURATION, Function)
            }
            Self::DeleteFunction => row!("DeleteFunction" DELETE FUNCTION, Qualified),
            Self::ListFunctions => row!("ListFunctions" GET FUNCTIONS, Account),
            Self::PublishVersion => row!("PublishVersion" POST VERSIONS, Function),
            Self::ListVersionsByFunction => row!("ListVersionsByFunction" GET VERSIONS, Function),
            Self::CreateAlias => row!("CreateAlias" POST ALIASES, Function),
            Self::GetAlias => row!("GetAlias" GET ALIAS, Alias),
            Self::UpdateAlias => row!("UpdateAlias" PUT ALIAS, Alias),
            Self::DeleteAlias => row!("DeleteAlias" DELETE ALIAS, Alias),
            Self::ListAliases => row!("ListAliases" GET ALIASES, Function),
            Self::PutFunctionConcurrency => {
                row!("PutFunctionConcurrency" PUT CONCURRENCY, Function)
            }
            Self::GetFunctionConcurrency => {
                let path = "/2019-09-30/functions/{}/concurrency";
                row!("GetFunctionConcurrency" GET path, Function)
            }
            Self::DeleteFunctionConcurrency => {
                row!("DeleteFunctionConcurrency" DELETE CONCURRENCY, Function)
            }
            Self::CreateFunctionUrlConfig => row!("CreateFunctionUrlConfig" POST URL, Qualified),
            Self::GetFunctionUrlConfig => row!("GetFunctionUrlConfig" GET URL, Qualified),
            Self::UpdateFunctionUrlConfig => row!("UpdateFunctionUrlConfig" PUT URL, Qualified),
            Self::DeleteFunctionUrlConfig => row!("DeleteFunctionUrlConfig" DELETE URL, Qualified),
            Self::ListFunctionUrlConfigs => {
                row!("ListFunctionUrlConfigs" GET "/2021-10-31/functions/{}/urls", Function)
            }
            Self::AddPermission => row!("AddPermission" POST POLICY, Qualified),
            Self::GetPolicy => row!("GetPolicy" GET POLICY, Qualified),
            Self::RemovePermission => {
                row!("RemovePermission" DELETE "/2015-03-31/functions/{}/policy/{}", Qualified)
            }
            Self::PutFunctionEventInvokeConfig => {
                row!("PutFunctionEventInvokeConfig" PUT EVENT_INVOKE, Qualified)
            }
            Self::UpdateFunctionEventInvokeConfig => {
                row!("UpdateFunctionEventInvokeConfig" POST EVENT_INVOKE, Qualified)
            }
            Self::GetFunctionEventInvokeConfig => {
                row!("GetFunctionEventInvokeConfig" GET EVENT_INVOKE, Qualified)
            }
            Self::DeleteFunctionEventInvokeConfig => {
                row!("DeleteFunctionEventInvokeConfig" DELETE EVENT_INVOKE, Qualified)
            }
            Self::ListFunctionEventInvokeConfigs => {
                let path = "/2019-09-25/functions/{}/event-invoke-config/list";
                row!("ListFunctionEventInvokeConfigs" GET path, Function)
            }
            Self::TagResource => row!("TagResource" POST TAGS, Tagged),
            Self::UntagResource => row!("UntagResource" DELETE TAGS, Tagged),
            Self::ListTags => row!("ListTags" GET TAGS, Tagged),
            Self::GetAccountSettings => {
                row!("GetAccountSettings" GET "/2016-08-19/account-settings", Account)
            }
            Self::Invoke => Spec {
                action: "lambda:InvokeFunction",
                ..row!("Invoke" POST "/2015-03-31/functions/{}/invocations", Qualified, Body::Event)
            },
            Self::InvokeWithResponseStream => {
                let path = "/2021-11-15/functions/{}/response-streaming-invocations";
                Spec {
                    action: "lambda:InvokeFunction",
                    ..row!("InvokeWithResponseStream" POST path, Qualified, Body::Event)
                }
            }
            Self::InvokeAsync => {
                row!("InvokeAsync" POST "/2014-11-13/functions/{}/invoke-async", Function, Body::Event)
            }
            Self::ListEventSourceMappings => {
                row!("ListEventSourceMappings" GET "/2015-03-31/event-source-mappings", Account)
            }
            Self::ListLayers => row!("ListLayers" GET "/2018-10-31/layers", Account),
            Self::GetFunctionCodeSigningConfig => {
                let path = "/2020-06-30/functions/{}/code-signing-config";
                row!("GetFunctionCodeSigningConfig" GET path, Function)
            }
            Self::GetRuntimeManagementConfig => {
                let path = "/2021-07-20/functions/{}/runtime-management-config";
                row!("GetRuntimeManagementConfig" GET path, Qualified)
            }
            Self::GetFunctionRecursionConfig => {
                let path = "/2024-08-31/functions/{}/recursion-config";
                row!("GetFunctionRecursionConfig" GET path, Function)
            }
            Self::ListProvisionedConcurrencyConfigs => Spec {
                query: Some(("List", "ALL")),
                ..row!("ListProvisionedConcurrencyConfigs" GET PROVISIONED, Function)
            },
            Self::GetProvisionedConcurrencyConfig => {
                row!("GetProvisionedConcurrencyConfig" GET PROVISIONED, Qualified)
            }
        }
    }
}
