//! Uploads of whom nobody knows yet: the signature can be verified when the body is there, and bodies of
//! code are large. So few of them are read at once for one key, and few from one network.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::http::network::Network;

/// Uploads that are read at once for one key, and from one network.
const UNPROVEN_MAX: u32 = 2;

/// The uploads that are read now.
#[derive(Debug, Clone, Default)]
pub(super) struct Unproven(Arc<Mutex<HashMap<Sender, u32>>>);

/// On whose account an upload is read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sender {
    Key(Arc<str>),
    Network(Network),
}

/// A place among them; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    unproven: Unproven,
    senders: [Sender; 2],
}

impl Unproven {
    /// A place for an upload that is said to be signed with a key; `None` when key or network have all
    /// of theirs.
    pub(super) fn enter(&self, access_key_id: &Arc<str>, source: IpAddr) -> Option<Place> {
        let senders = [
            Sender::Key(Arc::clone(access_key_id)),
            Sender::Network(Network::of(source)),
        ];
        let mut held = self.0.lock();
        let is_full = |sender| held.get(sender).is_some_and(|count| *count >= UNPROVEN_MAX);
        if senders.iter().any(is_full) {
            return None;
        }
        for sender in &senders {
            *held.entry(sender.clone()).or_default() += 1;
        }
        drop(held);
        Some(Place {
            unproven: self.clone(),
            senders,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.unproven.0.lock();
        for sender in &self.senders {
            if let Some(count) = held.get_mut(sender) {
                *count -= 1;
                if *count == 0 {
                    held.remove(sender);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_a_network_have_two_places_each_and_get_them_back() {
        let unproven = Unproven::default();
        let enter = |key: &str, last: u8| unproven.enter(&key.into(), [10, 0, 0, last].into());
        let first = enter("K", 1).unwrap();
        let second = enter("K", 2).unwrap();
        assert!(enter("K", 3).is_none(), "the key has its two");
        let third = enter("L", 1).unwrap();
        assert!(enter("M", 1).is_none(), "the network has its two");
        drop(first);
        let fourth = enter("K", 1).unwrap();
        drop((second, third, fourth));
        assert!(unproven.0.lock().is_empty());
    }
}
