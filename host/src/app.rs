//! What the process owns. Built once from the configuration; the parts are handed down.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::{Clock, RequestId};
use sandbox::Sandboxes;
use storage::{DataDir, Ledger, Logs, Queue};
use tokio::sync::{Notify, Semaphore, watch};
use uuid::Uuid;

use crate::audit::AuditLog;
use crate::auth::authentication::Authentication;
use crate::auth::identities::Identities;
use crate::auth::key_sets::KeySets;
use crate::budgets::Budgets;
use crate::concurrency::Concurrency;
use crate::config::Config;
use crate::faults::Faults;
use crate::http::body::Room;
use crate::live_tails::LiveTails;
use crate::manifest::URLS;
use crate::metrics::Metrics;
use crate::registry::{Refusals, Registry};
use crate::tokens::Tokens;
use crate::trigger::queue::deliver::Deliveries;
use crate::trigger::schedule::Schedules;

/// Uploads at once: one is compiled, the others wait for it. More than deployment tools send side by side.
pub(crate) const UPLOADS_MAX: usize = 16;

/// Exports of billing at once: each reads a month and holds a thread for as long as its reader takes.
pub(crate) const EXPORTS_MAX: usize = 2;

/// What the process owns.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) config: Config,
    /// Where requests for functions arrive, as bound.
    pub(crate) listen: SocketAddr,
    /// Where control requests arrive, as bound.
    pub(crate) control: SocketAddr,
    pub(crate) clock: Clock,
    pub(crate) identities: Arc<Identities>,
    pub(crate) authentication: Authentication,
    pub(crate) random: Random,
    /// Makes and reads markers of lists and addresses of code.
    pub(crate) tokens: Tokens,
    pub(crate) registry: Arc<Registry>,
    pub(crate) refusals: Arc<Refusals>,
    pub(crate) concurrency: Concurrency,
    /// What may be spent.
    pub(crate) budgets: Arc<Budgets>,
    pub(crate) sandboxes: Sandboxes,
    pub(crate) data_dir: DataDir,
    pub(crate) ledger: Ledger,
    pub(crate) queue: Queue,
    /// What enqueues events by itself.
    pub(crate) schedules: Schedules,
    /// Told when something in the queue changed.
    pub(crate) queue_changed: Arc<Notify>,
    /// What hands records of events to those who are no functions.
    pub(crate) deliveries: Deliveries,
    pub(crate) logs: Logs,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) faults: Faults,
    /// Records of events that their destination's queue had no room for.
    pub(crate) records_left_out: Faults,
    /// The keys of those who issue tokens.
    pub(crate) key_sets: KeySets,
    /// Memory for bodies that are being received and events that wait.
    pub(crate) room: Room,
    pub(crate) audit: AuditLog,
    /// For the one backup that may be made at a time.
    pub(crate) backups: Arc<Semaphore>,
    /// Exports of billing that may still be made.
    pub(crate) exports: Arc<Semaphore>,
    /// Live tails that may still be started.
    pub(crate) live_tails: LiveTails,
    /// Uploads that may still be taken.
    pub(crate) uploads: Arc<Semaphore>,
    /// Set when the process drains: it finishes what runs and says that it is not healthy.
    pub(crate) draining: watch::Sender<bool>,
    /// Where threads for guests live: an invocation that comes in elsewhere is spawned there.
    pub(crate) workers: tokio::runtime::Handle,
}

impl App {
    /// An id for an event that arrives now.
    pub(crate) fn request_id(&self) -> RequestId {
        RequestId::new(self.clock.unix_ms(), self.random.bytes())
    }

    /// Where triggers answer, without a slash at the end.
    pub(crate) fn triggers_url(&self) -> String {
        format!("{}://{}", self.triggers_scheme(), self.listen)
    }

    /// Where the function URL with this id answers: below the configured domain, or at our address.
    pub(crate) fn function_url(&self, region: &str, id: &str) -> String {
        let Some(domain) = &self.config.url_domain else {
            return format!("{}{URLS}/{id}/", self.triggers_url());
        };
        let scheme = self.triggers_scheme();
        let port = match (scheme, self.listen.port()) {
            ("http", 80) | ("https", 443) => String::new(),
            (_, port) => format!(":{port}"),
        };
        format!("{scheme}://{id}.lambda-url.{region}.{domain}{port}/")
    }

    fn triggers_scheme(&self) -> &'static str {
        match self.config.tls.triggers {
            Some(_) => "https",
            None => "http",
        }
    }

    /// Whether the process takes no new work.
    pub(crate) fn is_draining(&self) -> bool {
        *self.draining.borrow()
    }

    /// Completes when the process drains: what would go on for ever ends then.
    pub(crate) async fn drain_started(&self) {
        // The sender is ours, so this can't fail.
        drop(
            self.draining
                .subscribe()
                .wait_for(|draining| *draining)
                .await,
        );
    }
}

/// Bits that nobody outside can foresee: a keyed hash of a counter, the key from the system.
///
/// Good for ids, which are no secrets; about 30 ns and no system call.
#[derive(Debug, Default)]
pub(crate) struct Random {
    key: RandomState,
    counter: AtomicU64,
}

impl Random {
    /// Ten bytes.
    pub(crate) fn bytes(&self) -> [u8; 10] {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let low = self.key.hash_one((count, 0_u8)).to_le_bytes();
        let high = self.key.hash_one((count, 1_u8)).to_le_bytes();
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&low);
        bytes[8..].copy_from_slice(&high[..2]);
        bytes
    }

    /// Sixty-four bits.
    pub(crate) fn bits(&self) -> u64 {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        self.key.hash_one((count, 2_u8))
    }

    /// A UUID of version 4.
    pub(crate) fn uuid(&self) -> Uuid {
        let bits = (u128::from(self.bits()) << 64) | u128::from(self.bits());
        uuid::Builder::from_random_bytes(bits.to_le_bytes()).into_uuid()
    }

    /// Thirty-two hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        let (a, b) = (self.bytes(), self.bytes());
        a.iter()
            .chain(&b[..6])
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn random_bytes_do_not_repeat() {
        let random = Random::default();
        let seen: HashSet<_> = (0..10_000).map(|_| random.bytes()).collect();
        assert_eq!(seen.len(), 10_000);
        assert_eq!(random.hex().len(), 32);
        let seen: HashSet<_> = (0..10_000).map(|_| random.uuid()).collect();
        assert_eq!(seen.len(), 10_000);
        assert_eq!(random.uuid().get_version_num(), 4);
    }
}
