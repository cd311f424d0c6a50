//! Rows come back as they went in, a change is whole or not at all, and old files are brought along.

use domain::ArtifactId;

use super::*;

fn version(text: &str) -> VersionRecord {
    VersionRecord {
        artifact: ArtifactId::of(text.as_bytes()),
        code_sha256: [7; 32],
        code_bytes: 1_234,
        configuration: text.to_owned(),
        revision: [9; 16],
        updated_at_us: 1_763_830_000_000_000,
    }
}

fn function(name: &str, configuration: &str) -> FunctionRecord {
    FunctionRecord {
        name: FunctionName::parse(name).unwrap(),
        origin: Origin::Drop,
        created_at_us: 1_763_830_000_000_000,
        next_version: 1,
        settings: "{}".to_owned(),
        latest: version(configuration),
    }
}

fn numbered(function: &FunctionRecord, number: u64) -> NumberedRecord {
    NumberedRecord {
        function: function.name.clone(),
        number,
        published_from: [1; 16],
        version: version(&number.to_string()),
    }
}

fn alias(function: &FunctionRecord, name: &str, alias: &str) -> AliasRecord {
    AliasRecord {
        function: function.name.clone(),
        name: AliasName::parse(name).unwrap(),
        alias: alias.to_owned(),
    }
}

fn open() -> (tempfile::TempDir, DataDir, Records) {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let records = Records::open(&data_dir).unwrap();
    (root, data_dir, records)
}

#[test]
fn functions_versions_and_aliases_are_stored_replaced_and_there_after_a_restart() {
    let (_root, data_dir, records) = open();
    let (lower, upper) = (function("hello", "{}"), function("Hello", "{\"a\":1}"));
    let (one, two) = (numbered(&lower, 1), numbered(&lower, 2));
    let of_upper = numbered(&upper, 1);
    let writes = [
        Write::Function(lower.clone()),
        Write::Function(upper.clone()),
        Write::Source(lower.name.clone(), Some("seen".to_owned())),
        Write::Version(one),
        Write::Version(two.clone()),
        Write::Version(of_upper.clone()),
        Write::Alias(alias(&lower, "live", "1")),
        Write::Alias(alias(&lower, "next", "1")),
    ];
    records.write(&writes).unwrap();
    // What is changed keeps its versions, and its source.
    let newer = FunctionRecord {
        origin: Origin::Api,
        next_version: 3,
        settings: "[]".to_owned(),
        latest: version("new"),
        ..lower
    };
    let live = alias(&newer, "live", "2");
    let writes = [
        Write::Function(newer.clone()),
        Write::Alias(live.clone()),
        Write::NoVersion(newer.name.clone(), 1),
        Write::NoAlias(newer.name.clone(), AliasName::parse("next").unwrap()),
    ];
    records.write(&writes).unwrap();
    drop(records);

    let records = Records::open(&data_dir).unwrap();
    let expected = Stored {
        functions: vec![
            (upper.clone(), None),
            (newer.clone(), Some("seen".to_owned())),
        ],
        versions: vec![of_upper.clone(), two],
        aliases: vec![live],
    };
    assert_eq!(records.read().unwrap(), expected);
    assert!(records.delete_function(&newer.name).unwrap());
    assert!(!records.delete_function(&newer.name).unwrap());
    let expected = Stored {
        functions: vec![(upper, None)],
        versions: vec![of_upper],
        aliases: vec![],
    };
    assert_eq!(records.read().unwrap(), expected);
}

#[test]
fn a_change_that_fails_half_way_changes_nothing() {
    let (_root, _data_dir, records) = open();
    let (hello, ghost) = (function("hello", "{}"), function("ghost", "{}"));
    let writes = [
        Write::Function(hello.clone()),
        Write::Version(numbered(&hello, 1)),
        Write::Version(numbered(&ghost, 1)),
    ];
    let error = records.write(&writes).unwrap_err();
    assert!(matches!(error, StorageError::Database { .. }), "{error}");
    assert_eq!(records.read().unwrap(), Stored::default());
    // A version is never written over.
    records.write(&writes[..2]).unwrap();
    records.write(&writes[1..2]).unwrap_err();
}

#[test]
fn a_file_of_schema_2_keeps_every_function() {
    let (_root, data_dir, records) = open();
    drop(records);
    let path = data_dir.path().join(FILE);
    std::fs::remove_file(&path).unwrap();
    drop(database::open(&path, &SCHEMA[..2]).unwrap());
    let old = Connection::open(&path).unwrap();
    let insert = |name: &str, configuration: &str, source: Option<&str>| {
        old.execute(
            "INSERT OR REPLACE INTO functions
             (name, version, artifact, origin, configuration, updated_at_us, source)
             VALUES (?1, '$LATEST', ?2, 'drop', ?3, 5, ?4)",
            params![
                name,
                ArtifactId::of(name.as_bytes()).as_bytes(),
                configuration,
                source
            ],
        )
        .unwrap();
    };
    insert("a", r#"{"size_bytes":77}"#, Some("seen"));
    insert("b", r#"{"size_bytes":"many"}"#, None);
    insert("c", "not JSON", None);
    drop(old);

    let stored = Records::open(&data_dir).unwrap().read().unwrap();
    assert_eq!((stored.versions, stored.aliases), (vec![], vec![]));
    let [(a, source), (b, _), (c, _)] = stored.functions.as_slice() else {
        panic!("{:?}", stored.functions);
    };
    assert_eq!(source.as_deref(), Some("seen"));
    assert_ne!(a.latest.revision, b.latest.revision);
    let artifact = ArtifactId::of(b"a");
    let expected = FunctionRecord {
        name: FunctionName::parse("a").unwrap(),
        origin: Origin::Drop,
        created_at_us: 5,
        next_version: 1,
        settings: "{}".to_owned(),
        latest: VersionRecord {
            artifact,
            code_sha256: *artifact.as_bytes(),
            code_bytes: 77,
            configuration: r#"{"size_bytes":77}"#.to_owned(),
            revision: a.latest.revision,
            updated_at_us: 5,
        },
    };
    assert_eq!(*a, expected);
    assert_eq!((b.latest.code_bytes, c.latest.code_bytes), (0, 0));
    assert_eq!(c.latest.configuration, "not JSON");
}

#[test]
fn a_newer_schema_is_refused_with_both_versions() {
    let (_root, data_dir, records) = open();
    drop(records);
    let path = data_dir.path().join(FILE);
    Connection::open(&path)
        .unwrap()
        .execute_batch("PRAGMA user_version = 9")
        .unwrap();
    let message = Records::open(&data_dir).unwrap_err().to_string();
    assert!(message.ends_with("has format 9, and this version of Mayfly knows formats up to 3"));
}

#[test]
fn a_reader_sees_what_the_owner_wrote_and_can_not_write() {
    let root = tempfile::tempdir().unwrap();
    let reader = DataDir::open_for_reading(root.path()).unwrap();
    let nothing = Records::open(&reader).unwrap().read().unwrap();
    assert_eq!(nothing, Stored::default());
    let owner = Records::open(&DataDir::open(root.path()).unwrap()).unwrap();
    let put = |name| Write::Function(function(name, "{}"));
    owner.write(&[put("hello")]).unwrap();
    let records = Records::open(&reader).unwrap();
    assert_eq!(records.read().unwrap().functions.len(), 1);
    let error = records.write(&[put("x")]).unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly { .. }), "{error}");
}
