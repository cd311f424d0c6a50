//! What a request is about: what it names, looked up as far as a decision needs it, and how policies
//! call that.
//!
//! Knows nothing of what the operations do.

use domain::{AliasName, FunctionName, FunctionRef, TopicName};
use http::StatusCode;

use super::super::error::ApiError;
use super::super::query::Query;
use super::super::request::ApiRequest;
use super::events::Named;
use super::events::change::{Change, Selected};
use super::{api_keys, cloud_events, events, rollback, topics};
use crate::auth::{Denied, Refused};

/// What an operation is about, for policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// Nothing in particular.
    Any,
    /// The alias, of the function that the label names, that the query names; without one, its only one.
    Alias,
    /// The log that the label names.
    Log,
    /// The API key that the label names.
    ApiKey,
    /// The function that the query names, if it names one.
    Filtered,
    /// The event that the label names, or rather its function.
    Event,
    /// The event or the function that the body names, if it names one.
    Selected(Change),
    /// The function, version or alias that the label names, and an event for it.
    Function,
    /// The topic that the label names.
    Topic,
}

/// What a request names.
#[derive(Debug)]
enum Thing {
    /// What its label says, if there is one.
    Label,
    Alias(Option<AliasName>),
    Event(Named),
    Selected(Result<Selected, ApiError>),
    Function(FunctionRef),
    Topic(TopicName),
}

/// What a request is about.
#[derive(Debug)]
pub(super) struct Subject {
    /// For policies.
    pub(super) resource: String,
    /// What whoever may not is told instead: what they asked for and no more.
    asked: Option<String>,
    thing: Thing,
}

impl Subject {
    /// Reads what a request is about.
    ///
    /// # Errors
    ///
    /// 400 for names that are none.
    pub(super) async fn of(
        request: &ApiRequest<'_>,
        about: About,
        label: &str,
        query: &Query,
    ) -> Result<Self, ApiError> {
        let app = request.app;
        let region = &app.config.region;
        let mut asked = None;
        let mut thing = Thing::Label;
        let resource = match about {
            About::Any => "*".to_owned(),
            About::Alias => {
                let function = function(label)?;
                // Which alias there is, is not theirs to know.
                if rollback::named(query)?.is_none() {
                    asked = Some(function.arn(region));
                }
                let alias = rollback::alias(app, &function, query)?;
                let resource = match &alias {
                    Some(alias) => format!("{}:{alias}", function.arn(region)),
                    None => function.arn(region),
                };
                thing = Thing::Alias(alias);
                resource
            }
            About::Log => format!("arn:aws:mayfly:::logs/{label}"),
            About::ApiKey => {
                api_keys::check_name(label)?;
                format!("arn:aws:mayfly:::api-key/{label}")
            }
            About::Filtered => events::resource(query, region)?,
            About::Event => {
                let named = Named::find(app, label).await?;
                let resource = named.resource(region);
                // Nor which event is whose.
                asked = Some(named.arn());
                thing = Thing::Event(named);
                resource
            }
            About::Selected(change) => {
                let selected = Selected::read(app, change, &request.body).await;
                let resource = match &selected {
                    Ok(selected) => {
                        asked = selected.asked();
                        selected.resource(region)
                    }
                    // What selects nothing is told so to whoever may select all.
                    Err(_) => "*".to_owned(),
                };
                thing = Thing::Selected(selected);
                resource
            }
            About::Function => {
                let target = cloud_events::target(label, query)?;
                let resource = target.arn(region);
                thing = Thing::Function(target);
                resource
            }
            About::Topic => {
                let topic = topics::topic(label)?;
                let resource = topics::arn(&topic);
                thing = Thing::Topic(topic);
                resource
            }
        };
        Ok(Self {
            resource,
            asked,
            thing,
        })
    }

    /// A refusal, as it is told to whoever asked.
    pub(super) fn refused(&self, refused: Refused) -> Refused {
        match (refused, self.asked.clone()) {
            (Refused::Denied(denied), Some(resource)) => {
                Refused::Denied(Denied { resource, ..denied })
            }
            (refused, _) => refused,
        }
    }

    /// The alias that was decided on, even if there is another by now.
    ///
    /// # Errors
    ///
    /// 500 for an operation that is about something else, as in all of these.
    pub(super) fn alias(self) -> Result<Option<AliasName>, ApiError> {
        match self.thing {
            Thing::Alias(alias) => Ok(alias),
            _ => Err(something_else()),
        }
    }

    pub(super) fn event(self) -> Result<Named, ApiError> {
        match self.thing {
            Thing::Event(named) => Ok(named),
            _ => Err(something_else()),
        }
    }

    pub(super) fn selected(self) -> Result<Selected, ApiError> {
        match self.thing {
            Thing::Selected(selected) => selected,
            _ => Err(something_else()),
        }
    }

    pub(super) fn function(self) -> Result<FunctionRef, ApiError> {
        match self.thing {
            Thing::Function(target) => Ok(target),
            _ => Err(something_else()),
        }
    }

    pub(super) fn topic(self) -> Result<TopicName, ApiError> {
        match self.thing {
            Thing::Topic(topic) => Ok(topic),
            _ => Err(something_else()),
        }
    }
}

/// The table says otherwise than the code that acts: our mistake.
fn something_else() -> ApiError {
    ApiError::service(StatusCode::INTERNAL_SERVER_ERROR)
}

/// The function that a label names.
///
/// # Errors
///
/// 400 with the rule.
pub(super) fn function(label: &str) -> Result<FunctionName, ApiError> {
    FunctionName::parse(label).map_err(|error| ApiError::validation(error.to_string()))
}
