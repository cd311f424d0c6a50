//! A schedule as it is stored: what runs when, and what was said of it.
//!
//! Schedules of a manifest have the keys `drop/FUNCTION/NAME`, those of the API `api/GROUP/NAME`;
//! groups have `group/NAME`. Knows nothing of when anything runs.

use std::collections::BTreeMap;

use domain::names::ACCOUNT_ID;
use domain::schedule::{Expression, Missed, Overlap, Timing, Zone};
use domain::{FunctionName, Qualifier};
use serde::{Deserialize, Serialize};

use crate::manifest::schedule::ManifestSchedule;

/// The group that is always there.
pub(crate) const DEFAULT_GROUP: &str = "default";

/// What is stored under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stored {
    Schedule(Box<Definition>),
    Group(Group),
}

/// A schedule. Instants are Unix microseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Definition {
    pub(crate) name: String,
    pub(crate) function: FunctionName,
    pub(crate) qualifier: Option<Qualifier>,
    pub(crate) expression: String,
    pub(crate) zone: String,
    /// What the function gets instead of the usual event.
    pub(crate) input: Option<String>,
    pub(crate) missed: Missed,
    pub(crate) overlap: Overlap,
    pub(crate) window_s: u32,
    pub(crate) is_enabled: bool,
    pub(crate) start_us: Option<i64>,
    pub(crate) end_us: Option<i64>,
    pub(crate) created_at_us: i64,
    pub(crate) modified_at_us: i64,
    /// Since when its times are what they are: earlier ones were never missed.
    pub(crate) since_us: i64,
    /// What only the API says. `None` for schedules of a manifest.
    pub(crate) api: Option<Declared>,
}

/// What the API says of a schedule and gives back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Declared {
    pub(crate) group: String,
    pub(crate) description: Option<String>,
    pub(crate) target_arn: String,
    pub(crate) role_arn: String,
    pub(crate) kms_key_arn: Option<String>,
    pub(crate) retry_age_s: Option<u32>,
    pub(crate) retry_attempts: Option<u32>,
    pub(crate) deletes_itself: bool,
    /// Of the request that made it.
    pub(crate) client_token: Option<String>,
}

/// A group of schedules of the API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Group {
    pub(crate) created_at_us: i64,
    pub(crate) modified_at_us: i64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) client_token: Option<String>,
}

/// How late a missed run of an API schedule may be made up for unless its retry policy says otherwise,
/// in seconds: a day, the default of Scheduler's `MaximumEventAgeInSeconds`.
const RETRY_AGE_S_DEFAULT: u32 = 86_400;

impl Definition {
    /// A schedule of a function's manifest.
    pub(super) fn of_manifest(
        function: &FunctionName,
        schedule: &ManifestSchedule,
        now_us: i64,
    ) -> Self {
        let schedule = schedule.clone();
        Self {
            name: schedule.name,
            function: function.clone(),
            qualifier: None,
            expression: schedule.expression,
            zone: schedule.timezone,
            input: schedule.input,
            missed: schedule.missed,
            overlap: schedule.overlap,
            window_s: schedule.jitter_s,
            is_enabled: schedule.enabled,
            start_us: schedule.start_us,
            end_us: schedule.end_us,
            created_at_us: now_us,
            modified_at_us: now_us,
            since_us: now_us,
            api: None,
        }
    }

    /// Where it is stored.
    pub(crate) fn key(&self) -> String {
        match &self.api {
            Some(declared) => api_key(&declared.group, &self.name),
            None => format!("drop/{}/{}", self.function, self.name),
        }
    }

    /// Its Amazon resource name: that of a rule of EventBridge, or of a schedule of Scheduler.
    pub(crate) fn arn(&self, region: &str) -> String {
        match &self.api {
            Some(declared) => schedule_arn(region, &declared.group, &self.name),
            None => format!("arn:aws:events:{region}:{ACCOUNT_ID}:rule/{}", self.name),
        }
    }

    /// When it runs.
    ///
    /// # Errors
    ///
    /// Why the expression or the zone is none; both were checked before they were stored.
    pub(crate) fn timing(&self) -> Result<Timing, String> {
        let expression = Expression::parse(&self.expression).map_err(|error| error.to_string())?;
        // Scheduler looks at neither for what is due once.
        let is_bounded = self.api.is_none() || !expression.is_once();
        Ok(Timing {
            expression,
            zone: Zone::named(&self.zone).map_err(|error| error.to_string())?,
            since_us: self.since_us,
            is_at_once: self.api.is_some(),
            start_us: self.start_us.filter(|_| is_bounded),
            end_us: self.end_us.filter(|_| is_bounded),
            window_s: self.window_s,
            missed: self.missed,
            missed_s_max: self
                .api
                .as_ref()
                .map(|declared| declared.retry_age_s.unwrap_or(RETRY_AGE_S_DEFAULT)),
        })
    }

    /// Takes over from the one before: its age, and its times if they are the same.
    pub(super) fn follow(&mut self, old: &Self) {
        self.created_at_us = old.created_at_us;
        let times = |definition: &Self| {
            (
                definition.expression.clone(),
                definition.zone.clone(),
                definition.start_us,
                definition.end_us,
                definition.is_enabled,
            )
        };
        if times(self) == times(old) {
            self.since_us = old.since_us;
        }
    }

    /// Whether both say the same, whenever they were said.
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.created_at_us = self.created_at_us;
        other.modified_at_us = self.modified_at_us;
        other.since_us = self.since_us;
        *self == other
    }
}

/// The key of a schedule of the API.
pub(crate) fn api_key(group: &str, name: &str) -> String {
    format!("api/{group}/{name}")
}

/// The resource name of a schedule of the API.
pub(crate) fn schedule_arn(region: &str, group: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule/{group}/{name}")
}

/// The resource name of a group.
pub(crate) fn group_arn(region: &str, name: &str) -> String {
    format!("arn:aws:scheduler:{region}:{ACCOUNT_ID}:schedule-group/{name}")
}
