//! `POST /mayfly/events/redrive` and `/purge`: events are queued again, or removed for good.
//!
//! One by its request id, or all that are in certain states. Many are changed step by step, each step
//! whole and durable.

use domain::FunctionName;
use domain::event::EventState;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use storage::{Done, Operation, Selection};

use super::super::super::error::ApiError;
use super::super::super::request::read_json;
use super::{Named, json, reading};
use crate::app::App;
use crate::http::error::HttpResponse;
use crate::trigger::queue::accept::{AcceptError, perform};

/// Events of one step.
const STEP: u32 = 500;

/// What is done to events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::api::mayfly) enum Change {
    Redrive,
    Purge,
}

/// What a request says of them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    id: Option<String>,
    function: Option<FunctionName>,
    states: Option<Vec<String>>,
    #[serde(default)]
    all: bool,
}

/// Which events are meant.
#[derive(Debug)]
pub(in crate::api::mayfly) enum Selected {
    One(Box<Named>),
    All {
        function: Option<FunctionName>,
        states: Vec<EventState>,
    },
}

#[derive(Serialize)]
struct Changed {
    changed: u64,
}

impl Change {
    /// The states that it can be done in.
    fn states(self) -> &'static [EventState] {
        match self {
            Self::Redrive => &[EventState::Dead, EventState::Expired],
            Self::Purge => &[
                EventState::Queued,
                EventState::Succeeded,
                EventState::Dead,
                EventState::Expired,
            ],
        }
    }

    /// The states that are meant when none is said: what waits has to be named.
    fn states_default(self) -> &'static [EventState] {
        match self {
            Self::Redrive => &[EventState::Dead, EventState::Expired],
            Self::Purge => &[EventState::Succeeded, EventState::Dead, EventState::Expired],
        }
    }

    fn operation(self, selection: Selection) -> Operation {
        match self {
            Self::Redrive => Operation::Redrive(selection),
            Self::Purge => Operation::Purge(selection),
        }
    }

    fn done(self) -> &'static str {
        match self {
            Self::Redrive => "redriven",
            Self::Purge => "purged",
        }
    }
}

impl Selected {
    /// What the body of a request selects, if it selects anything.
    ///
    /// # Errors
    ///
    /// 400 that names the member and the rule.
    pub(in crate::api::mayfly) async fn read(
        app: &App,
        change: Change,
        body: &[u8],
    ) -> Result<Self, ApiError> {
        let body: Body = read_json(body)?;
        match body {
            Body {
                id: Some(id),
                function: None,
                states: None,
                all: false,
            } => Ok(Self::One(Box::new(Named::find(app, &id).await?))),
            Body {
                id: None,
                function,
                states,
                all: true,
            } => Ok(Self::All {
                function,
                states: states_of(change, states)?,
            }),
            _ => Err(ApiError::validation(
                "say either the `id` of one event, or `all: true`, with `states` and `function` for some of them only",
            )),
        }
    }

    /// What a policy has to allow.
    pub(in crate::api::mayfly) fn resource(&self, region: &str) -> String {
        match self {
            Self::One(named) => named.resource(region),
            Self::All { function, .. } => {
                let function = function.as_ref().map(|function| function.arn(region));
                function.unwrap_or_else(|| "*".to_owned())
            }
        }
    }

    /// What whoever may not is told of instead.
    pub(in crate::api::mayfly) fn asked(&self) -> Option<String> {
        match self {
            Self::One(named) => Some(named.arn()),
            Self::All { .. } => None,
        }
    }
}

fn states_of(change: Change, texts: Option<Vec<String>>) -> Result<Vec<EventState>, ApiError> {
    let allowed = change.states();
    let names: Vec<_> = allowed.iter().map(|state| state.as_str()).collect();
    let rule = format!(
        "`states` must be one or more of {}: events in other states can't be {}",
        names.join(", "),
        change.done()
    );
    let Some(texts) = texts else {
        return Ok(change.states_default().to_vec());
    };
    let mut states = Vec::with_capacity(allowed.len());
    for text in &texts {
        let state = allowed.iter().find(|state| state.as_str() == text);
        let state = state.ok_or_else(|| ApiError::validation(rule.clone()))?;
        if !states.contains(state) {
            states.push(*state);
        }
    }
    if states.is_empty() {
        return Err(ApiError::validation(rule));
    }
    Ok(states)
}

