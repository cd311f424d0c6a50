//! How many bytes the logs of all functions take, and whose go first when it is too many.

use std::collections::HashMap;

use domain::FunctionName;

/// Sizes of logs, within a total.
#[derive(Debug)]
pub(super) struct Budget {
    bytes_max: u64,
    bytes: u64,
    of_function: HashMap<FunctionName, u64>,
}

impl Budget {
    pub(super) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max,
            bytes: 0,
            of_function: HashMap::new(),
        }
    }

    /// Notes how large the log of `function` is.
    pub(super) fn set(&mut self, function: &FunctionName, bytes: u64) {
        let before = if bytes == 0 {
            self.of_function.remove(function)
        } else {
            self.of_function.insert(function.clone(), bytes)
        };
        self.bytes = self.bytes.saturating_sub(before.unwrap_or(0));
        self.bytes = self.bytes.saturating_add(bytes);
    }

    pub(super) fn add(&mut self, function: &FunctionName, bytes: u64) {
        self.set(function, self.of(function).saturating_add(bytes));
    }

    pub(super) fn of(&self, function: &FunctionName) -> u64 {
        self.of_function.get(function).copied().unwrap_or(0)
    }

    /// The largest log, when all together are too large.
    pub(super) fn to_shorten(&self) -> Option<FunctionName> {
        let largest = self.of_function.iter().max_by_key(|(_, bytes)| **bytes);
        largest
            .filter(|_| self.bytes > self.bytes_max)
            .map(|(function, _)| function.clone())
    }
}
