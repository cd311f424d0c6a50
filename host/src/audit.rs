//! The audit log: one line for each decision about each request of the control API, and for signed requests
//! that the listener of functions refused.
//!
//! Requests of nobody we know are written up to a rate and counted beyond it, so that a stranger can't
//! fill the disk. Invocations that were allowed are in the ledger; they are here only if configured.
//! What changes something is refused while lines can't be written.

use std::net::IpAddr;

use domain::{Clock, RequestId};
use http::StatusCode;
use parking_lot::Mutex;
use storage::{Audit, AuditDecision, AuditEntry};

use crate::auth::trail::{Decided, Trail};
use crate::time_text::rfc3339_ms;

/// Lines a second for requests of nobody we know.
const STRANGERS_PER_SECOND: u32 = 10;

const MICROS_PER_SECOND: i64 = 1_000_000;

/// Actions that make events: the ledger has them.
const INVOKE: [&str; 2] = ["lambda:InvokeFunction", "mayfly:PublishTopic"];

/// What verbs of actions begin with that change nothing. Any other changes something.
const READING: [&str; 10] = [
    "BatchGet",
    "Describe",
    "Download",
    "Filter",
    "Get",
    "Invoke",
    "List",
    "Read",
    "Simulate",
    "Summarise",
];

/// What writes the audit log.
#[derive(Debug)]
pub(crate) struct AuditLog {
    audit: Audit,
    /// Whether allowed invocations are written.
    invoke: bool,
    strangers: Mutex<Strangers>,
    /// Of the listener of functions.
    refused: Mutex<Strangers>,
}

/// Requests of nobody we know, or refused ones, in this second.
#[derive(Debug, Default)]
struct Strangers {
    second: i64,
    written: u32,
    left_out: u64,
}

/// An answered request.
#[derive(Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) id: RequestId,
    pub(crate) source: IpAddr,
    pub(crate) trail: &'a Trail,
    pub(crate) status: StatusCode,
    /// The name of the error, if it is one.
    pub(crate) error: Option<&'a str>,
}

impl AuditLog {
    pub(crate) fn new(audit: Audit, invoke: bool) -> Self {
        Self {
            audit,
            invoke,
            strangers: Mutex::default(),
            refused: Mutex::default(),
        }
    }

    /// Why nothing may be changed now, if so.
    pub(crate) fn problem(&self) -> Option<String> {
        self.audit.problem()
    }

    /// Whether `action` may go on: it changes nothing, or will be in the log.
    pub(crate) fn allows(&self, action: &str) -> bool {
        !is_changing(action) || self.problem().is_none()
    }

    /// Makes everything durable that was written.
    pub(crate) fn flush(&self) {
        self.audit.flush();
    }

    /// Writes what was decided about a request, and how it was answered.
    pub(crate) fn record(&self, clock: &Clock, answered: &Answered<'_>) {
        let decided = answered.trail.decided();
        let who = answered.trail.who();
        let now_us = clock.unix_us();
        if decided.is_empty() {
            let entry = entry(now_us, answered);
            match who {
                Some(_) => self.audit.append(&entry),
                None => self.record_some(&self.strangers, now_us, entry),
            }
            return;
        }
        for decided in decided {
            if INVOKE.contains(&decided.action) && decided.denied.is_none() && !self.invoke {
                continue;
            }
            self.audit
                .append(&with_decision(entry(now_us, answered), decided));
        }
    }

    /// Writes that the listener of functions refused a signature or its maker. Up to a rate: functions are
    /// asked by many, and often.
    pub(crate) fn record_refused(&self, clock: &Clock, answered: &Answered<'_>) {
        let now_us = clock.unix_us();
        let denied = answered.trail.decided().into_iter().next_back();
        let entry = entry(now_us, answered);
        let entry = match denied {
            None => entry,
            Some(decided) => with_decision(entry, decided),
        };
        self.record_some(&self.refused, now_us, entry);
    }