/// Does it, and answers how many events were changed.
///
/// # Errors
///
/// 404 for an event that is not there, 409 for one in another state, 503 when the queue takes no changes.
pub(in crate::api::mayfly) async fn change_events(
    app: &App,
    change: Change,
    selected: Selected,
) -> Result<HttpResponse, ApiError> {
    match selected {
        Selected::One(named) => one(app, change, &named).await,
        Selected::All { function, states } => {
            let queue = function.as_ref().map(ToString::to_string);
            let mut changed = 0;
            for state in states {
                let (of, counted) = (queue.clone(), [state]);
                let total = reading(app, move |queue| queue.count(of.as_deref(), &counted)).await?;
                let mut steps = Steps::new(total);
                while let Some(limit) = steps.next_limit()
                    && !app.is_draining()
                {
                    let selection = Selection::Of {
                        queue: queue.clone(),
                        states: vec![state],
                        limit,
                    };
                    let step = perform_one(app, change.operation(selection)).await?;
                    steps.note(limit, step);
                }
                changed += steps.changed;
            }
            json(&Changed { changed })
        }
    }
}

/// Steps in which many events are changed. No more than there were at the beginning: what is redriven may
/// fail again meanwhile, and is not taken up again for ever.
#[derive(Debug)]
struct Steps {
    left: u64,
    changed: u64,
}

impl Steps {
    fn new(total: u64) -> Self {
        Self {
            left: total,
            changed: 0,
        }
    }

    /// How many the next step may change, if there is one.
    fn next_limit(&self) -> Option<u32> {
        let limit = u32::try_from(self.left).map_or(STEP, |left| left.min(STEP));
        (limit > 0).then_some(limit)
    }

    /// Notes what a step changed that might have changed `limit`: less when there are no more.
    fn note(&mut self, limit: u32, changed: u64) {
        self.changed += changed;
        self.left = match changed < u64::from(limit) {
            true => 0,
            false => self.left.saturating_sub(changed),
        };
    }
}

async fn one(app: &App, change: Change, named: &Named) -> Result<HttpResponse, ApiError> {
    let Some(event) = &named.found else {
        return Err(named.missing());
    };
    let operation = change.operation(Selection::Id(named.id));
    let changed = perform_one(app, operation).await?;
    if changed == 0 {
        return Err(ApiError::conflict(format!(
            "event {} is {}; only events that are {} can be {}",
            named.id,
            event.state,
            change
                .states()
                .iter()
                .map(|state| state.as_str())
                .collect::<Vec<_>>()
                .join(" or "),
            change.done()
        )));
    }
    json(&Changed { changed })
}

async fn perform_one(app: &App, operation: Operation) -> Result<u64, ApiError> {
    match perform(app, operation).await {
        Ok(Done::Changed(changed)) => Ok(changed),
        Ok(Done::Claimed(_) | Done::Published(_)) => {
            Err(ApiError::service(StatusCode::INTERNAL_SERVER_ERROR))
        }
        Err(error) => {
            app.faults.note(&app.clock, &error);
            Err(AcceptError::from(error).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_at_once_is_not_redriven_for_ever() {
        let steps = |total, mut there: u64| {
            let mut limits = Vec::new();
            let mut steps = Steps::new(total);
            while let Some(limit) = steps.next_limit() {
                limits.push(limit);
                assert!(limits.len() < 9, "it goes round");
                let step = there.min(limit.into());
                there -= step;
                steps.note(limit, step);
            }
            (steps.changed, limits)
        };
        // There are always more.
        assert_eq!(steps(1_001, u64::MAX), (1_001, vec![500, 500, 1]));
        // Somebody else was faster.
        assert_eq!(steps(1_500, 600), (600, vec![500, 500]));
        assert_eq!(steps(0, 5), (0, vec![]));
    }

    fn states(change: Change, texts: &[&str]) -> Result<Vec<EventState>, String> {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        states_of(change, Some(texts)).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn only_what_ended_badly_is_redriven_and_nothing_that_runs_is_purged() {
        let dead = vec![EventState::Dead, EventState::Expired];
        assert_eq!(
            states(Change::Redrive, &["dead", "expired", "dead"]),
            Ok(dead)
        );
        for (change, text) in [
            (Change::Redrive, "succeeded"),
            (Change::Redrive, "queued"),
            (Change::Purge, "running"),
            (Change::Purge, "done"),
        ] {
            let rule = states(change, &["dead", text]).unwrap_err();
            assert!(
                rule.starts_with("`states` must be one or more of "),
                "{rule}"
            );
        }
        states(Change::Purge, &[]).unwrap_err();
        let unsaid = |change| states_of(change, None).unwrap();
        assert_eq!(unsaid(Change::Redrive), Change::Redrive.states());
        assert!(!unsaid(Change::Purge).contains(&EventState::Queued));
        assert_eq!(unsaid(Change::Purge).len(), 3);
        assert_eq!(
            states(Change::Purge, &["queued"]),
            Ok(vec![EventState::Queued])
        );
    }
}
