//! The drop folder and the control API beside each other: who decides what.

use super::super::test_site::{Site, draft, wasm};
use super::super::*;
use super::made::{alias, at, code, name, new, resolved, set};

#[test]
fn what_was_dropped_has_versions_aliases_and_settings_and_its_files_decide_the_rest() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    let first = draft("f", wasm("1"));
    registry.publish(&first).unwrap();
    let publish = || registry.publish_version(&f, PublishVersion::default());
    publish().unwrap();
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    set(&site, "f", |settings| {
        settings.tags.insert("a".to_owned(), "b".to_owned());
    })
    .unwrap();
    let update = registry.update_code(&f, &code("2"), CodeUpdate::default());
    let configure = registry.update_configuration(&f, None, |_| {});
    for error in [
        update.map(drop).unwrap_err(),
        configure.map(drop).unwrap_err(),
        registry.delete(&f).unwrap_err(),
    ] {
        assert!(
            matches!(error, ChangeError::FromDropFolder { .. }),
            "{error}"
        );
    }
    let error = registry.create(new("f")).unwrap_err();
    assert!(matches!(error, ChangeError::Exists { .. }), "{error}");

    registry.publish(&draft("f", wasm("2"))).unwrap();
    publish().unwrap();
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(0));
    let site = site.restart();
    let function = site.registry.function(&f).unwrap();
    assert_eq!(function.origin, Origin::Drop);
    assert_eq!(function.versions[&1].artifact, ArtifactId::of(&wasm("1")));
    assert_eq!(function.versions[&2].artifact, ArtifactId::of(&wasm("2")));
    assert_eq!(function.settings.tags["a"], "b");
    assert_eq!(resolved(&site, "live", 0), "1");
}

#[test]
fn a_file_does_not_take_the_name_of_a_function_of_the_api_until_that_is_deleted() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    registry.create(new("f")).unwrap();
    let mut folder = site.folder();
    site.write("f.wasm", wasm("2"));
    site.settle(&mut folder);
    assert_eq!(
        site.refusal("f.wasm"),
        "function `f` was made through the control API; delete it there, or give this file another name"
    );
    assert!(site.runs("f", &wasm("1")));
    // Nor does a file that goes take it along.
    site.delete("f.wasm");
    site.settle(&mut folder);
    assert!(site.runs("f", &wasm("1")));
    assert_eq!(registry.remove(&f).unwrap(), Removed::Nothing);

    site.write("f.wasm", wasm("2"));
    site.settle(&mut folder);
    registry.delete(&f).unwrap();
    site.settle(&mut folder);
    assert_eq!(site.refusal("f.wasm"), "");
    assert!(site.runs("f", &wasm("2")));
    assert!(registry.dropped(&f).is_some());
}

#[test]
fn the_manifest_says_how_many_run_at_once_until_that_is_reserved() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    let drop_with = |concurrency| {
        let mut draft = draft("f", wasm("1"));
        draft.manifest.concurrency = Some(concurrency);
        registry.publish(&draft).unwrap();
    };
    let reserve = |count| {
        set(&site, "f", |settings| settings.reserved_concurrency = count).unwrap();
    };
    let limit = |site: &Site| {
        let function = site.registry.function(&f).unwrap();
        let concurrency = crate::concurrency::Concurrency::new(1_000, u64::MAX);
        let admitted = || {
            concurrency.admit(crate::concurrency::Candidate {
                function: &f,
                running: &function.latest.running,
                memory_bytes: 0,
                memory_in_use_bytes: 0,
            })
        };
        let permits: Vec<_> = std::iter::from_fn(|| admitted().ok()).collect();
        assert!(function.concurrency().is_some());
        permits.len()
    };
    drop_with(2);
    assert_eq!(limit(&site), 2);
    reserve(Some(5));
    assert_eq!(limit(&site), 5);
    drop_with(3);
    assert_eq!(limit(&site), 5);
    reserve(None);
    assert_eq!(limit(&site), 3);
    reserve(Some(4));
    assert_eq!(limit(&site.restart()), 4);
}
