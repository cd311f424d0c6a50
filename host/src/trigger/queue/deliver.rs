//! Handing a record to a destination that is no function: posting it to an address, or appending it to a
//! file.
//!
//! A record may arrive more than once, never not at all: what is not taken waits and is tried again, and
//! after the greatest age of events it is dead, which can be redriven. Knows nothing of how it waits.

mod address;
mod file;

use std::path::Path;

use domain::event::{Condition, Target};
use domain::retry::{self, Attempted, Decision, Progress, RetryPolicy};
use storage::{Claimed, Event, Failure};

use self::address::{Message, Poster};
use self::file::Sinks;
use super::destination::{AllowList, shown};
use crate::app::App;
use crate::config::DestinationsConfig;

/// What deliveries need.
#[derive(Debug)]
pub(crate) struct Deliveries {
    allowed: AllowList,
    poster: Poster,
    sinks: Sinks,
}

impl Deliveries {
    /// Those of a data directory. At the first start, the secret that deliveries are signed with is made.
    ///
    /// # Errors
    ///
    /// When the secret can't be read or made.
    pub(crate) fn open(data_dir: &Path, config: &DestinationsConfig) -> anyhow::Result<Self> {
        Ok(Self {
            allowed: config.allow.clone(),
            poster: Poster::open(data_dir)?,
            sinks: Sinks::new(data_dir, config.file_bytes_max),
        })
    }
}

/// Makes one attempt to hand over what was claimed.
pub(crate) async fn deliver(app: &App, claimed: &Claimed) -> (Attempted, Option<Failure>) {
    let deliveries = &app.deliveries;
    let target = &claimed.event.target;
    if let Err(error) = deliveries.allowed.check(target) {
        let attempted = Attempted::Hopeless(Condition::DeliveryFailed);
        return (attempted, Some(Failure::new(403, None, error.to_string())));
    }
    let delivered = match target {
        Target::Http { url } => {
            let message = Message {
                event: claimed.event.id,
                request: claimed.event.source.as_deref(),
                unix_s: app.clock.unix_us().div_euclid(1_000_000),
                body: &claimed.payload,
            };
            deliveries.poster.post(url, &message).await
        }
        Target::File { name } => deliveries.sinks.append(name, &claimed.payload).await,
        Target::Function { .. } => Err((500, "a function is invoked".to_owned())),
    };
    match delivered {
        Ok(()) => (Attempted::Succeeded, None),
        Err((code, reason)) => {
            let message = format!("{}: {reason}", shown(target));
            let failure = Failure::new(code, None, message);
            (not_taken(app, &claimed.event), Some(failure))
        }
    }
}

/// What came of an attempt that failed: it is tried again, unless it would be too old by then.
fn not_taken(app: &App, event: &Event) -> Attempted {
    let age_us = app.queue.now_us().saturating_sub(event.accepted_at_us);
    let progress = Progress {
        failures: event.failures,
        refusals: event.refusals.saturating_add(1),
        age: std::time::Duration::from_micros(u64::try_from(age_us).unwrap_or(0)),
    };
    let (policy, delays) = (RetryPolicy::default(), &app.config.queue.delays);
    match retry::decide(Attempted::Refused, progress, &policy, delays) {
        Decision::Again(_) => Attempted::Refused,
        Decision::End(_) => Attempted::Hopeless(Condition::DeliveryFailed),
    }
}
