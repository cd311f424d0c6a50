//! Functions of the control API: created, changed, published, aliased, deleted; and who wins.

use std::collections::{BTreeMap, HashSet};

use domain::{AliasName, Fault, Limits, MemoryMb, Qualifier, VersionId};
use uuid::Uuid;

use super::super::test_site::{Site, count, draft, wasm};
use super::super::uploads::{CodeUpdate, NewCode, NewFunction, PublishVersion};
use super::super::*;
use crate::manifest::route_rules::Cors;

fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

fn alias(text: &str) -> AliasName {
    AliasName::parse(text).unwrap()
}

fn code(text: &str) -> NewCode {
    NewCode {
        wasm: wasm(text),
        uploaded: Code {
            sha256: *ArtifactId::of(text.as_bytes()).as_bytes(),
            bytes: 77,
        },
    }
}

fn new(text: &str) -> NewFunction {
    NewFunction {
        name: name(text),
        code: code("1"),
        description: None,
        limits: Limits::default(),
        environment: vec![("A".to_owned(), "b".to_owned())],
        declared: Declared {
            role: Some("arn:aws:iam::000000000000:role/r".to_owned()),
            ..Declared::default()
        },
        tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        publish: false,
    }
}

fn at(version: u64) -> Target {
    Target {
        version: VersionId::Number(version),
        additional: None,
    }
}

/// A function `f` with versions 1 to `versions`, each with code of its own.
fn with_versions(site: &Site, versions: u64) {
    site.registry.create(new("f")).unwrap();
    for number in 1..=versions {
        let update = CodeUpdate {
            publish: true,
            ..CodeUpdate::default()
        };
        let code = code(&number.to_string());
        let (_, version) = site
            .registry
            .update_code(&name("f"), &code, update)
            .unwrap();
        assert_eq!(version.id, VersionId::Number(number));
    }
}

