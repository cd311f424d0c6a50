//! What was dropped and refused, and why, until it is mended or gone.

use std::collections::BTreeMap;

use parking_lot::Mutex;

/// Refused files by their path below the drop folder.
#[derive(Debug, Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<String, RefusedFile>>);

/// One refused file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedFile {
    /// Its path below the drop folder.
    pub(crate) file: String,
    /// The function it would have been, if its name is one.
    pub(crate) function: Option<String>,
    /// What to mend.
    pub(crate) reason: String,
    /// When this was first found, in Unix microseconds.
    pub(crate) since_us: i64,
}

impl Refusals {
    /// Remembers a refusal; true when it is news (a new file, or another reason).
    pub(crate) fn insert(&self, refused: RefusedFile) -> bool {
        let mut all = self.0.lock();
        match all.get(&refused.file) {
            Some(known) if known.reason == refused.reason => false,
            _ => {
                all.insert(refused.file.clone(), refused);
                true
            }
        }
    }

    /// Forgets a file.
    pub(crate) fn remove(&self, file: &str) {
        self.0.lock().remove(file);
    }

    /// How many there are.
    pub(crate) fn len(&self) -> u64 {
        self.0.lock().len() as u64
    }

    /// All of them, by file.
    pub(crate) fn list(&self) -> Vec<RefusedFile> {
        self.0.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_news_once_for_each_reason() {
        let refusals = Refusals::default();
        let refused = |reason: &str| RefusedFile {
            file: "a.wasm".to_owned(),
            function: None,
            reason: reason.to_owned(),
            since_us: 0,
        };
        assert!(refusals.insert(refused("x")));
        assert!(!refusals.insert(refused("x")));
        assert!(refusals.insert(refused("y")));
        assert_eq!(refusals.list().len(), 1);
        refusals.remove("a.wasm");
        assert!(refusals.list().is_empty());
    }
}
