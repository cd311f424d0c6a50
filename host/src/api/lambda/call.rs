//! A request that may do what it asks for: the operation, what it is about, and the proof.
//!
//! All spellings of a function become one [`FunctionRef`] in [`mod@subject`], before anything is decided,
//! and a [`Call`] exists only with a [`Grant`]. Whether the function exists is asked afterwards.

mod subject;

use std::sync::Arc;

use domain::{AliasName, FunctionRef, Qualifier, VersionId};
use http::{Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::subject::{Subject, subject};
use super::super::error::ApiError;
use super::super::query::Query;
use super::super::request::ApiRequest;
use super::checks::Checks;
use super::condition_keys::{Asked, Said};
use super::operation::{Operation, Resource};
use crate::app::App;
use crate::auth::{self, Grant};
use crate::http::error::{HttpResponse, json_response};
use crate::registry::{ChangeError, Function, Settings, Version};

/// What names of aliases look like, for the texts of errors.
pub(super) const ALIAS_PATTERN: &str = "(?!^[0-9]+$)([a-zA-Z0-9-_]+)";

/// A request that is allowed.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) request: &'a ApiRequest<'a>,
    pub(super) operation: Operation,
    pub(super) query: Query,
    /// What the grant is for.
    pub(super) resource: String,
    _grant: Grant,
    subject: Subject,
}

/// Why settings are not changed.
enum Refused {
    /// What was asked for does not fit them.
    Asked(ApiError),
    /// The registry did not take the change.
    Change(ChangeError),
}

impl From<ChangeError> for Refused {
    fn from(error: ChangeError) -> Self {
        Self::Change(error)
    }
}

impl<'a> Call<'a> {
    /// Reads what a request is about and asks whether its caller may.
    ///
    /// # Errors
    ///
    /// 400 for names that are none, 403, 404 for another region.
    pub(super) async fn authorised(
        request: &'a ApiRequest<'a>,
        operation: Operation,
        labels: &[&str],
    ) -> Result<Self, ApiError> {
        let query = request.query()?;
        let said = Said::of(request, operation).await?;
        let named = match operation.spec().resource {
            Resource::InBody => Some(said.function_name()?),
            _ => None,
        };
        let subject = subject(request, operation, labels, named, &query)?;
        let action = operation.spec().action;
        let target = subject.function.as_ref();
        let stored = target.and_then(|target| request.app.registry.function(&target.name));
        let asked = Asked {
            operation,
            said: &said,
            target,
            label: subject.label.as_deref(),
            query: &query,
            stored: stored.as_deref(),
            identities: &request.app.identities.now(),
        };
        let keys = asked.keys();
        let keys: Vec<_> = keys.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let (app, caller) = (request.app, &request.caller);
        let grant = auth::authorise_with(app, caller, action, &subject.resource, &keys)?;
        Ok(Self {
            request,
            operation,
            query,
            resource: subject.resource.clone(),
            _grant: grant,
            subject,
        })
    }

    /// The region of the request, for the names in its answer.
    pub(super) fn region(&self) -> &str {
        &self.request.caller.region
    }

    /// The function, version or alias that the request names.
    ///
    /// # Errors
    ///
    /// 500 for an operation whose row names none.
    pub(super) fn target(&self) -> Result<&FunctionRef, ApiError> {
        self.subject.function.as_ref().ok_or_else(internal)
    }

    /// The second label of the path.
    ///
    /// # Errors
    ///
    /// 500 for an operation whose path has none.
    pub(super) fn label(&self) -> Result<&str, ApiError> {
        self.subject.label.as_deref().ok_or_else(internal)
    }

    /// The name of the target, as the request addressed it.
    pub(super) fn target_arn(&self) -> Result<String, ApiError> {
        Ok(self.target()?.arn(self.region()))
    }

    /// The function that is named.
    ///
    /// # Errors
    ///
    /// 404.
    pub(super) fn function(&self) -> Result<Arc<Function>, ApiError> {
        let target = self.target()?;
        let found = self.request.app.registry.function(&target.name);
        found.ok_or_else(|| function_not_found(&target.arn(self.region())))
    }