    fn record_some(&self, counted: &Mutex<Strangers>, now_us: i64, mut entry: AuditEntry) {
        let second = now_us.div_euclid(MICROS_PER_SECOND);
        {
            let mut strangers = counted.lock();
            if strangers.second != second {
                (strangers.second, strangers.written) = (second, 0);
            }
            if strangers.written >= STRANGERS_PER_SECOND {
                strangers.left_out += 1;
                return;
            }
            strangers.written += 1;
            entry.left_out = std::mem::take(&mut strangers.left_out);
        }
        self.audit.append(&entry);
    }
}

fn with_decision(entry: AuditEntry, decided: Decided) -> AuditEntry {
    let Decided {
        action,
        resource,
        denied,
    } = decided;
    AuditEntry {
        action: Some(action.to_owned()),
        resource: Some(resource),
        decision: match denied {
            None => AuditDecision::Allowed,
            Some(_) => AuditDecision::Denied,
        },
        reason: denied,
        ..entry
    }
}

fn entry(now_us: i64, answered: &Answered<'_>) -> AuditEntry {
    let who = answered.trail.who();
    AuditEntry {
        time: rfc3339_ms(now_us),
        request_id: answered.id.to_string(),
        caller: who.map(|who| who.arn.clone()),
        access_key_id: who.map(|who| who.access_key_id.to_string()),
        source_ip: answered.source.to_string(),
        status: answered.status.as_u16(),
        error: answered.error.map(str::to_owned),
        ..AuditEntry::default()
    }
}

