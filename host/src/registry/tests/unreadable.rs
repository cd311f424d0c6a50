//! Records that can't be read: nothing of them is lost until somebody deletes it.

use storage::Write;

use super::super::test_site::{Site, count, draft, wasm};
use super::super::*;
use super::made::{alias, at, name, new, resolved, with_versions};

/// Makes what is stored of `f` unreadable, as far as `spoil` finds something to spoil.
fn spoil(site: &Site, spoil: impl Fn(&mut Write)) {
    let registry = &site.registry;
    let mut writes = registry.function(&name("f")).unwrap().writes(None).unwrap();
    writes.iter_mut().for_each(spoil);
    registry.parts.records.delete_function(&name("f")).unwrap();
    registry.parts.records.write(&writes).unwrap();
}

#[test]
fn a_function_that_can_not_be_read_keeps_its_code_and_its_name_until_it_is_deleted() {
    let site = Site::new();
    with_versions(&site, 2);
    let registry = &site.registry;
    registry
        .create_alias(&name("f"), alias("live"), at(1), String::new())
        .unwrap();
    spoil(&site, |write| {
        if let Write::Function(record) = write {
            record.latest.configuration = "no JSON".to_owned();
        }
    });
    let site = site.restart();
    let (registry, f) = (&site.registry, name("f"));
    assert!(registry.function(&f).is_none());
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(0));
    assert_eq!(count(&site.data("artifacts")), 2);

    let mut folder = site.folder();
    site.write("f.wasm", wasm("3"));
    site.settle(&mut folder);
    let reason = "the record of function `f` can't be read; delete the function to make it anew";
    assert_eq!(site.refusal("f.wasm"), reason);
    let refused = registry.publish(&draft("f", wasm("3"))).unwrap_err();
    assert_eq!(refused.to_string(), reason);
    assert_eq!(registry.create(new("f")).unwrap_err().to_string(), reason);
    assert_eq!(registry.remove(&f).unwrap(), Removed::Nothing);
    drop(folder);
    let site = site.restart();
    let stored = site.registry.parts.records.read().unwrap();
    assert_eq!((stored.versions.len(), stored.aliases.len()), (2, 1));

    let mut folder = site.folder();
    site.settle(&mut folder);
    assert_eq!(site.refusal("f.wasm"), reason);
    site.registry.delete(&f).unwrap();
    site.settle(&mut folder);
    assert_eq!(site.refusal("f.wasm"), "");
    assert!(site.runs("f", &wasm("3")));
    site.registry.sweep_artifacts().unwrap();
    assert_eq!(count(&site.data("artifacts")), 1);
}

#[test]
fn a_version_and_an_alias_that_can_not_be_read_stay_until_they_are_deleted() {
    let site = Site::new();
    with_versions(&site, 2);
    let registry = &site.registry;
    registry
        .create_alias(&name("f"), alias("live"), at(1), String::new())
        .unwrap();
    spoil(&site, |write| match write {
        Write::Version(record) if record.number == 1 => record.version.configuration.clear(),
        Write::Alias(record) => record.alias.clear(),
        _ => {}
    });
    let site = site.restart();
    let (registry, f) = (&site.registry, name("f"));
    assert_eq!(resolved(&site, "2", 0), "2");
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(0));
    assert_eq!(count(&site.data("artifacts")), 2);
    let make = || registry.create_alias(&f, alias("live"), at(2), String::new());
    let error = make().map(drop).unwrap_err();
    assert!(
        matches!(error, ChangeError::UnreadableAlias { .. }),
        "{error}"
    );

    assert!(registry.delete_alias(&f, &alias("live")).unwrap());
    make().unwrap();
    registry.delete_version(&f, 1).unwrap();
    let error = registry.delete_version(&f, 1).unwrap_err();
    assert!(
        matches!(error, ChangeError::UnknownVersion { .. }),
        "{error}"
    );
    let site = site.restart();
    assert_eq!(resolved(&site, "live", 0), "2");
    // The artifact of the version, and its code.
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(2));
    assert_eq!(count(&site.data("artifacts")), 1);
}
