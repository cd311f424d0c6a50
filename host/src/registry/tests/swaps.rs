//! What readers see while functions are swapped, and what is left of those that are not.

use std::ops::Bound;

use domain::routing::{Route, RouteMethod};

use super::super::test_site::{Site, count, draft, route, wasm};
use super::super::*;
use super::made::{alias, at, code, name, new, set, url, with_versions};
use crate::manifest::Manifest;

const URL: &str = "abcdefghijklmnopqrstuvwxyz012345";

#[test]
fn a_url_is_there_at_every_moment_while_its_policy_changes() {
    const SWAPS: usize = 50_000;
    let site = Site::new();
    with_versions(&site, 1);
    let registry = &site.registry;
    set(&site, "f", |settings| {
        settings.urls.insert(String::new(), url(URL, UrlAuth::None));
    })
    .unwrap();
    let without = registry.function(&name("f")).unwrap();
    let mut with = Function::clone(&without);
    let policy = ResourcePolicy {
        revision: uuid::Uuid::nil(),
        statements: vec![serde_json::json!({ "Sid": "s" })],
    };
    with.settings.policies.insert(String::new(), policy);
    let states = [Arc::new(with), without];
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut missed = 0;
            while !is_done.load(Ordering::Relaxed) {
                missed += usize::from(registry.url(URL).is_none());
            }
            missed
        });
        for state in states.iter().cycle().take(SWAPS) {
            registry.swap_in(state);
        }
        is_done.store(true, Ordering::Relaxed);
        assert_eq!(reader.join().unwrap(), 0);
    });
    set(&site, "f", |settings| settings.urls.clear()).unwrap();
    assert!(registry.url(URL).is_none());
}

#[test]
fn nothing_is_set_for_an_alias_or_a_version_that_is_gone() {
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    let add = |qualifier: &str| {
        set(&site, "f", |settings| {
            settings
                .urls
                .insert(qualifier.to_owned(), url(URL, UrlAuth::None));
        })
    };
    let error = add("live").unwrap_err();
    assert!(matches!(error, ChangeError::UnknownAlias { .. }), "{error}");
    let events = set(&site, "f", |settings| {
        let events = EventInvoke::default();
        settings.event_invoke.insert("2".to_owned(), events);
    });
    let error = events.unwrap_err();
    assert!(
        matches!(error, ChangeError::UnknownVersion { .. }),
        "{error}"
    );
    assert_eq!(registry.function(&f).unwrap().settings.urls.len(), 0);
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    add("live").unwrap();
    add("").unwrap();
    add("$LATEST").unwrap();
}

#[test]
fn who_goes_gives_up_no_route_of_another() {
    let site = Site::new();
    let registry = &site.registry;
    for (function, path) in [("a", "/x"), ("b", "/y")] {
        let mut draft = draft(function, wasm(function));
        draft.manifest = Manifest::parse(&route(path)).unwrap();
        registry.publish(&draft).unwrap();
    }
    let a = registry.function(&name("a")).unwrap();
    let mut b = Function::clone(&registry.function(&name("b")).unwrap());
    let mut content = b.latest.content();
    content.configuration.routes = a.routes().to_vec();
    let counters = b.latest.counters();
    b.latest = Arc::new(registry.version(&b.name, VersionId::Latest, content, counters));
    registry.swap_in(&Arc::new(b));
    assert_eq!(registry.remove(&name("b")).unwrap(), Removed::Whole);
    let routes = registry.routes.read();
    let owner = routes.owner(&Route::new(RouteMethod::Any, "/x").unwrap());
    assert_eq!(owner.unwrap().function, name("a"));
}

#[test]
fn what_does_not_go_live_leaves_nothing_behind() {
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    folder.sweep();
    // More than lie about before the next sweep.
    for round in 0..30 {
        let options = CodeUpdate {
            dry_run: true,
            ..CodeUpdate::default()
        };
        let dry = code(&format!("dry {round}"));
        registry.update_code(&f, &dry, options).unwrap();
    }
    site.settle(&mut folder);
    folder.sweep();
    assert_eq!(count(&site.data("artifacts")), 1);

    let prepared = registry.prepare(&draft("never", wasm("never")), Effort::Full);
    assert!(prepared.unwrap().is_some());
    assert!(!registry.running.contains_key(&name("never")));
    let metrics = registry.parts.metrics.render(&[]);
    assert!(!metrics.contains("never"), "{metrics}");
    assert!(metrics.contains("function=\"f\""), "{metrics}");
}

#[test]
fn a_sweep_that_must_wait_for_an_upload_is_made_up_for() {
    let site = Site::new();
    with_versions(&site, 1);
    let mut folder = site.folder();
    site.settle(&mut folder);
    let preparing = site
        .registry
        .prepare(&draft("g", wasm("g")), Effort::Full)
        .unwrap();
    folder.sweep();
    assert_eq!(count(&site.data("artifacts")), 2);
    drop(preparing);
    folder.sweep();
    assert_eq!(count(&site.data("artifacts")), 1);
}

#[test]
fn a_page_of_functions_begins_where_it_is_asked_to() {
    let site = Site::new();
    for function in ["c", "a", "d", "b"] {
        site.registry.create(new(function)).unwrap();
    }
    let page = |from: Bound<&str>, max| {
        let names = from.map(name);
        let found = site.registry.functions_from(names.as_ref(), max);
        let names: Vec<_> = found.iter().map(|f| f.name.to_string()).collect();
        names.concat()
    };
    assert_eq!(page(Bound::Unbounded, 9), "abcd");
    assert_eq!(page(Bound::Included("b"), 2), "bc");
    assert_eq!(page(Bound::Excluded("b"), 9), "cd");
    site.registry.delete(&name("c")).unwrap();
    assert_eq!(page(Bound::Included("b"), 2), "bd");
    assert_eq!(page(Bound::Included("e"), 2), "");
}