/// Whether an action such as `lambda:CreateFunction` changes something.
fn is_changing(action: &str) -> bool {
    let verb = action.rsplit(':').next().unwrap_or_default();
    let is_live_tail = action == "logs:StartLiveTail";
    !is_live_tail
        && !INVOKE.contains(&action)
        && !READING.iter().any(|reading| verb.starts_with(reading))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use storage::audit::read;
    use storage::{AuditQuery, AuditSettings, DataDir};

    use super::*;

    struct Site {
        root: tempfile::TempDir,
        log: AuditLog,
        clock: Clock,
    }

    fn site(invoke: bool) -> Site {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        let audit = Audit::open(&data_dir, AuditSettings::default()).unwrap();
        Site {
            root,
            log: AuditLog::new(audit, invoke),
            clock: Clock::manual(1_795_305_600_000_000),
        }
    }

    impl Site {
        fn answer(&self, trail: &Trail, status: u16, error: Option<&str>) {
            let answered = Answered {
                id: "01936e5c-0000-7000-8000-000000000000".parse().unwrap(),
                source: [127, 0, 0, 1].into(),
                trail,
                status: StatusCode::from_u16(status).unwrap(),
                error,
            };
            self.log.record(&self.clock, &answered);
        }

        fn entries(&self) -> Vec<AuditEntry> {
            let query = AuditQuery {
                limit: usize::MAX,
                ..AuditQuery::default()
            };
            read(self.root.path(), &query).unwrap().entries
        }
    }

    fn known() -> Trail {
        let trail = Trail::default();
        trail.recognise(
            "arn:aws:iam::000000000000:user/bob".to_owned(),
            "AKIA".into(),
        );
        trail
    }

    fn decided(action: &'static str, denied: Option<&str>) -> Decided {
        Decided {
            action,
            resource: "r".to_owned(),
            denied: denied.map(str::to_owned),
        }
    }

    #[test]
    fn each_decision_is_a_line_with_who_what_why_and_how_it_ended() {
        let site = site(false);
        let trail = known();
        trail.note(decided("lambda:CreateFunction", None));
        trail.note(decided("iam:PassRole", Some("because no")));
        site.answer(&trail, 403, Some("AccessDeniedException"));
        let entries = site.entries();
        let [allowed, denied] = entries.as_slice() else {
            panic!("{entries:?}");
        };
        assert_eq!(allowed.decision, AuditDecision::Allowed);
        assert_eq!(
            allowed.caller.as_deref(),
            Some("arn:aws:iam::000000000000:user/bob")
        );
        assert_eq!(allowed.access_key_id.as_deref(), Some("AKIA"));
        assert_eq!(allowed.time, "2026-11-22T00:00:00.000Z");
        assert_eq!(denied.decision, AuditDecision::Denied);
        assert_eq!(denied.reason.as_deref(), Some("because no"));
        assert_eq!(denied.status, 403);
        assert_eq!(denied.error.as_deref(), Some("AccessDeniedException"));
    }

    #[test]
    fn allowed_invocations_are_written_only_if_configured_and_denied_ones_always() {
        for (invoke, lines) in [(false, 1), (true, 2)] {
            let site = site(invoke);
            for denied in [None, Some("no")] {
                let trail = known();
                trail.note(decided(INVOKE[0], denied));
                site.answer(&trail, 200, None);
            }
            assert_eq!(site.entries().len(), lines);
        }
    }

    #[test]
    fn strangers_are_written_up_to_a_rate_and_the_rest_is_counted() {
        let site = site(false);
        let stranger = Trail::default();
        for _ in 0..STRANGERS_PER_SECOND + 5 {
            site.answer(&stranger, 403, Some("MissingAuthenticationTokenException"));
        }
        // Who is known is not held back by them.
        site.answer(&known(), 404, Some("UnknownOperationException"));
        site.clock.advance(Duration::from_secs(1));
        site.answer(&stranger, 403, None);
        let entries = site.entries();
        assert_eq!(
            entries.len(),
            usize::try_from(STRANGERS_PER_SECOND).unwrap() + 2
        );
        assert_eq!(entries.last().unwrap().left_out, 5);
        assert!(
            entries
                .iter()
                .all(|entry| entry.decision == AuditDecision::None)
        );
    }

    #[test]
    fn nothing_is_changed_while_lines_can_not_be_written() {
        let root = tempfile::tempdir().unwrap();
        let data_dir = DataDir::open(root.path()).unwrap();
        // Each line begins a new file.
        let settings = AuditSettings {
            file_bytes: 1,
            ..AuditSettings::default()
        };
        let audit = Audit::open(&data_dir, settings).unwrap();
        let site = Site {
            root,
            log: AuditLog::new(audit, false),
            clock: Clock::manual(0),
        };
        let (changing, reading) = ("lambda:CreateFunction", "lambda:GetFunction");
        let answer = || {
            let trail = known();
            trail.note(decided(changing, None));
            site.answer(&trail, 201, None);
        };
        answer();
        assert!(site.log.allows(changing));
        let directory = site.root.path().join("audit");
        let aside = site.root.path().join("aside");
        std::fs::rename(&directory, &aside).unwrap();
        answer();
        assert!(!site.log.allows(changing) && site.log.allows(reading));
        assert!(site.log.problem().is_some());
        std::fs::rename(&aside, &directory).unwrap();
        assert!(site.log.allows(changing));
        assert_eq!(site.entries().len(), 2);
    }

    #[test]
    fn what_is_not_known_to_read_is_taken_to_change() {
        for reading in [
            "lambda:GetFunction",
            "lambda:InvokeFunction",
            "logs:StartLiveTail",
            "logs:FilterLogEvents",
            "mayfly:ReadAudit",
            "mayfly:DownloadCode",
            "mayfly:PublishTopic",
            "mayfly:ListEvents",
            "iam:SimulatePrincipalPolicy",
        ] {
            assert!(!is_changing(reading), "{reading}");
        }
        for changing in [
            "lambda:CreateFunction",
            "lambda:UpdateAlias",
            "iam:PutUserPolicy",
            "mayfly:Rollback",
            "mayfly:PurgeEvents",
            "lambda:PublishVersion",
            "lambda:NewThing",
            "",
        ] {
            assert!(is_changing(changing), "{changing}");
        }
    }
}
