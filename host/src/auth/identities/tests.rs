//! Changes are durable, take effect at once, and are refused with what is wrong.

use storage::DataDir;
use tempfile::TempDir;

use super::*;
use crate::auth::Identity;

pub(crate) const ALLOW_ALL: &str =
    r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
pub(crate) const TRUST: &str = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow",
    "Principal":{"Service":"lambda.amazonaws.com"},"Action":"sts:AssumeRole"}}"#;

/// Identities in a directory of their own.
pub(crate) struct Home {
    pub(crate) identities: Identities,
    pub(crate) clock: Clock,
    dir: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self::open(tempfile::tempdir().unwrap(), 7).unwrap()
    }

    fn open(dir: TempDir, key: u8) -> Result<Self, IdentityError> {
        let data_dir = DataDir::open(dir.path()).unwrap();
        let clock = Clock::manual(1_795_364_897_000_000);
        let store = IdentityStore::open(&data_dir).unwrap();
        let identities = Identities::open(store, Sealer::new(&[key; 32]), clock.clone())?;
        Ok(Self {
            identities,
            clock,
            dir,
        })
    }

    /// The same directory in the next process, with this key file.
    fn restart(self, key: u8) -> Result<Self, IdentityError> {
        drop(self.identities);
        Self::open(self.dir, key)
    }

    fn who(&self, key: &str) -> Option<(Identity, bool)> {
        let known = self.identities.key(key)?;
        Some((known.identity, known.active))
    }
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: Result<T, IdentityError>, expected: &str) {
    assert_eq!(result.unwrap_err().to_string(), expected);
}

#[test]
fn a_key_is_known_until_it_is_disabled_or_deleted_and_survives_a_restart() {
    let home = Home::new();
    home.identities
        .create_user("bob", "/dev/", Vec::new())
        .unwrap();
    let first = home.identities.create_key("bob").unwrap();
    let second = home.identities.create_key("bob").unwrap();
    refused(
        home.identities.create_key("bob"),
        "Cannot exceed quota for AccessKeysPerUser: 2",
    );
    let bob = || Identity::User("dev/bob".into());
    assert_eq!(home.who(&first.id), Some((bob(), true)));
    let stored = std::fs::read(home.dir.path().join("identity.db-wal")).unwrap();
    let secret = first.secret.expose().as_bytes();
    assert!(!stored.windows(secret.len()).any(|window| window == secret));

    home.identities
        .set_key_active("bob", &second.id, false)
        .unwrap();
    assert_eq!(home.who(&second.id), Some((bob(), false)));
    let home = home.restart(7).unwrap();
    assert_eq!(home.identities.key(&first.id).unwrap().secret, first.secret);
    assert_eq!(home.who(&second.id), Some((bob(), false)));
    home.identities.delete_key("bob", &second.id).unwrap();
    assert_eq!(home.who(&second.id), None);
    assert_eq!(home.who("AKIAAAAAAAAAAAAAAAAA"), None);

    // Another's key is as good as none.
    home.identities.create_user("eve", "/", Vec::new()).unwrap();
    let message = format!("The Access Key with id {} cannot be found.", first.id);
    refused(home.identities.delete_key("eve", &first.id), &message);
    assert_eq!(home.who(&first.id), Some((bob(), true)));
    // With another key file nothing opens.
    let error = home.restart(8).map(|home| home.dir).unwrap_err();
    assert!(matches!(error, IdentityError::Sealed(_)), "{error}");
}

#[test]
fn a_user_has_one_name_in_any_case_and_keeps_everything_under_a_new_one() {
    let home = Home::new();
    let identities = &home.identities;
    identities.create_user("bob", "/", Vec::new()).unwrap();
    refused(
        identities.create_user("BOB", "/", Vec::new()),
        "User with name BOB already exists.",
    );
    let key = identities.create_key("bob").unwrap();
    identities
        .put_inline_policy(Owner::User("bob"), "all", ALLOW_ALL)
        .unwrap();
    let renamed = UserUpdate {
        name: Some("Bob".to_owned()),
        path: Some("/ops/".to_owned()),
    };
    identities.update_user("bob", renamed).unwrap();
    refused(
        identities.create_key("bob"),
        "The user with name bob cannot be found.",
    );
    let who = Some((Identity::User("ops/Bob".into()), true));
    assert_eq!(home.who(&key.id), who);
    let home = home.restart(7).unwrap();
    assert_eq!(home.who(&key.id), who);
    let identities = &home.identities;
    let state = identities.now();
    assert_eq!(state.users.len(), 1);
    let user = state.user("Bob").unwrap();
    assert_eq!(user.arn(), "arn:aws:iam::000000000000:user/ops/Bob");
    assert!(user.holdings.inline.contains_key("all"));

    // It goes when nothing hangs on it any more.
    refused(
        identities.delete_user("Bob"),
        "Cannot delete a user that has access keys; delete or detach those first.",
    );
    identities.delete_key("Bob", &key.id).unwrap();
    refused(
        identities.delete_user("Bob"),
        "Cannot delete a user that has inline policies; delete or detach those first.",
    );
    identities
        .delete_inline_policy(Owner::User("Bob"), "all")
        .unwrap();
    identities.delete_user("Bob").unwrap();
    assert!(identities.now().users.is_empty());
    assert_eq!(home.restart(7).unwrap().identities.now().users.len(), 0);
}