fn resolved(site: &Site, qualifier: &str, random: u64) -> String {
    let qualifier = Qualifier::parse(qualifier).unwrap();
    match site.registry.resolve(&name("f"), Some(&qualifier), random) {
        Ok(version) => version.id.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Everything that is known of a function, in words.
fn state(function: &Function) -> String {
    let versions: Vec<_> = function
        .all_versions()
        .map(|version| {
            (
                version.id,
                version.artifact,
                version.code,
                version.revision,
                version.published_from,
                version.updated_at_us,
                &version.configuration,
            )
        })
        .collect();
    format!(
        "{:?} {:?} {} {versions:?} {:?} {:?} {}",
        function.name,
        function.origin,
        function.created_at_us,
        function.aliases,
        function.settings,
        function.next_version
    )
}

#[test]
fn what_was_made_is_there_after_a_restart() {
    let site = Site::new();
    with_versions(&site, 3);
    let f = name("f");
    let live = Target {
        version: VersionId::Number(3),
        additional: Some(Additional {
            version: 2,
            weight: 0.1,
        }),
    };
    let registry = &site.registry;
    registry
        .create_alias(&f, alias("live"), at(1), "who".to_owned())
        .unwrap();
    let change = AliasChange {
        version: Some(live.version),
        additional: Some(live.additional),
        ..AliasChange::default()
    };
    registry.update_alias(&f, &alias("live"), change).unwrap();
    registry.delete_version(&f, 1).unwrap();
    let id = registry.new_url_id();
    registry
        .update_settings(&f, |_, settings| {
            settings.reserved_concurrency = Some(3);
            let config = UrlConfig {
                id: id.clone(),
                auth: UrlAuth::AwsIam,
                cors: Some(Cors::default()),
                invoke_mode: None,
                created_at_us: 1,
                modified_at_us: 2,
            };
            settings.urls.insert("live".to_owned(), config);
            let policy = ResourcePolicy {
                revision: Uuid::nil(),
                statements: vec![serde_json::json!({"Sid": "s"})],
            };
            settings.policies.insert(String::new(), policy);
            let events = EventInvoke::default();
            settings.event_invoke.insert("$LATEST".to_owned(), events);
            Ok(())
        })
        .unwrap();
    registry
        .update_configuration(&f, None, |configuration| {
            configuration.limits.memory = MemoryMb::new(64).unwrap();
        })
        .unwrap();
    let before = state(&registry.function(&f).unwrap());
    let site = site.restart();
    let function = site.registry.function(&f).unwrap();
    assert_eq!(state(&function), before);
    assert_eq!(function.latest.configuration.limits.memory.get(), 64);
    assert_eq!(function.aliases[&alias("live")].previous(), Some(&at(1)));
    let target = site.registry.url(&id).unwrap();
    assert_eq!(target.function, f);
    assert_eq!(target.qualifier, Some(Qualifier::Alias(alias("live"))));
    assert_eq!(site.registry.reserved_concurrency(), 3);
}

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
fn of_a_thousand_updates_with_one_revision_one_wins() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    let revision = registry.create(new("f")).unwrap().latest.revision;
    let threads = 8;
    let updates = 125;
    let wins: Vec<String> = std::thread::scope(|scope| {
        let work = |thread: usize| {
            let f = &f;
            move || {
                let mut won = Vec::new();
                for at in 0..updates {
                    let text = format!("{thread}-{at}");
                    let update = registry.update_configuration(f, Some(revision), |new| {
                        new.description = Some(text.clone());
                    });
                    match update {
                        Ok(_) => won.push(text),
                        Err(ChangeError::Revision { given, .. }) => assert_eq!(given, revision),
                        Err(error) => panic!("{error}"),
                    }
                }
                won
            }
        };
        let running: Vec<_> = (0..threads).map(|at| scope.spawn(work(at))).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(wins.len(), 1);
    let site = site.restart();
    let latest = site.registry.resolve(&f, None, 0).unwrap();
    assert_eq!(latest.configuration.description, Some(wins[0].clone()));
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
fn what_fails_leaves_everything_as_it_was() {
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    let before = state(&registry.function(&f).unwrap());
    let bad = NewCode {
        wasm: b"not wasm".to_vec(),
        ..code("x")
    };
    let stale = CodeUpdate {
        revision: Some(Uuid::nil()),
        ..CodeUpdate::default()
    };
    let try_run = CodeUpdate {
        dry_run: true,
        publish: true,
        ..CodeUpdate::default()
    };
    registry
        .update_code(&f, &bad, CodeUpdate::default())
        .unwrap_err();
    registry.update_code(&f, &code("2"), stale).unwrap_err();
    let (would, version) = registry.update_code(&f, &code("2"), try_run).unwrap();
    assert_eq!(version.id, VersionId::Number(2));
    assert_eq!(would.latest.artifact, ArtifactId::of(&wasm("2")));
    registry.create(new("f")).unwrap_err();
    registry.create(new("F")).unwrap_err();
    let (place, away) = (site.data("artifacts"), site.data("away"));
    std::fs::rename(&place, &away).unwrap();
    let error = registry
        .update_code(&f, &code("2"), CodeUpdate::default())
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Host, "{error}");
    std::fs::rename(&away, &place).unwrap();
    let refuse = || ChangeError::Invalid("no".to_owned());
    let changed = registry.update_settings(&f, |_, settings| {
        settings.tags.clear();
        Err::<(), _>(refuse())
    });
    assert_eq!(changed.unwrap_err().to_string(), "no");
    assert_eq!(state(&registry.function(&f).unwrap()), before);
    let site = site.restart();
    assert_eq!(state(&site.registry.function(&f).unwrap()), before);
}

#[test]
fn a_memory_that_the_module_does_not_fit_is_refused() {
    let site = Site::new();
    let (registry, f) = (&site.registry, name("f"));
    let large = r#"(module (memory (export "memory") 32) (func (export "_start")))"#;
    let large = NewCode {
        wasm: wat::parse_str(large).unwrap(),
        ..code("")
    };
    let smaller = |new: &mut Configuration| new.limits.memory = MemoryMb::new(1).unwrap();
    let function = registry
        .create(NewFunction {
            code: large.clone(),
            ..new("f")
        })
        .unwrap();
    let error = registry
        .update_configuration(&f, None, smaller)
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Caller, "{error}");
    let latest = registry.resolve(&f, None, 0).unwrap();
    assert_eq!(latest.revision, function.latest.revision);
    registry
        .update_code(&f, &code("1"), CodeUpdate::default())
        .unwrap();
    registry.update_configuration(&f, None, smaller).unwrap();
    let error = registry
        .update_code(&f, &large, CodeUpdate::default())
        .unwrap_err();
    assert_eq!(error.fault(), Fault::Caller, "{error}");
}

#[test]
fn reserved_concurrency_is_a_limit_at_once_and_leaves_a_rest() {
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    registry.create(new("g")).unwrap();
    let reserve = |function: &str, count: Option<u32>| {
        registry.update_settings(&name(function), |_, settings| {
            settings.reserved_concurrency = count;
            Ok(())
        })
    };
    let concurrency = crate::concurrency::Concurrency::new(1_000, u64::MAX);
    let admitted = |version: &Version| {
        let candidate = crate::concurrency::Candidate {
            function: &version.name,
            running: &version.running,
            memory_bytes: 0,
            memory_in_use_bytes: 0,
        };
        concurrency.admit(candidate).is_ok()
    };
    let first = Arc::clone(&registry.function(&f).unwrap().versions[&1]);
    assert!(admitted(&first));
    reserve("f", Some(0)).unwrap();
    assert!(!admitted(&first));
    assert!(!admitted(&registry.resolve(&f, None, 0).unwrap()));
    reserve("f", None).unwrap();
    assert!(admitted(&first));
    // 1,000 in all, of which 100 stay unreserved.
    reserve("f", Some(500)).unwrap();
    reserve("g", Some(400)).unwrap();
    let error = reserve("f", Some(501)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "reserving 501 would leave less than 100 of 1000 for functions without a reservation"
    );
    reserve("f", Some(499)).unwrap();
    reserve("f", Some(500)).unwrap();
    assert_eq!(crate::registry::change::unreserved_min(50), 5);
}

#[test]
fn a_url_is_found_by_its_id_until_what_it_leads_to_is_gone() {
    let site = Site::new();
    with_versions(&site, 1);
    let (registry, f) = (&site.registry, name("f"));
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    let put = |qualifier: &str, auth| {
        let id = registry.new_url_id();
        assert_eq!(id.len(), 32);
        assert!(
            id.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        );
        let config = UrlConfig {
            id: id.clone(),
            auth,
            cors: None,
            invoke_mode: Some(InvokeMode::Buffered),
            created_at_us: 0,
            modified_at_us: 0,
        };
        registry
            .update_settings(&f, |_, settings| {
                settings.urls.insert(qualifier.to_owned(), config);
                Ok(())
            })
            .unwrap();
        id
    };
    let (whole, live) = (put("", UrlAuth::None), put("live", UrlAuth::AwsIam));
    assert_eq!(registry.url(&whole).unwrap().qualifier, None);
    let target = registry.url(&live).unwrap();
    assert_eq!(target.config.auth, UrlAuth::AwsIam);
    let version = registry.resolve(&target.function, target.qualifier.as_ref(), 0);
    assert_eq!(version.unwrap().id, VersionId::Number(1));
    registry.delete_alias(&f, &alias("live")).unwrap();
    assert!(registry.url(&live).is_none());
    assert!(registry.url(&whole).is_some());
    registry.delete(&f).unwrap();
    assert!(registry.url(&whole).is_none());
}

#[test]
fn the_artifacts_of_versions_are_kept_and_those_of_the_deleted_are_not() {
    let site = Site::new();
    with_versions(&site, 2);
    let (registry, f) = (&site.registry, name("f"));
    registry
        .update_code(&f, &code("3"), CodeUpdate::default())
        .unwrap();
    assert_eq!(registry.sweep_artifacts().unwrap(), 0);
    assert_eq!(count(&site.data("artifacts")), 3);
    registry.delete_version(&f, 1).unwrap();
    // The artifact and its code.
    assert_eq!(registry.sweep_artifacts().unwrap(), 2);
    registry.delete(&f).unwrap();
    assert_eq!(registry.sweep_artifacts().unwrap(), 4);
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
    registry
        .update_settings(&f, |_, settings| {
            settings.tags.insert("a".to_owned(), "b".to_owned());
            Ok(())
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
    assert_eq!(registry.sweep_artifacts().unwrap(), 0);
    let site = site.restart();
    let function = site.registry.function(&f).unwrap();
    assert_eq!(function.origin, Origin::Drop);
    assert_eq!(function.versions[&1].artifact, ArtifactId::of(&wasm("1")));
    assert_eq!(function.versions[&2].artifact, ArtifactId::of(&wasm("2")));
    assert_eq!(function.settings.tags["a"], "b");
    assert_eq!(resolved(&site, "live", 0), "1");
    assert!(site.registry.remove(&f).unwrap());
    assert!(site.restart().registry.function(&f).is_none());
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
    assert!(!registry.remove(&f).unwrap());

    site.write("f.wasm", wasm("2"));
    site.settle(&mut folder);
    registry.delete(&f).unwrap();
    site.settle(&mut folder);
    assert_eq!(site.refusal("f.wasm"), "");
    assert!(site.runs("f", &wasm("2")));
    assert!(registry.dropped(&f).is_some());
}
