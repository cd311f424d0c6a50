//! Identities are stored, changed and removed, whole or not at all.

use super::*;

fn user(id: &str, name: &str) -> UserRecord {
    UserRecord {
        id: id.to_owned(),
        name: name.to_owned(),
        path: "/".to_owned(),
        tags: vec![("team".to_owned(), "a \"b\"".to_owned())],
        created_at_us: 1,
    }
}

fn key(id: &str, owner: &str) -> AccessKeyRecord {
    AccessKeyRecord {
        id: id.to_owned(),
        owner: owner.to_owned(),
        secret: vec![1, 2, 3],
        is_active: true,
        created_at_us: 2,
        used: None,
    }
}

fn inline(owner: &str) -> InlinePolicyRecord {
    InlinePolicyRecord {
        owner: owner.to_owned(),
        name: "p".to_owned(),
        document: "{}".to_owned(),
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one of each kind of record")]
fn what_was_stored_is_there_after_a_restart_and_goes_with_its_owner() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let store = IdentityStore::open(&data_dir).unwrap();
    let bob = user("AIDA1", "bob");
    let role = RoleRecord {
        id: "AROA1".to_owned(),
        name: "deploy".to_owned(),
        path: "/ci/".to_owned(),
        trust: "{}".to_owned(),
        description: String::new(),
        session_seconds_max: 3_600,
        tags: Vec::new(),
        created_at_us: 3,
    };
    let policy = PolicyRecord {
        arn: "arn:aws:iam::000000000000:policy/x".to_owned(),
        id: "ANPA1".to_owned(),
        name: "x".to_owned(),
        path: "/".to_owned(),
        description: "d".to_owned(),
        document: "{}".to_owned(),
        created_at_us: 4,
    };
    let api_key = ApiKeyRecord {
        name: "partner".to_owned(),
        sha256: [9; 32],
        is_enabled: true,
        created_at_us: 5,
    };
    let (root_key, bobs_key) = (key("AKIA0", "AIDA0"), key("AKIA1", "AIDA1"));
    let (of_bob, of_role) = (inline("AIDA1"), inline("AROA1"));
    let attach = |owner| IdentityChange::Attach {
        owner,
        policy: &policy.arn,
    };
    store
        .apply(&[
            IdentityChange::PutUser(&bob),
            IdentityChange::PutRole(&role),
            IdentityChange::PutAccessKey(&root_key),
            IdentityChange::PutAccessKey(&bobs_key),
            IdentityChange::PutInlinePolicy(&of_bob),
            IdentityChange::PutInlinePolicy(&of_role),
            IdentityChange::PutPolicy(&policy),
            attach("AIDA1"),
            attach("AROA1"),
            IdentityChange::PutApiKey(&api_key),
        ])
        .unwrap();
    // A new name is the same user, and a used key the same key.
    let bob = user("AIDA1", "robert");
    let bobs_key = AccessKeyRecord {
        is_active: false,
        ..bobs_key
    };
    let used = KeyUse {
        at_us: 7,
        service: "lambda".to_owned(),
        region: "local".to_owned(),
    };
    let changes = [
        IdentityChange::PutUser(&bob),
        IdentityChange::PutAccessKey(&bobs_key),
        IdentityChange::NoteUse {
            key: "AKIA1",
            used: &used,
        },
    ];
    store.apply(&changes).unwrap();
    let bobs_key = AccessKeyRecord {
        used: Some(used),
        ..bobs_key
    };
    drop(store);

    let store = IdentityStore::open(&data_dir).unwrap();
    let attachment = |owner: &str| (owner.to_owned(), policy.arn.clone());
    let mut expected = IdentityRecords {
        users: vec![bob],
        roles: vec![role],
        access_keys: vec![root_key, bobs_key],
        inline_policies: vec![of_bob, of_role],
        policies: vec![policy.clone()],
        attachments: vec![attachment("AIDA1"), attachment("AROA1")],
        api_keys: vec![api_key],
    };
    assert_eq!(store.load().unwrap(), expected);

    store.apply(&[IdentityChange::DeleteUser("AIDA1")]).unwrap();
    expected.users.clear();
    expected.access_keys.remove(1);
    expected.inline_policies.remove(0);
    expected.attachments.remove(0);
    assert_eq!(store.load().unwrap(), expected);
    let rest = [
        IdentityChange::DeletePolicy(&policy.arn),
        IdentityChange::DeleteRole("AROA1"),
        IdentityChange::DeleteAccessKey("AKIA0"),
        IdentityChange::DeleteApiKey("partner"),
    ];
    store.apply(&rest).unwrap();
    assert_eq!(store.load().unwrap(), IdentityRecords::default());
}

#[test]
fn changes_are_made_whole_or_not_at_all() {
    let root = tempfile::tempdir().unwrap();
    let data_dir = DataDir::open(root.path()).unwrap();
    let store = IdentityStore::open(&data_dir).unwrap();
    let (bob, other) = (user("AIDA1", "bob"), user("AIDA2", "bob"));
    let changes = [
        IdentityChange::PutUser(&bob),
        IdentityChange::PutUser(&other),
    ];
    store.apply(&changes).unwrap_err();
    assert_eq!(store.load().unwrap(), IdentityRecords::default());
    store.apply(&changes[..1]).unwrap();
    store.apply(&changes[1..]).unwrap_err();
    assert_eq!(store.load().unwrap().users, [bob]);
}

#[test]
fn a_sealed_secret_is_not_printed() {
    let text = format!("{:?}", key("AKIA1", "AIDA1"));
    assert_eq!(
        text,
        "AccessKeyRecord { id: \"AKIA1\", owner: \"AIDA1\", is_active: true, .. }"
    );
}

#[test]
fn who_does_not_own_the_directory_gets_nothing() {
    let root = tempfile::tempdir().unwrap();
    let reader = DataDir::open_for_reading(root.path()).unwrap();
    let error = IdentityStore::open(&reader).unwrap_err();
    assert!(matches!(error, StorageError::ReadOnly { .. }), "{error}");
}