#[test]
fn a_policy_is_attached_to_users_and_roles_and_can_not_go_while_it_is() {
    let home = Home::new();
    let identities = &home.identities;
    identities.create_user("bob", "/", Vec::new()).unwrap();
    let role = NewRole {
        name: "deploy".to_owned(),
        path: "/".to_owned(),
        trust: TRUST.to_owned(),
        description: String::new(),
        session_seconds_max: 3_600,
        tags: Vec::new(),
    };
    identities.create_role(role).unwrap();
    let policy = identities.create_policy("ops", "/", "", ALLOW_ALL).unwrap();
    assert_eq!(policy.arn, "arn:aws:iam::000000000000:policy/ops");
    let owners = [Owner::User("bob"), Owner::Role("deploy")];
    for owner in owners {
        identities.attach(owner, &policy.arn).unwrap();
        identities.attach(owner, &policy.arn).unwrap();
    }
    let admin = "arn:aws:iam::aws:policy/AdministratorAccess";
    identities.attach(Owner::User("bob"), admin).unwrap();
    refused(
        identities.attach(Owner::User("bob"), "arn:aws:iam::aws:policy/Nothing"),
        "Policy arn:aws:iam::aws:policy/Nothing does not exist or is not attachable.",
    );
    refused(
        identities.delete_policy(admin),
        "Policy arn:aws:iam::aws:policy/AdministratorAccess is managed by AWS and can't be changed.",
    );
    refused(
        identities.delete_policy(&policy.arn),
        "Cannot delete a policy that has users or roles it is attached to; delete or detach those first.",
    );
    let home = home.restart(7).unwrap();
    let identities = &home.identities;
    let state = identities.now();
    let user = state.user("bob").unwrap();
    assert_eq!(state.documents(&user.holdings).len(), 2);
    assert_eq!(state.attachments(&policy.arn), 2);
    for owner in owners {
        identities.detach(owner, &policy.arn).unwrap();
        identities.detach(owner, &policy.arn).unwrap_err();
    }
    identities.delete_policy(&policy.arn).unwrap();
    identities.delete_role("deploy").unwrap();
    assert!(identities.now().roles.is_empty());
}

#[test]
fn what_is_refused_changes_nothing() {
    let home = Home::new();
    let identities = &home.identities;
    identities.create_user("bob", "/", Vec::new()).unwrap();
    let before = format!("{:?}", identities.now());
    let owner = Owner::User("bob");
    identities.put_inline_policy(owner, "p", "{}").unwrap_err();
    let padded = format!(r#"{{"Id": "{}","#, "x".repeat(10_240));
    let long = ALLOW_ALL.replacen('{', &padded, 1);
    refused(
        identities.put_inline_policy(owner, "p", &long),
        "Cannot exceed quota for policy size: 10240",
    );
    identities
        .put_inline_policy(Owner::User("eve"), "p", ALLOW_ALL)
        .unwrap_err();
    identities.delete_inline_policy(owner, "p").unwrap_err();
    identities.update_trust("deploy", TRUST).unwrap_err();
    identities.delete_api_key("x").unwrap_err();
    assert_eq!(format!("{:?}", identities.now()), before);
}

#[test]
fn an_api_key_is_known_by_its_hash_alone() {
    let home = Home::new();
    let new = home.identities.create_api_key("partner").unwrap();
    home.identities.create_api_key("partner").unwrap_err();
    let key = new.key.expose().to_owned();
    assert_eq!(
        home.identities.api_key_name(&key).as_deref(),
        Some("partner")
    );
    assert_eq!(home.identities.api_key_name("x"), None);
    let stored = std::fs::read(home.dir.path().join("identity.db-wal")).unwrap();
    let window = key.len();
    assert!(
        !stored
            .windows(window)
            .any(|window| window == key.as_bytes())
    );
    let home = home.restart(7).unwrap();
    assert_eq!(
        home.identities.api_key_name(&key).as_deref(),
        Some("partner")
    );
    home.identities
        .set_api_key_enabled("partner", false)
        .unwrap();
    assert_eq!(home.identities.api_key_name(&key), None);
    home.identities
        .set_api_key_enabled("partner", true)
        .unwrap();
    assert_eq!(
        home.identities.api_key_name(&key).as_deref(),
        Some("partner")
    );
    home.identities.delete_api_key("partner").unwrap();
    assert_eq!(home.identities.api_key_name(&key), None);
}

#[test]
fn the_last_use_of_a_key_is_known_and_stored_now_and_then() {
    let home = Home::new();
    home.identities.create_user("bob", "/", Vec::new()).unwrap();
    let id = home.identities.create_key("bob").unwrap().id;
    let used = |home: &Home| {
        home.identities.now().keys[&id]
            .used()
            .map(|used| used.service)
    };
    assert_eq!(used(&home), None);
    home.identities.note_use(&id, "lambda", "local");
    home.clock.advance(std::time::Duration::from_secs(60));
    home.identities.note_use(&id, "logs", "local");
    assert_eq!(used(&home).as_deref(), Some("logs"));
    // A change to the key keeps it.
    home.identities.set_key_active("bob", &id, false).unwrap();
    assert_eq!(used(&home).as_deref(), Some("logs"));
    let home = home.restart(7).unwrap();
    assert_eq!(used(&home).as_deref(), Some("logs"));
    home.identities.note_use("AKIANOBODY", "logs", "local");
}

#[test]
fn nothing_prints_a_secret() {
    let home = Home::new();
    home.identities.create_user("bob", "/", Vec::new()).unwrap();
    let new = home.identities.create_key("bob").unwrap();
    let api_key = home.identities.create_api_key("partner").unwrap();
    let text = format!(
        "{:?} {new:?} {api_key:?} {:?}",
        home.identities,
        home.identities.key(&new.id)
    );
    assert!(text.contains("AKIA") && text.contains("partner"));
    assert!(!text.contains(new.secret.expose()));
    assert!(!text.contains(api_key.key.expose()));
}
