//! Versions and aliases: published, weighted, rolled back, kept and deleted.

use std::collections::HashSet;
use std::time::Instant;

use domain::{Qualifier, VersionId};
use storage::{FunctionRecord, Write};

use super::super::test_site::{Site, count, wasm};
use super::super::*;
use super::made::{alias, at, code, name, new, resolved, with_versions};

#[test]
fn the_same_is_published_once_and_numbers_are_never_used_again() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    let publish = |description: Option<&str>| {
        let publish = PublishVersion {
            description: description.map(str::to_owned),
            ..PublishVersion::default()
        };
        registry.publish_version(&f, publish).unwrap().1
    };
    let function = registry
        .create(NewFunction {
            publish: true,
            ..new("f")
        })
        .unwrap();
    let first = &function.versions[&1];
    assert_ne!(first.revision, function.latest.revision);
    assert_eq!(publish(None).revision, first.revision);
    assert_eq!(publish(Some("other")).revision, first.revision);
    // The same code again is no change, another description is one.
    registry
        .update_code(&f, &code("1"), CodeUpdate::default())
        .unwrap();
    assert_eq!(publish(None).id, VersionId::Number(1));
    registry
        .update_configuration(&f, None, |new| new.description = Some("d".to_owned()))
        .unwrap();
    let second = publish(Some("second"));
    assert_eq!(second.id, VersionId::Number(2));
    assert_eq!(second.configuration.description.as_deref(), Some("second"));
    assert_eq!(publish(Some("third")).id, VersionId::Number(2));
    let latest = registry.resolve(&f, None, 0).unwrap();
    assert_eq!(latest.configuration.description.as_deref(), Some("d"));

    registry.delete_version(&f, 2).unwrap();
    let site = site.restart();
    let publish = PublishVersion::default();
    let (_, third) = site.registry.publish_version(&f, publish).unwrap();
    assert_eq!(third.id, VersionId::Number(3));
    let publish = PublishVersion {
        code_sha256: Some([0; 32]),
        ..PublishVersion::default()
    };
    let error = site.registry.publish_version(&f, publish).unwrap_err();
    assert!(matches!(error, ChangeError::CodeSha { .. }), "{error}");
}

#[test]
fn a_version_stays_what_it_was_and_aliases_lead_to_it() {
    let site = Site::new();
    with_versions(&site, 2);
    let (registry, f) = (&site.registry, name("f"));
    let first = Arc::clone(&registry.function(&f).unwrap().versions[&1]);
    assert_eq!(first.artifact, ArtifactId::of(&wasm("1")));
    assert_eq!(first.guest.spec().version, VersionId::Number(1));
    assert!(first.guest.spec().log_stream.contains("/[1]"));
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    for (qualifier, version) in [
        ("$LATEST", "$LATEST"),
        ("1", "1"),
        ("2", "2"),
        ("live", "1"),
    ] {
        assert_eq!(resolved(&site, qualifier, u64::MAX), version);
    }
    for gone in ["3", "Live", "latest"] {
        let expected = format!("function `f` has no version or alias `{gone}`");
        assert_eq!(resolved(&site, gone, 0), expected);
    }
    let error = registry.delete_version(&f, 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "version 1 of function `f` is what alias `live` leads to"
    );
    assert!(registry.delete_alias(&f, &alias("live")).unwrap());
    assert!(!registry.delete_alias(&f, &alias("live")).unwrap());
    registry.delete_version(&f, 1).unwrap();
    let error = registry.delete_version(&f, 1).unwrap_err();
    assert_eq!(error.to_string(), "function `f` has no version 1");
}

#[test]
fn weights_split_by_the_random_bits() {
    let site = Site::new();
    with_versions(&site, 2);
    let (registry, f) = (&site.registry, name("f"));
    let weighted = |weight| Target {
        version: VersionId::Number(1),
        additional: Some(Additional { version: 2, weight }),
    };
    registry
        .create_alias(&f, alias("live"), weighted(0.25), String::new())
        .unwrap();
    let steps = |step: u64| resolved(&site, "live", step << 30);
    let quarters: Vec<_> = (0..4).map(steps).collect();
    assert_eq!(quarters, ["2", "1", "1", "1"]);
    assert_eq!(resolved(&site, "live", (1 << 30) - 1), "2");
    for (weight, expected) in [(0.0, "1"), (1.0, "2")] {
        let change = AliasChange {
            additional: Some(weighted(weight).additional),
            ..AliasChange::default()
        };
        registry.update_alias(&f, &alias("live"), change).unwrap();
        for random in [0, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(resolved(&site, "live", random), expected, "{weight}");
        }
    }
    let same = Target {
        version: VersionId::Number(2),
        ..weighted(0.5)
    };
    let latest = Target {
        version: VersionId::Latest,
        ..weighted(0.5)
    };
    let missing = Target {
        version: VersionId::Number(3),
        additional: None,
    };
    let wrong = [
        same,
        latest,
        missing,
        weighted(1.5),
        weighted(-0.1),
        weighted(f64::NAN),
    ];
    for target in wrong {
        let made = registry.create_alias(&f, alias("x"), target, String::new());
        assert!(
            matches!(
                made,
                Err(ChangeError::Invalid(_) | ChangeError::UnknownVersion { .. })
            ),
            "{target:?}"
        );
    }
}

