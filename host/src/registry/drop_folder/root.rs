//! Looking at the whole folder: what is in it, and what it means that it can't be read.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;

use storage::Origin;

use super::{DropFolder, Progress, TRY_AGAIN};
use crate::registry::candidate::Entry;

/// What the folder itself is called among refused files.
const ROOT: &str = ".";

impl DropFolder {
    /// Every entry that is there or was; `None` when the folder does not tell.
    pub(super) fn scan(&mut self) -> Option<BTreeSet<Entry>> {
        let was_there = self.progress == Progress::Settled;
        let names = match list(&self.root) {
            Ok(names) => {
                self.refusals.remove(ROOT);
                names
            }
            // It was there, so somebody deleted it with all that it had.
            Err(error) if error.kind() == ErrorKind::NotFound && was_there => {
                self.refuse_root(&error, "its functions are taken out of service");
                Vec::new()
            }
            Err(error) => {
                self.refuse_root(&error, "what was published before stays");
                self.owes_scan = true;
                return None;
            }
        };
        self.owes_scan = false;
        let mut entries: BTreeSet<_> = self.seen.keys().cloned().collect();
        let mut odd_names = BTreeSet::new();
        for name in names {
            match name.to_str() {
                Some(name) => entries.extend(Entry::recognise(&self.root, name)),
                None => odd_names.extend(odd_label(&name)),
            }
        }
        self.refuse_odd_names(odd_names);
        Some(entries)
    }

    /// Takes out of service what was dropped before the last stop and is gone now.
    pub(super) fn settle(&mut self) -> Option<Duration> {
        let mut is_settled = true;
        for function in self.registry.functions() {
            let name = function.name.to_string();
            let file = Entry::File(name);
            let is_there = self.seen.contains_key(&file) || self.seen.contains_key(&file.twin());
            if function.origin == Origin::Drop && !is_there {
                is_settled &= self.remove(&function.name);
            }
        }
        if is_settled {
            self.progress = Progress::Settled;
            self.known = HashMap::new();
            return None;
        }
        self.progress = Progress::Waiting;
        self.owes_scan = true;
        Some(TRY_AGAIN)
    }

    fn refuse_root(&self, error: &io::Error, consequence: &str) {
        let folder = self.root.display();
        let reason = match error.kind() {
            ErrorKind::NotFound => format!("the folder {folder} does not exist"),
            _ => format!("the folder {folder} can't be read: {error}"),
        };
        if self.remember(ROOT, None, &reason) {
            tracing::warn!("{reason}; {consequence}");
        }
    }

    fn refuse_odd_names(&mut self, labels: BTreeSet<String>) {
        for gone in self.odd_names.difference(&labels) {
            self.refusals.remove(gone);
        }
        for label in &labels {
            let reason = "the file name is not UTF-8";
            if self.remember(label, None, reason) {
                tracing::warn!("refused {label}: {reason}");
            }
        }
        self.odd_names = labels;
    }
}

fn list(root: &Path) -> io::Result<Vec<OsString>> {
    std::fs::read_dir(root)?
        .map(|item| Ok(item?.file_name()))
        .collect()
}

/// How people find a file whose name is no text, if it was meant to be a function.
fn odd_label(name: &OsString) -> Option<String> {
    let bytes = name.as_encoded_bytes();
    let is_function = bytes.ends_with(b".wasm") && !bytes.starts_with(b".");
    is_function.then(|| bytes.escape_ascii().to_string())
}
