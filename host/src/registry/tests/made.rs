//! Functions of the control API for tests, and what is known of them.

use std::collections::BTreeMap;

use domain::{AliasName, Limits, Qualifier, VersionId};

use super::super::test_site::{Site, wasm};
use super::super::*;

pub(super) fn name(text: &str) -> FunctionName {
    FunctionName::parse(text).unwrap()
}

pub(super) fn alias(text: &str) -> AliasName {
    AliasName::parse(text).unwrap()
}

pub(super) fn code(text: &str) -> NewCode {
    NewCode {
        wasm: wasm(text),
        uploaded: Code {
            sha256: *ArtifactId::of(text.as_bytes()).as_bytes(),
            bytes: 77,
        },
    }
}

pub(super) fn new(text: &str) -> NewFunction {
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

/// Changes settings.
pub(super) fn set(
    site: &Site,
    function: &str,
    change: impl FnOnce(&mut Settings),
) -> Result<(), ChangeError> {
    let registry = &site.registry;
    registry.update_settings(&name(function), |_, settings| {
        change(settings);
        Ok(())
    })
}

pub(super) fn url(id: &str, auth: UrlAuth) -> UrlConfig {
    UrlConfig {
        id: id.to_owned(),
        auth,
        cors: None,
        invoke_mode: Some(InvokeMode::Buffered),
        created_at_us: 0,
        modified_at_us: 0,
    }
}

pub(super) fn at(version: u64) -> Target {
    Target {
        version: VersionId::Number(version),
        additional: None,
    }
}

/// A function `f` with versions 1 to `versions`, each with code of its own.
pub(super) fn with_versions(site: &Site, versions: u64) {
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

pub(super) fn resolved(site: &Site, qualifier: &str, random: u64) -> String {
    let qualifier = Qualifier::parse(qualifier).unwrap();
    match site.registry.resolve(&name("f"), Some(&qualifier), random) {
        Ok(version) => version.id.to_string(),
        Err(error) => error.to_string(),
    }
}

/// Everything that is known of a function, in words.
pub(super) fn state(function: &Function) -> String {
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