#[test]
fn a_rollback_leads_back_and_forth() {
    let site = Site::new();
    with_versions(&site, 2);
    let (registry, f) = (&site.registry, name("f"));
    let error = registry.roll_back(&f, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "function `f` has no alias; name the one that is meant"
    );
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    let error = registry.roll_back(&f, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "alias `live` of function `f` never pointed elsewhere"
    );
    let change = AliasChange {
        version: Some(VersionId::Number(2)),
        ..AliasChange::default()
    };
    registry.update_alias(&f, &alias("live"), change).unwrap();
    // A new description is no other place.
    let change = AliasChange {
        description: Some("d".to_owned()),
        ..AliasChange::default()
    };
    registry.update_alias(&f, &alias("live"), change).unwrap();
    assert_eq!(resolved(&site, "live", 0), "2");
    for expected in ["1", "2", "1"] {
        let (rolled, _) = registry.roll_back(&f, None).unwrap();
        assert_eq!(rolled, alias("live"));
        assert_eq!(resolved(&site, "live", 0), expected);
    }
    registry
        .create_alias(&f, alias("next"), at(2), String::new())
        .unwrap();
    let error = registry.roll_back(&f, None).unwrap_err().to_string();
    assert_eq!(
        error,
        "function `f` has aliases `live`, `next`; name the one that is meant"
    );
    // What it pointed at before is gone.
    registry.delete_alias(&f, &alias("next")).unwrap();
    registry.delete_version(&f, 2).unwrap();
    let error = registry.roll_back(&f, Some(alias("live"))).unwrap_err();
    assert!(
        matches!(error, ChangeError::UnknownVersion { .. }),
        "{error}"
    );
    assert_eq!(resolved(&site, "live", 0), "1");
}

#[test]
fn concurrent_publishers_get_numbers_of_their_own() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    registry.create(new("f")).unwrap();
    let numbers: HashSet<VersionId> = std::thread::scope(|scope| {
        let work = || {
            let mut made = Vec::new();
            for _ in 0..10 {
                let text = registry.new_url_id();
                registry
                    .update_configuration(&f, None, |new| new.description = Some(text))
                    .unwrap();
                let publish = PublishVersion::default();
                made.push(registry.publish_version(&f, publish).unwrap().1.id);
            }
            made
        };
        let running: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    let function = registry.function(&f).unwrap();
    let published: HashSet<_> = function
        .versions
        .keys()
        .map(|number| VersionId::Number(*number))
        .collect();
    assert_eq!(numbers, published);
    assert_eq!(published.len() as u64, function.next_version - 1);
}

#[test]
fn the_artifacts_of_versions_are_kept_and_those_of_the_deleted_are_not() {
    let site = Site::new();
    with_versions(&site, 2);
    let (registry, f) = (&site.registry, name("f"));
    registry
        .update_code(&f, &code("3"), CodeUpdate::default())
        .unwrap();
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(0));
    assert_eq!(count(&site.data("artifacts")), 3);
    registry.delete_version(&f, 1).unwrap();
    // The artifact and its code.
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(2));
    registry.delete(&f).unwrap();
    assert_eq!(registry.sweep_artifacts().unwrap(), Some(4));
    assert_eq!(registry.len(), 0);
    let error = registry.delete(&f).unwrap_err();
    assert_eq!(error.to_string(), "there is no function `f`");
    // Nothing of the old one is left for a new one.
    registry.create(new("f")).unwrap();
    let site = site.restart();
    let function = site.registry.function(&f).unwrap();
    assert!(function.versions.is_empty() && function.next_version == 1);
}

#[test]
fn ten_thousand_functions_with_versions_and_aliases_are_there_after_a_restart() {
    const FUNCTIONS: usize = 10_000;
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    let writes = registry.function(&f).unwrap().writes(None).unwrap();
    fn copied(write: &Write, to: &FunctionName) -> Write {
        let mut write = write.clone();
        match &mut write {
            Write::Function(FunctionRecord { name, .. })
            | Write::Source(name, _)
            | Write::NoVersion(name, _)
            | Write::NoAlias(name, _) => *name = to.clone(),
            Write::Version(record) => record.function = to.clone(),
            Write::Alias(record) => record.function = to.clone(),
        }
        write
    }
    let all: Vec<_> = (0..FUNCTIONS)
        .map(|number| name(&format!("f-{number}")))
        .flat_map(|to| writes.iter().map(move |write| copied(write, &to)))
        .collect();
    registry.parts.records.write(&all).unwrap();
    let clock = Clock::system();
    let started: Instant = clock.now();
    let site = site.restart();
    let took = clock.now().saturating_duration_since(started);
    println!(
        "measured: opening a registry of 10,000 functions with a version and an alias each, ms: {}",
        took.as_millis()
    );
    assert_eq!(site.registry.len(), FUNCTIONS + 1);
    let live = Qualifier::Alias(alias("live"));
    let last = name(&format!("f-{}", FUNCTIONS - 1));
    let version = site.registry.resolve(&last, Some(&live), 0).unwrap();
    assert_eq!((&version.name, version.id), (&last, VersionId::Number(1)));
}