    /// The function and the version that is named; of an alias, the one it points at.
    ///
    /// # Errors
    ///
    /// 404.
    pub(super) fn version(&self) -> Result<(Arc<Function>, Arc<Version>), ApiError> {
        let target = self.target()?;
        let function = self.function()?;
        let version = function
            .named(target.qualifier.as_ref())
            .map(Arc::clone)
            .ok_or_else(|| function_not_found(&target.arn(self.region())))?;
        Ok((function, version))
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    ///
    /// 400.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ApiError> {
        self.request.json()
    }

    /// Runs what reads or writes files or takes long, on a thread for that.
    ///
    /// # Errors
    ///
    /// 500 when it panicked, and `T`'s own.
    pub(super) async fn blocking<T: Send + 'static, E: Send + 'static>(
        &self,
        act: impl FnOnce(&App) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<T, E>, ApiError> {
        let app = Arc::clone(self.request.app);
        match tokio::task::spawn_blocking(move || act(&app)).await {
            Ok(done) => Ok(done),
            Err(error) => {
                tracing::error!(%error, "a control operation panicked");
                Err(internal())
            }
        }
    }

    /// Changes the registry.
    ///
    /// # Errors
    ///
    /// What the change can't be made for, in the words of AWS.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        act: impl FnOnce(&App) -> Result<T, ChangeError> + Send + 'static,
    ) -> Result<T, ApiError> {
        self.blocking(act)
            .await?
            .map_err(|error| self.change_error(error))
    }

    /// Changes the settings of the function that is named; nothing when `change` refuses.
    ///
    /// # Errors
    ///
    /// What `change` says, and why it can't be made durable.
    pub(super) async fn settings<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Function, &mut Settings) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let name = self.target()?.name.clone();
        let changed = self.blocking(move |app| {
            app.registry.update_settings(&name, |function, settings| {
                change(function, settings).map_err(Refused::Asked)
            })
        });
        changed.await?.map_err(|refused| match refused {
            Refused::Asked(error) => error,
            Refused::Change(error) => self.change_error(error),
        })
    }

    /// The function, if the version or alias that is named exists.
    ///
    /// # Errors
    ///
    /// 404.
    pub(super) fn function_with_qualifier(&self) -> Result<Arc<Function>, ApiError> {
        let target = self.target()?;
        let function = self.function()?;
        if function.named(target.qualifier.as_ref()).is_some() {
            return Ok(function);
        }
        let arn = target.arn(self.region());
        Err(match target.qualifier {
            Some(Qualifier::Alias(_)) => {
                ApiError::not_found(format!("Cannot find alias arn: {arn}"))
            }
            _ => function_not_found(&arn),
        })
    }
}

/// Nothing a caller can do about.
pub(super) fn internal() -> ApiError {
    ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
}

/// 404 for a function, version or alias.
pub(super) fn function_not_found(arn: &str) -> ApiError {
    ApiError::not_found(format!("Function not found: {arn}"))
}

/// `body` as JSON.
pub(super) fn reply(status: StatusCode, body: &impl Serialize) -> Result<HttpResponse, ApiError> {
    let body = serde_json::to_vec(body).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        internal()
    })?;
    Ok(json_response(status, body))
}

/// 204.
pub(super) fn no_content() -> HttpResponse {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// An alias's name at `member`.
///
/// # Errors
///
/// 400 with the pattern.
pub(super) fn alias_name(member: &str, text: &str) -> Result<AliasName, ApiError> {
    AliasName::parse(text).map_err(|_| {
        let mut checks = Checks::default();
        checks.length(member, Some(text), &(1..=128));
        checks.pattern(member, Some(text), ALIAS_PATTERN, |text| {
            AliasName::parse(text).is_ok() || text.chars().count() > 128
        });
        checks.done().err().unwrap_or_else(internal)
    })
}

/// A version at `member`: `$LATEST` or a number.
///
/// # Errors
///
/// 400 with the pattern.
pub(super) fn version_id(member: &str, text: &str) -> Result<VersionId, ApiError> {
    match Qualifier::parse(text) {
        Ok(Qualifier::Version(version)) => Ok(version),
        _ => {
            let mut checks = Checks::default();
            checks.pattern(member, Some(text), "(\\$LATEST|[0-9]+)", |_| false);
            Err(checks.done().err().unwrap_or_else(internal))
        }
    }
}
