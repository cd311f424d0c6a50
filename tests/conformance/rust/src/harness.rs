//! Assertions that are counted. The last line is `N passed, M failed`. Knows nothing of AWS.

use std::fmt::Debug;
use std::process::ExitCode;

/// What held and what did not, so far.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    section: &'static str,
    passed: u64,
    failed: u64,
}

impl Checks {
    /// Counts one assertion; `what` says what should be so.
    pub(crate) fn check(&mut self, what: &str, holds: bool, detail: impl Debug) {
        if holds {
            self.passed += 1;
        } else {
            self.failed += 1;
            println!("FAILED {}: {what}: {detail:?}", self.section);
        }
    }

    /// `got` is `want`.
    pub(crate) fn equal<T: PartialEq + Debug>(&mut self, what: &str, got: T, want: T) {
        let holds = got == want;
        self.check(what, holds, format_args!("got {got:?}, want {want:?}"));
    }

    /// What belongs together has this name from now on.
    pub(crate) fn begin(&mut self, section: &'static str) {
        self.section = section;
    }

    /// A section that ended with an error is one more failure.
    pub(crate) fn end(&mut self, outcome: Result<(), Box<dyn std::error::Error>>) {
        if let Err(error) = outcome {
            self.check("runs to its end", false, error);
        }
        println!("{}: done", self.section);
    }

    /// Prints the closing line.
    pub(crate) fn close(&self) -> ExitCode {
        println!("{} passed, {} failed", self.passed, self.failed);
        if self.failed == 0 && self.passed > 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}
