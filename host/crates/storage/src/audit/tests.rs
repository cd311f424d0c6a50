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
    audit.0.shared.state.lock().files.fail_writes = true;
    audit.append(&entry(2));
    audit.append(&entry(3));
    let problem = audit.problem().unwrap();
    assert!(problem.contains("no space is left"), "{problem}");
    assert_eq!(numbers(&read(root.path(), &all()).unwrap()), ["1"]);
    audit.0.shared.state.lock().files.fail_writes = false;
    assert_eq!(audit.problem(), None);
    let page = read(root.path(), &all()).unwrap();
    assert_eq!(numbers(&page), ["1", "2", "3"]);
}

#[test]
fn what_could_not_be_synced_is_written_again_elsewhere_and_nothing_is_changed_before() {
    let (root, _data_dir, audit) = audit(settings());
    audit.append(&entry(1));
    audit.flush();
    audit.append(&entry(2));
    audit.append(&entry(3));
    audit.0.shared.state.lock().files.fail_syncs = true;
    audit.flush();
    let problem = || audit.problem().unwrap_or_default();
    assert!(problem().contains("syncing"), "{}", problem());
    audit.append(&entry(4));
    // Writing works; it is the disk that does not.
    assert!(problem().contains("syncing"), "{}", problem());
    audit.flush();
    assert!(problem().contains("syncing"), "{}", problem());
    let files = || files::list(&root.path().join("audit")).unwrap();
    assert_eq!(files().len(), 1, "what was tried is gone");

    audit.0.shared.state.lock().files.fail_syncs = false;
    assert_eq!(audit.problem(), None);
    let page = read(root.path(), &all()).unwrap();
    assert_eq!(numbers(&page), ["1", "2", "3", "4"]);
    let [(_, failed), (_, new)] = files().try_into().unwrap();
    let text = |path| std::fs::read_to_string(path).unwrap();
    assert_eq!(text(failed).lines().count(), 1, "only what is surely there");
    assert_eq!(text(new).lines().count(), 3);
    audit.append(&entry(5));
    audit.flush();
    assert_eq!(audit.problem(), None);
    let page = read(root.path(), &all()).unwrap();
    assert_eq!(numbers(&page), ["1", "2", "3", "4", "5"]);
}

#[test]
fn a_flush_waits_for_what_another_one_has_taken() {
    let (_root, _data_dir, audit) = audit(settings());
    audit.append(&entry(1));
    let other = audit.0.shared.syncing.lock();
    let (flushed, is_flushed) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            audit.flush();
            flushed.send(()).unwrap();
        });
        // A flush that does not wait for the other would be done soon.
        for _ in 0..1_000 {
            std::thread::yield_now();
            assert!(is_flushed.try_recv().is_err());
        }
        assert_eq!(audit.0.shared.state.lock().written.len(), 1);
        drop(other);
        is_flushed.recv().unwrap();
    });
    assert!(audit.0.shared.state.lock().written.is_empty());
}

#[test]
fn lines_that_are_not_synced_are_bounded() {
    let (_root, _data_dir, audit) = audit(settings());
    let too_many = u64::try_from(WAITING_MAX).unwrap() + 3;
    for number in 0..too_many {
        audit.append(&entry(number));
    }
    assert_eq!(audit.0.shared.state.lock().written.len(), 3);
    assert_eq!(audit.problem(), None);
}

#[test]
fn what_is_too_much_to_wait_is_counted_and_said_and_hides_nothing() {
    let (root, _data_dir, audit) = audit(settings());
    audit.append(&entry(1));
    audit.0.shared.state.lock().files.fail_writes = true;
    audit.append(&entry(2));
    let mut state = audit.0.shared.state.lock();
    while state.waiting.len() < WAITING_MAX {
        state.waiting.push_back("{}\n".to_owned());
    }
    drop(state);
    for number in 3..6 {
        audit.append(&entry(number));
    }
    audit.0.shared.state.lock().files.fail_writes = false;
    assert_eq!(audit.problem(), None);
    let since = Some(entry(1).time);
    let page = read(root.path(), &AuditQuery { since, ..all() }).unwrap();
    let [first, second, lost] = page.entries.as_slice() else {
        panic!("{page:?}");
    };
    assert_eq!((first, second), (&entry(1), &entry(2)));
    assert_eq!(
        (lost.left_out, lost.error.as_deref(), &lost.time),
        (3, Some("EntriesLost"), &entry(5).time)
    );
}

#[test]
fn an_entry_without_a_time_ends_no_search() {
    let (root, _data_dir, audit) = audit(AuditSettings {
        file_bytes: 1,
        ..settings()
    });
    audit.append(&entry(1));
    audit.append(&AuditEntry::default());
    let since = Some(entry(1).time);
    let page = read(root.path(), &AuditQuery { since, ..all() }).unwrap();
    assert_eq!(numbers(&page), ["1"]);
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
