//! Reading the audit log, beside a server or without one.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use super::file::list;
use super::{AuditDecision, AuditEntry, directory};
use crate::StorageError;

/// Which entries are wanted: all that every member wants.
#[derive(Debug, Clone, Default)]
pub struct AuditQuery {
    /// From this time on: RFC 3339 in UTC with milliseconds.
    pub since: Option<String>,
    /// Of this caller: an ARN, a user's name, or `root`.
    pub user: Option<String>,
    /// Of this action, such as `lambda:CreateFunction`; one `*` at the end stands for anything.
    pub action: Option<String>,
    /// Only those that were denied.
    pub denied: bool,
    /// At most so many, the last ones.
    pub limit: usize,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Oldest first.
    pub entries: Vec<AuditEntry>,
    /// Lines on the way that are not entries: cut short by a crash, or changed by somebody.
    pub damaged: u64,
}

impl AuditQuery {
    fn wants(&self, entry: &AuditEntry) -> bool {
        let is_user = |user: &String| {
            let caller = entry.caller.as_deref().unwrap_or_default();
            caller == user || caller.rsplit([':', '/']).next() == Some(user.as_str())
        };
        let is_action = |action: &String| {
            let known = entry.action.as_deref().unwrap_or_default();
            match action.strip_suffix('*') {
                Some(prefix) => known.starts_with(prefix),
                None => known == action,
            }
        };
        self.since.as_ref().is_none_or(|since| entry.time >= *since)
            && self.user.as_ref().is_none_or(is_user)
            && self.action.as_ref().is_none_or(is_action)
            && (!self.denied || entry.decision == AuditDecision::Denied)
    }
}

/// The last entries of the data directory `data_dir` that `query` wants.
///
/// # Errors
///
/// [`StorageError::Io`] when the log can't be read.
pub fn read(data_dir: &Path, query: &AuditQuery) -> Result<AuditPage, StorageError> {
    let mut found = VecDeque::new();
    let mut damaged = 0;
    for (_, path) in list(&directory(data_dir))?.into_iter().rev() {
        if found.len() >= query.limit {
            break;
        }
        let file = match File::open(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            opened => opened.map_err(StorageError::io("reading", &path))?,
        };
        let mut of_file = VecDeque::new();
        let mut newest = String::new();
        for line in BufReader::new(file).split(b'\n') {
            let line = line.map_err(StorageError::io("reading", &path))?;
            let Ok(entry) = serde_json::from_slice::<AuditEntry>(&line) else {
                damaged += u64::from(!line.is_empty());
                continue;
            };
            if entry.time > newest {
                newest.clone_from(&entry.time);
            }
            if query.wants(&entry) {
                of_file.push_back(entry);
                if of_file.len() + found.len() > query.limit {
                    of_file.pop_front();
                }
            }
        }
        of_file.append(&mut found);
        found = of_file;
        // Times may be a little out of order, files are not. One without a time says nothing.
        let is_before = |since: &String| !newest.is_empty() && newest < *since;
        if query.since.as_ref().is_some_and(is_before) {
            break;
        }
    }
    Ok(AuditPage {
        entries: found.into(),
        damaged,
    })
}
