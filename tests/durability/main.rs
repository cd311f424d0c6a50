//! What survives: SIGKILL at any moment, a full disk, two servers, a restart.

#![expect(clippy::unwrap_used, reason = "a test that can't set up must stop")]

mod api_changes;
mod compiled_code;
mod crash;
mod disk_full;
mod events;
mod faults;
mod kill;
mod queue_failure;
mod two_servers;
