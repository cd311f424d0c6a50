//! Data directories of other versions.

use std::fs;

use super::*;
use crate::database;

#[test]
fn a_directory_without_a_queue_opens_and_a_newer_one_is_refused_by_name() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let path = data_dir.path().join(sqlite::FILE);
    assert!(!path.exists());
    drop(open(&data_dir));
    let newer = "PRAGMA user_version = 1000000";
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute_batch(newer).unwrap();
    drop(connection);
    let before = fs::read(&path).unwrap();
    let ledger = Ledger::open(&data_dir, LedgerSettings::default()).unwrap();
    let error = Queue::open(&data_dir, settings(), ledger).unwrap_err();
    assert!(matches!(error, StorageError::NewerFormat { .. }), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("queue.db") && said.contains("1000000"),
        "{said}"
    );
    assert_eq!(fs::read(&path).unwrap(), before, "it was touched");
}

/// The next version's schema, with a step that does not come to its end.
fn next_schema(is_broken: bool) -> Vec<String> {
    let mut steps: Vec<_> = sql::SCHEMA.iter().map(|step| (*step).to_owned()).collect();
    let mut step = "CREATE TABLE more (n INTEGER); UPDATE events SET refusals = 7;".to_owned();
    if is_broken {
        step.push_str("INSERT INTO nowhere VALUES (1);");
    }
    steps.push(step);
    steps
}

fn refusals_and_tables(connection: &rusqlite::Connection) -> (u32, u32) {
    let read = |sql| connection.query_row(sql, [], |row| row.get(0)).unwrap();
    (
        read("SELECT refusals FROM events"),
        read("SELECT count(*) FROM sqlite_schema WHERE name = 'more'"),
    )
}

#[test]
fn a_step_that_fails_leaves_the_old_schema_and_every_event() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let path = data_dir.path().join(sqlite::FILE);
    let queue = open(&data_dir);
    queue.perform(accept([1], "f")).unwrap();
    drop(queue);

    let broken = next_schema(true);
    let broken: Vec<_> = broken.iter().map(String::as_str).collect();
    let error = database::open(&path, &broken).unwrap_err();
    assert!(error.to_string().contains("updating the schema"), "{error}");
    let queue = open(&data_dir);
    assert_eq!(queue.depths()["f"].queued, 1);
    drop(queue);

    let whole = next_schema(false);
    let whole: Vec<_> = whole.iter().map(String::as_str).collect();
    let connection = database::open(&path, &whole).unwrap();
    assert_eq!(refusals_and_tables(&connection), (7, 1));
}

/// What a process leaves that is killed in the middle of a step: the files as they are then.
#[test]
fn a_kill_in_the_middle_of_a_step_leaves_the_old_schema() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(&root.path().join("data")).unwrap();
    let path = data_dir.path().join(sqlite::FILE);
    let queue = open(&data_dir);
    queue.perform(accept([1], "f")).unwrap();
    drop(queue);

    let connection = rusqlite::Connection::open(&path).unwrap();
    // Pages go to the disk before the commit, so that the log holds some of them.
    connection
        .execute_batch("PRAGMA cache_size = 1; BEGIN IMMEDIATE")
        .unwrap();
    let steps = next_schema(false);
    connection.execute_batch(steps.last().unwrap()).unwrap();
    let left = root.path().join("left");
    fs::create_dir(&left).unwrap();
    for entry in fs::read_dir(data_dir.path()).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), left.join(entry.file_name())).unwrap();
        }
    }
    let data_dir = DataDir::open(&left).unwrap();
    let queue = open(&data_dir);
    assert_eq!(queue.depths()["f"].queued, 1);
    drop(queue);
    let connection = rusqlite::Connection::open(left.join(sqlite::FILE)).unwrap();
    assert_eq!(refusals_and_tables(&connection), (0, 0));
}
