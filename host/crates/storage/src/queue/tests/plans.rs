//! No question looks at all events.

use super::*;

fn plan(sqlite: &Sqlite, sql: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let mut statement = sqlite.connection().prepare(&explain).unwrap();
    for parameter in 1..=statement.parameter_count() {
        statement.raw_bind_parameter(parameter, 1).unwrap();
    }
    let mut rows = statement.raw_query();
    let mut plan = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push(row.get::<_, String>(3).unwrap());
    }
    plan
}

#[test]
fn every_question_is_answered_from_an_index_and_none_sorts() {
    let root = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&root.path().join(sqlite::FILE)).unwrap();
    // Pages of everything go along the table itself, and depths along an index: from one end.
    let pages = [sql::PAGE, sql::DEPTHS_QUEUED, sql::DEPTHS_KEPT];
    for sql in sql::ABOUT_EVENTS {
        let plan = plan(&sqlite, sql);
        assert!(!plan.is_empty(), "{sql}");
        for step in &plan {
            let is_scan = step.starts_with("SCAN") && !step.contains("CONSTANT ROW");
            assert!(!is_scan || pages.contains(sql), "{sql}\n{plan:#?}");
            assert!(!step.contains("TEMP B-TREE"), "{sql}\n{plan:#?}");
        }
    }
    let kept = plan(&sqlite, sql::DEPTHS_KEPT).join("\n");
    assert!(kept.contains("COVERING INDEX kept"), "{kept}");
    for sql in [sql::DUE, sql::NEXT_DUE, sql::CLAMP_DUE] {
        let plan = plan(&sqlite, sql).join("\n");
        assert!(plan.contains("INDEX due (queue=?"), "{sql}\n{plan}");
    }
}

#[test]
fn a_question_without_its_index_would_be_found() {
    let root = tempfile::tempdir().unwrap();
    let sqlite = Sqlite::open(&root.path().join(sqlite::FILE)).unwrap();
    sqlite.connection().execute_batch("DROP INDEX due").unwrap();
    let claims = plan(&sqlite, sql::DUE).join("\n");
    assert!(claims.contains("TEMP B-TREE"), "{claims}");
}
