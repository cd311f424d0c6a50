//! All operations of all services as one table, checked in for the tests from outside: each of them must
//! turn away who has no permission. An operation that is not in the table fails here.
//!
//! `UPDATE_GOLDEN=1 cargo test -p mayfly --lib matrix` writes it again.

use std::path::Path;

use http::Method;

use super::{iam, lambda, logs, mayfly, scheduler, sts};

/// One operation.
pub(super) struct Row {
    pub(super) service: &'static str,
    pub(super) name: &'static str,
    pub(super) action: &'static str,
    pub(super) method: &'static str,
    /// Path and query, labels written `{}`.
    pub(super) target: String,
    /// What a policy has to allow the action on: `*` for nothing in particular, `-` when nobody's
    /// permission is asked, else the kind of thing that the request names.
    pub(super) about: &'static str,
}

/// A method as the table writes it.
pub(super) fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "POST",
    }
}

fn table() -> String {
    let mut text = "# service\toperation\taction\tmethod\ttarget\tabout\n".to_owned();
    for row in rows() {
        let Row {
            service,
            name,
            action,
            method,
            target,
            about,
        } = &row;
        let fields = [service, name, action, method, target.as_str(), about];
        text.push_str(&fields.join("\t"));
        text.push('\n');
    }
    text
}

fn rows() -> impl Iterator<Item = Row> {
    let tables = [
        lambda::rows(),
        logs::rows(),
        iam::rows(),
        sts::rows(),
        mayfly::rows(),
        scheduler::rows(),
    ];
    tables.into_iter().flatten()
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
        // Whatever makes an event of a function needs one permission.
        let service = match row.action {
            "lambda:InvokeFunction" => "lambda",
            _ => row.service,
        };
        let name = row.action.strip_prefix(service).unwrap();
        assert!(name.starts_with(':') && name.len() > 1, "{}", row.action);
    }
}
