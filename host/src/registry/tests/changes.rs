//! Functions of the control API: created, changed, deleted; what is kept; and who wins.

use domain::{Fault, MemoryMb, Qualifier, VersionId};
use uuid::Uuid;

use super::super::test_site::{Site, wasm};
use super::super::*;
use super::made::{alias, at, code, name, new, set, state, url, with_versions};
use crate::manifest::route_rules::Cors;

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
        .update_settings::<_, ChangeError>(&f, |_, settings| {
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
        set(&site, function, |settings| {
            settings.reserved_concurrency = count;
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
    // As after a start with a lower limit.
    let mut much = Function::clone(&registry.function(&name("g")).unwrap());
    much.settings.reserved_concurrency = Some(950);
    registry.swap_in(&Arc::new(much));
    reserve("f", None).unwrap();
    reserve("f", Some(1)).unwrap_err();
    reserve("f", Some(0)).unwrap();
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
        let config = url(&id, auth);
        set(&site, "f", |settings| {
            settings.urls.insert(qualifier.to_owned(), config);
        })
        .unwrap();
        id
    };
    let (whole, live) = (put("", UrlAuth::None), put("live", UrlAuth::AwsIam));
    assert_eq!(registry.url(&whole).unwrap().qualifier, None);
    let target = registry.url(&live).unwrap();
    let version = registry.resolve(&target.function, target.qualifier.as_ref(), 0);
    assert_eq!(version.unwrap().id, VersionId::Number(1));
    registry.delete_alias(&f, &alias("live")).unwrap();
    assert!(registry.url(&live).is_none());
    assert!(registry.url(&whole).is_some());
    registry.delete(&f).unwrap();
    assert!(registry.url(&whole).is_none());
}
