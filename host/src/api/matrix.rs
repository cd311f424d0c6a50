//! All operations of all services as one table, checked in for the tests from outside: each of them must
//! turn away who has no permission. An operation that is not in the table fails here.
//!
//! `UPDATE_GOLDEN=1 cargo test -p mayfly --lib matrix` writes it again.

use std::path::Path;

use super::{lambda, logs};

/// One operation.
pub(super) struct Row {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) method: &'static str,
    /// Path and query, labels written `{}`.
    pub(super) target: String,
}

fn table() -> String {
    let mut text = "# service\toperation\taction\tmethod\ttarget\n".to_owned();
    for row in rows() {
        let fields = [row.service, row.name, row.action, row.method, &row.target];
        text.push_str(&fields.join("\t"));
        text.push('\n');
    }
    text
}

fn rows() -> impl Iterator<Item = Row> {
    lambda::rows().into_iter().chain(logs::rows())
}

#[test]
fn the_table_of_operations_is_the_one_that_is_checked_in() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/security/operations.tsv");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, table()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), table());
}

#[test]
fn every_action_is_one_of_its_service() {
    for row in rows() {
        let name = row.action.strip_prefix(row.service).unwrap();
        assert!(name.starts_with(':') && name.len() > 1, "{}", row.action);
    }
}
