//! The audit log in use: order, files, what can't be written, and what a crash leaves.

use super::*;
use crate::files;

fn entry(number: u64) -> AuditEntry {
    AuditEntry {
        time: format!("2026-11-23T00:00:00.{number:03}Z"),
        request_id: format!("request {number}"),
        caller: Some("arn:aws:iam::000000000000:user/division/bob".to_owned()),
        action: Some("lambda:CreateFunction".to_owned()),
        decision: AuditDecision::Allowed,
        status: 201,
        ..AuditEntry::default()
    }
}

fn settings() -> AuditSettings {
    AuditSettings {
        sync_every: Duration::from_secs(3_600),
        ..AuditSettings::default()
    }
}

fn audit(settings: AuditSettings) -> (tempfile::TempDir, DataDir, Audit) {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let audit = Audit::open(&data_dir, settings).unwrap();
    (root, data_dir, audit)
}

fn all() -> AuditQuery {
    AuditQuery {
        limit: usize::MAX,
        ..AuditQuery::default()
    }
}

fn numbers(page: &AuditPage) -> Vec<&str> {
    let ids = page.entries.iter();
    ids.map(|entry| entry.request_id.strip_prefix("request ").unwrap())
        .collect()
}

#[test]
fn entries_are_read_in_order_over_files_and_restarts() {
    let small = AuditSettings {
        file_bytes: 500,
        ..settings()
    };
    let (root, data_dir, audit) = audit(small);
    for number in 0..10 {
        audit.append(&entry(number));
    }
    // They have left the process: another reader sees them at once.
    let page = read(root.path(), &all()).unwrap();
    assert_eq!(page.entries, (0..10).map(entry).collect::<Vec<_>>());
    drop(audit);
    let audit = Audit::open(&data_dir, small).unwrap();
    audit.append(&entry(10));
    audit.flush();
    assert_eq!(audit.problem(), None);
    let last = AuditQuery { limit: 4, ..all() };
    let page = read(root.path(), &last).unwrap();
    assert_eq!(numbers(&page), ["7", "8", "9", "10"]);
    let files = files::list(&root.path().join("audit")).unwrap();
    assert!((3..=6).contains(&files.len()), "{files:?}");
}

#[test]
fn a_query_is_by_time_user_action_and_decision() {
    let (root, _data_dir, audit) = audit(settings());
    audit.append(&entry(1));
    audit.append(&AuditEntry {
        caller: Some("arn:aws:iam::000000000000:root".to_owned()),
        action: Some("lambda:DeleteFunction".to_owned()),
        decision: AuditDecision::Denied,
        ..entry(2)
    });
    audit.append(&AuditEntry {
        caller: None,
        action: None,
        decision: AuditDecision::None,
        left_out: 7,
        ..entry(3)
    });
    let found = |query: AuditQuery| {
        let page = read(root.path(), &query).unwrap();
        numbers(&page).join(" ")
    };
    let text = |text: &str| Some(text.to_owned());
    let since = text("2026-11-23T00:00:00.002Z");
    assert_eq!(found(AuditQuery { since, ..all() }), "2 3");
    for (user, expected) in [("bob", "1"), ("root", "2"), ("division", ""), ("ob", "")] {
        let user = text(user);
        assert_eq!(found(AuditQuery { user, ..all() }), expected);
    }
    for (action, expected) in [
        ("lambda:*", "1 2"),
        ("lambda:CreateFunction", "1"),
        ("lambda:Create", ""),
        ("*", "1 2 3"),
    ] {
        let action = text(action);
        assert_eq!(found(AuditQuery { action, ..all() }), expected);
    }
    let denied = true;
    assert_eq!(found(AuditQuery { denied, ..all() }), "2");
}

#[test]
fn what_can_not_be_written_waits_and_is_said_and_written_when_that_is_over() {
    let (root, _data_dir, audit) = audit(settings());
    audit.append(&entry(1));
    audit.0.shared.fail_writes.store(true, Ordering::Relaxed);
    audit.append(&entry(2));
    audit.append(&entry(3));
    let problem = audit.problem().unwrap();
    assert!(problem.contains("no space is left"), "{problem}");
    assert_eq!(numbers(&read(root.path(), &all()).unwrap()), ["1"]);
    audit.0.shared.fail_writes.store(false, Ordering::Relaxed);
    assert_eq!(audit.problem(), None);
    let page = read(root.path(), &all()).unwrap();
    assert_eq!(numbers(&page), ["1", "2", "3"]);
}

#[test]
fn what_is_too_much_to_wait_is_counted_and_said() {
    let (root, _data_dir, audit) = audit(settings());
    audit.0.shared.fail_writes.store(true, Ordering::Relaxed);
    let too_many = u64::try_from(WAITING_MAX).unwrap() + 3;
    // Each try writes all that waits; fewer tries are the same.
    let mut state = audit.0.shared.state.lock();
    for _ in 0..WAITING_MAX {
        state.waiting.push_back("{}\n".to_owned());
    }
    drop(state);
    for number in 0..3 {
        audit.append(&entry(number));
    }
    audit.0.shared.fail_writes.store(false, Ordering::Relaxed);
    assert_eq!(audit.problem(), None);
    let page = read(root.path(), &all()).unwrap();
    let [lost] = page.entries.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!(
        (lost.left_out, lost.error.as_deref()),
        (3, Some("EntriesLost"))
    );
    assert_eq!(page.damaged, too_many - 3);
}

#[test]
fn a_line_that_a_crash_cut_short_is_not_read_and_spoils_no_other() {
    let (root, data_dir, first) = audit(settings());
    first.append(&entry(1));
    drop(first);
    let path = root.path().join("audit/0000000001.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"time\":\"2026-");
    std::fs::write(&path, text).unwrap();
    let page = read(root.path(), &all()).unwrap();
    assert_eq!((numbers(&page), page.damaged), (vec!["1"], 1));
    let second = Audit::open(&data_dir, settings()).unwrap();
    second.append(&entry(2));
    let page = read(root.path(), &all()).unwrap();
    assert_eq!((numbers(&page), page.damaged), (vec!["1", "2"], 1));
}

#[test]
fn old_files_are_removed_and_newer_ones_stay() {
    let small = AuditSettings {
        file_bytes: 1,
        ..settings()
    };
    let (root, data_dir, audit) = audit(small);
    for number in 1..=4 {
        audit.append(&entry(number));
    }
    drop(audit);
    let old = std::time::UNIX_EPOCH;
    for number in [1, 2] {
        let path = root.path().join(format!("audit/{number:010}.jsonl"));
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(old).unwrap();
    }
    let _audit = Audit::open(&data_dir, small).unwrap();
    assert_eq!(numbers(&read(root.path(), &all()).unwrap()), ["3", "4"]);
}

#[test]
fn nothing_is_there_to_read_before_there_was_an_audit_log() {
    let root = tempfile::tempdir().unwrap();
    assert_eq!(read(root.path(), &all()).unwrap(), AuditPage::default());
}
