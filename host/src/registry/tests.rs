//! Publishing and removing, sweeping, and whose failure a refusal is.

mod beside;
mod changes;
mod gone;
mod made;
mod swaps;
mod unreadable;
mod versions;

use std::fs;

use domain::Fault;
use sandbox::{CompileError, LoadError};

use super::publish::PublishError;
use super::test_site::{Site, count, draft, route, wasm};
use super::*;
use crate::manifest::Manifest;

#[test]
fn what_is_published_again_mends_its_artifact_and_its_code() {
    let site = Site::new();
    let draft = draft("f", wasm("f"));
    site.registry.publish(&draft).unwrap();
    let site = site.restart();
    let artifact = ArtifactId::of(&draft.wasm);
    let stored = site.registry.parts.artifacts.path(artifact);
    fs::write(&stored, "damaged").unwrap();
    for file in fs::read_dir(site.data("cache")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|end| end == "cwasm") {
            fs::remove_file(path).unwrap();
        }
    }
    let published = site.registry.publish(&draft).unwrap();
    assert!(matches!(published, Published::Unchanged), "{published:?}");
    assert_eq!(fs::read(&stored).unwrap(), draft.wasm);
    // The key and the code.
    assert_eq!(count(&site.data("cache")), 2);
}

#[test]
fn who_fails_to_go_live_takes_no_route_from_others() {
    let site = Site::new();
    let prepare = |name: &str| {
        let mut draft = draft(name, wasm(name));
        draft.manifest = Manifest::parse(&route("/x")).unwrap();
        let prepared = site.registry.prepare(&draft, Effort::Short);
        prepared.unwrap().unwrap()
    };
    let batch = [prepare("a"), prepare("b")];
    let (place, away) = (site.data("artifacts"), site.data("away"));
    fs::rename(&place, &away).unwrap();
    for answer in site.registry.commit(&batch) {
        assert!(
            matches!(answer, Err(PublishError::Storage(_))),
            "{answer:?}"
        );
    }
    fs::rename(&away, &place).unwrap();
    let answers = site.registry.commit(&batch);
    assert!(matches!(
        *answers,
        [Ok(Published::Live(_)), Err(PublishError::RouteTaken { .. })]
    ));
}

#[test]
fn a_sweep_keeps_what_is_live_and_what_still_runs() {
    let site = Site::new();
    let name = FunctionName::parse("f").unwrap();
    for text in ["1", "2", "3"] {
        site.registry.publish(&draft("f", wasm(text))).unwrap();
    }
    let running = site.registry.resolve(&name, None, 0).unwrap();
    site.registry.publish(&draft("f", wasm("4"))).unwrap();
    // Two artifacts and their code.
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(4));
    assert_eq!(count(&site.data("artifacts")), 2);
    drop(running);
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(2));
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(0));
    assert!(site.runs("f", &wasm("4")));
    assert!(site.registry.retired.lock().is_empty());

    assert_eq!(site.registry.remove(&name).unwrap(), Removed::Whole);
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(2));
    assert_eq!(count(&site.data("artifacts")), 0);
}

#[test]
fn what_the_author_can_not_mend_is_the_hosts_failure() {
    let io = || io::Error::other("x");
    let refused = || CompileError::Refused {
        message: String::new(),
    };
    let artifact = ArtifactId::of(b"");
    let load = |source| LoadError::Compile { artifact, source };
    let cases: [(PublishError, Fault); 6] = [
        (refused().into(), Fault::Caller),
        (CompileError::Keep { source: io() }.into(), Fault::Host),
        (load(refused()).into(), Fault::Caller),
        (
            load(CompileError::Keep { source: io() }).into(),
            Fault::Host,
        ),
        (LoadError::Stopped.into(), Fault::Host),
        (StorageError::Closed.into(), Fault::Host),
    ];
    for (error, fault) in cases {
        assert_eq!(error.fault(), fault, "{error:?}");
    }
}
