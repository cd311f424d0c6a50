//! What becomes of a function whose file is gone from the drop folder.

use domain::Qualifier;
use domain::routing::{Route, RouteMethod};

use super::super::test_site::{Site, route, wasm};
use super::super::*;
use super::made::{alias, at, code, name, new, resolved, set, url};

const URL: &str = "abcdefghijklmnopqrstuvwxyz012345";

/// A dropped function `f` at `/x` with a version, an alias with a URL, and a reservation.
fn with_more_than_a_file(site: &Site) {
    let (registry, f) = (&site.registry, name("f"));
    registry
        .publish_version(&f, PublishVersion::default())
        .unwrap();
    registry
        .create_alias(&f, alias("live"), at(1), String::new())
        .unwrap();
    set(site, "f", |settings| {
        settings.reserved_concurrency = Some(3);
        let url = url(URL, UrlAuth::AwsIam);
        settings.urls.insert("live".to_owned(), url);
    })
    .unwrap();
}

fn owner(site: &Site, path: &str) -> Option<String> {
    let route = Route::new(RouteMethod::Any, path).unwrap();
    let routes = site.registry.routes.read();
    routes
        .owner(&route)
        .map(|target| target.function.to_string())
}

#[track_caller]
fn assert_absent(site: &Site) {
    let (registry, f) = (&site.registry, name("f"));
    let function = registry.function(&f).unwrap();
    assert_eq!(function.origin, Origin::Absent);
    assert_eq!(function.settings.reserved_concurrency, Some(3));
    let unknown = registry.resolve(&f, None, 0).unwrap_err().to_string();
    assert_eq!(unknown, "there is no function `f`");
    assert!(resolved(site, "$LATEST", 0).starts_with("function `f` has no version"));
    assert_eq!(resolved(site, "1", 0), "1");
    assert_eq!(resolved(site, "live", 0), "1");
    let target = registry.url(URL).unwrap();
    assert_eq!(target.qualifier, Some(Qualifier::Alias(alias("live"))));
}

#[test]
fn a_file_that_is_gone_for_a_moment_takes_nothing_along_that_it_does_not_hold() {
    let site = Site::new();
    site.write("f.wasm", wasm("1"));
    site.write("f.toml", route("/x"));
    site.write("plain.wasm", wasm("plain"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    with_more_than_a_file(&site);
    assert_eq!(owner(&site, "/x").as_deref(), Some("f"));

    site.delete("f.wasm");
    site.delete("plain.wasm");
    site.settle(&mut folder);
    assert_eq!(site.live(), ["f"]);
    assert_absent(&site);
    assert_eq!(owner(&site, "/x"), None);
    assert_eq!(site.registry.sweep_artifacts().unwrap(), Some(2));
    let error = site.registry.create(new("f")).unwrap_err();
    assert!(matches!(error, ChangeError::Exists { .. }), "{error}");
    let update = site
        .registry
        .update_code(&name("f"), &code("2"), CodeUpdate::default());
    let error = update.map(drop).unwrap_err();
    assert!(matches!(error, ChangeError::Absent { .. }), "{error}");

    drop(folder);
    let site = site.restart();
    let mut folder = site.folder();
    site.settle(&mut folder);
    assert_absent(&site);
    // Its route is free for others meanwhile.
    site.write("g.wasm", wasm("g"));
    site.write("g.toml", route("/x"));
    site.settle(&mut folder);
    assert_eq!(owner(&site, "/x").as_deref(), Some("g"));
    site.write("f.wasm", wasm("2"));
    site.settle(&mut folder);
    assert!(site.refusal("f.wasm").contains("belongs to function `g`"));
    assert_absent(&site);

    site.delete("g.wasm");
    site.settle(&mut folder);
    assert_eq!(site.refusal("f.wasm"), "");
    assert!(site.runs("f", &wasm("2")));
    assert_eq!(owner(&site, "/x").as_deref(), Some("f"));
    assert_eq!(resolved(&site, "live", 0), "1");
    let function = site.registry.function(&name("f")).unwrap();
    assert_eq!(function.origin, Origin::Drop);
    let publish = PublishVersion::default();
    let (_, second) = site.registry.publish_version(&name("f"), publish).unwrap();
    assert_eq!(second.id, VersionId::Number(2));
}

#[test]
fn the_same_file_is_live_again_when_it_is_back() {
    let unix_us = Clock::system().unix_us() + 60_000_000;
    let site = Site::with_clock(Clock::manual(unix_us));
    site.write("f.wasm", wasm("1"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    with_more_than_a_file(&site);
    let (there, away) = (site.functions().join("f.wasm"), site.data("away"));
    std::fs::rename(&there, &away).unwrap();
    site.settle(&mut folder);
    assert_absent(&site);
    drop(folder);
    // Its stamps are those of the file that was published before it was gone.
    let site = site.restart();
    std::fs::rename(&away, &there).unwrap();
    site.settle(&mut site.folder());
    assert!(site.runs("f", &wasm("1")));
}

#[test]
fn a_folder_that_is_missing_takes_only_plain_files_along_and_deleting_is_the_way_out() {
    let site = Site::new();
    site.write("f.wasm", wasm("1"));
    site.write("plain.wasm", wasm("plain"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    with_more_than_a_file(&site);
    let error = site.registry.delete(&name("f")).unwrap_err();
    assert!(matches!(error, ChangeError::FromDropFolder { .. }));
    site.delete("");
    site.settle(&mut folder);
    assert_eq!(site.live(), ["f"]);
    assert_absent(&site);

    site.registry.delete(&name("f")).unwrap();
    assert!(site.registry.url(URL).is_none());
    site.settle(&mut folder);
    assert!(site.live().is_empty());
    drop(folder);
    let site = site.restart();
    assert!(site.live().is_empty());
    assert_eq!(site.registry.reserved_concurrency(), 0);
}

#[test]
fn numbers_are_not_used_again_after_a_file_was_gone() {
    let site = Site::new();
    site.write("f.wasm", wasm("1"));
    let mut folder = site.folder();
    site.settle(&mut folder);
    let publish = || {
        let published = site
            .registry
            .publish_version(&name("f"), PublishVersion::default());
        published.unwrap().1.id
    };
    assert_eq!(publish(), VersionId::Number(1));
    site.registry.delete_version(&name("f"), 1).unwrap();
    site.delete("f.wasm");
    site.settle(&mut folder);
    site.write("f.wasm", wasm("2"));
    site.settle(&mut folder);
    assert_eq!(publish(), VersionId::Number(2));
}
