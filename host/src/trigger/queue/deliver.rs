//! Handing a record to a destination that is no function: posting it to an address, or appending it to a
//! file.
//!
//! A record may arrive more than once; what is not taken is refused, and never counts as done. What the
//! operator does not allow any more is given up at once, and can be redriven. Knows nothing of how a record
//! waits.

mod address;
mod file;
pub(crate) mod signing;

use std::path::Path;

use domain::event::{Condition, Target};
use domain::retry::Attempted;
use storage::{Claimed, Failure};

use self::address::{Message, Poster};
use self::file::Sinks;
use super::destination::{AllowList, Origin, shown};
use crate::app::App;
use crate::config::DestinationsConfig;
use crate::outgoing::Reach;

/// What deliveries need.
#[derive(Debug)]
pub(crate) struct Deliveries {
    allowed: AllowList,
    /// Whether names may stand for addresses of private networks.
    is_private: bool,
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
            is_private: config.private,
            poster: Poster::open(data_dir)?,
            sinks: Sinks::new(data_dir, config.file_bytes_max),
        })
    }

    async fn post(&self, url: &str, message: &Message<'_>) -> Result<(), (u16, String)> {
        let origin = Origin::parse(url).map_err(|error| (500, error.to_string()))?;
        let reach = match self.is_private {
            true => Reach::Any,
            false => origin.reach(),
        };
        self.poster.post(url, (&origin, reach), message).await
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
            deliveries.post(url, &message).await
        }
        Target::File { name } => deliveries.sinks.append(name, &claimed.payload).await,
        Target::Function { .. } => Err((500, "a function is invoked".to_owned())),
    };
    match delivered {
        Ok(()) => (Attempted::Succeeded, None),
        Err((code, reason)) => {
            let message = format!("{}: {reason}", shown(target));
            let failure = Failure::new(code, None, message);
            (Attempted::Refused, Some(failure))
        }
    }
}
