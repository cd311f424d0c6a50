//! What the operations on function URLs share: how a URL is asked for and shown.

use domain::Qualifier;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::super::error::ApiError;
use super::super::json::object;
use super::call::{Call, reply};
use super::checks::Checks;
use super::wire::lambda_time;
use crate::http::error::HttpResponse;
use crate::manifest::route_rules::Cors;
use crate::registry::{InvokeMode, UrlAuth, UrlConfig};

/// What a URL may be given; a member that is not there is not changed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UrlRequest {
    pub(super) auth_type: Option<String>,
    #[serde(default, deserialize_with = "object")]
    pub(super) cors: Option<CorsWire>,
    pub(super) invoke_mode: Option<String>,
}

/// CORS rules on the wire.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CorsWire {
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_credentials: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_headers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_methods: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    allow_origins: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expose_headers: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<i64>,
}

/// A URL on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct UrlView {
    function_url: String,
    function_arn: String,
    auth_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    cors: Option<CorsWire>,
    creation_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invoke_mode: Option<&'static str>,
}

const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"];

impl UrlRequest {
    /// Whether every member is one that it may be.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.one_of("authType", self.auth_type.as_deref(), &["NONE", "AWS_IAM"]);
        let modes = ["BUFFERED", "RESPONSE_STREAM"];
        checks.one_of("invokeMode", self.invoke_mode.as_deref(), &modes);
        if let Some(cors) = &self.cors {
            cors.check(checks);
        }
    }

    pub(super) fn auth(&self) -> Option<UrlAuth> {
        self.auth_type.as_deref().map(|text| match text {
            "AWS_IAM" => UrlAuth::AwsIam,
            _ => UrlAuth::None,
        })
    }

    pub(super) fn mode(&self) -> Option<InvokeMode> {
        self.invoke_mode.as_deref().map(|text| match text {
            "RESPONSE_STREAM" => InvokeMode::ResponseStream,
            _ => InvokeMode::Buffered,
        })
    }
}

impl CorsWire {
    fn check(&self, checks: &mut Checks) {
        checks.range("cors.maxAge", self.max_age, &(0..=86_400));
        let lists = [
            ("cors.allowHeaders", &self.allow_headers, 100, 1_024),
            ("cors.allowMethods", &self.allow_methods, 6, 6),
            ("cors.allowOrigins", &self.allow_origins, 100, 253),
            ("cors.exposeHeaders", &self.expose_headers, 100, 1_024),
        ];
        for (member, list, items_max, chars_max) in lists {
            let list = list.as_deref().unwrap_or_default();
            if list.len() > items_max {
                let rule = format!("have length less than or equal to {items_max}");
                checks.breach(member, &format!("{list:?}"), &rule);
            }
            for text in list {
                checks.length(member, Some(text), &(1..=chars_max));
                // What ends up in a header must be able to.
                let is_header = |text: &str| text.bytes().all(|byte| (b'!'..=b'~').contains(&byte));
                checks.pattern(member, Some(text), "[!-~]+", is_header);
            }
        }
        for method in self.allow_methods.iter().flatten() {
            checks.one_of("cors.allowMethods", Some(method), &METHODS);
        }
    }
}

impl From<CorsWire> for Cors {
    fn from(wire: CorsWire) -> Self {
        Self {
            allow_credentials: wire.allow_credentials.unwrap_or(false),
            allow_headers: wire.allow_headers.unwrap_or_default(),
            allow_methods: wire.allow_methods.unwrap_or_default(),
            allow_origins: wire.allow_origins.unwrap_or_default(),
            expose_headers: wire.expose_headers.unwrap_or_default(),
            max_age_s: wire.max_age.and_then(|seconds| u32::try_from(seconds).ok()),
        }
    }
}

impl From<&Cors> for CorsWire {
    fn from(cors: &Cors) -> Self {
        let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
        Self {
            allow_credentials: cors.allow_credentials.then_some(true),
            allow_headers: list(&cors.allow_headers),
            allow_methods: list(&cors.allow_methods),
            allow_origins: list(&cors.allow_origins),
            expose_headers: list(&cors.expose_headers),
            max_age: cors.max_age_s.map(i64::from),
        }
    }
}

/// When a URL is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Created,
    Later,
}

impl UrlView {
    pub(super) fn of(call: &Call<'_>, arn: String, url: &UrlConfig, moment: Moment) -> Self {
        let mode = match (url.invoke_mode, moment) {
            (None, Moment::Created) => None,
            (Some(InvokeMode::Buffered) | None, _) => Some("BUFFERED"),
            (Some(InvokeMode::ResponseStream), _) => Some("RESPONSE_STREAM"),
        };
        Self {
            function_url: call.request.app.function_url(call.region(), &url.id),
            function_arn: arn,
            auth_type: match url.auth {
                UrlAuth::None => "NONE",
                UrlAuth::AwsIam => "AWS_IAM",
            },
            cors: url.cors.as_ref().map(CorsWire::from),
            creation_time: lambda_time(url.created_at_us),
            last_modified_time: (moment == Moment::Later).then(|| lambda_time(url.modified_at_us)),
            invoke_mode: mode,
        }
    }
}

/// Answers with a URL.
pub(super) fn show(
    call: &Call<'_>,
    status: StatusCode,
    url: &UrlConfig,
    moment: Moment,
) -> Result<HttpResponse, ApiError> {
    reply(status, &UrlView::of(call, call.target_arn()?, url, moment))
}

/// A URL belongs to a function or to an alias of it.
pub(super) fn check_qualifier(call: &Call<'_>) -> Result<(), ApiError> {
    let mut checks = Checks::default();
    if let Some(qualifier @ Qualifier::Version(_)) = &call.target()?.qualifier {
        let pattern = "((?!^\\d+$)^[0-9a-zA-Z-_]+$)";
        checks.pattern("qualifier", Some(&qualifier.to_string()), pattern, |_| {
            false
        });
    }
    checks.done()
}

/// 404: there is no URL.
pub(super) fn no_url() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

/// 404: there is no function that could have one.
pub(super) fn check_function(call: &Call<'_>) -> Result<(), ApiError> {
    match call.version() {
        Ok(_) => Ok(()),
        Err(_) => Err(ApiError::not_found("Function does not exist")),
    }
}
