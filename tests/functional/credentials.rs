//! The root key: how it comes into being, where it is found, and how it is replaced.

use std::fs;

use support::guests::printing;
use support::host::invocation;
use support::site::Finished;
use support::{Request, Signer, Site, TestHost};

#[test]
fn commands_find_the_key_and_the_server_by_themselves() {
    let host = TestHost::start();
    host.deploy("f", &printing("1"));
    let mut command = host.command();
    // Neither the address nor the file is said: both lie beside the data directory.
    command.env("MAYFLY_DATA", host.data());
    let listed = Finished::of(command.args(["list"])).ok();
    assert!(listed.contains('f') && listed.contains("128"), "{listed}");
    let mut command = host.command();
    command.args(["invoke", "f", "-d", "{}", "--credentials"]);
    assert_eq!(
        Finished::of(command.arg(host.credentials())).ok().trim(),
        "1"
    );
    let root = host.root_signer();
    let with_variables = |secret: &str| {
        let mut command = host.command();
        command
            .env("MAYFLY_CONTROL", host.control().to_string())
            .env("AWS_ACCESS_KEY_ID", &root.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .args(["invoke", "f", "-d", "{}"]);
        Finished::of(&mut command)
    };
    assert_eq!(with_variables(&root.secret).ok().trim(), "1");
    let said = with_variables("wrong").failed();
    let key = format!("(the key {} is from AWS_ACCESS_KEY_ID)", root.access_key_id);
    assert!(said.contains(&key) && said.lines().count() == 1, "{said}");
}

#[test]
fn a_file_that_is_missing_or_no_good_is_one_clear_line() {
    let host = TestHost::start();
    let nowhere = host.root().join("nowhere");
    let list = |credentials: &std::path::Path| {
        let mut command = host.cli_command();
        command.arg("list").arg("--credentials").arg(credentials);
        Finished::of(&mut command).failed()
    };
    let said = list(&nowhere);
    assert!(
        said.contains("is not there") && said.contains("--credentials"),
        "{said}"
    );
    assert!(said.contains(&nowhere.display().to_string()), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");
    fs::write(&nowhere, "[default]\n").unwrap();
    assert!(list(&nowhere).contains("has no profile [mayfly]"));
    let root = host.root_signer();
    let stranger = format!(
        "[mayfly]\naws_access_key_id = AKIANOBODY\naws_secret_access_key = {}\n",
        root.secret
    );
    fs::write(&nowhere, stranger).unwrap();
    let said = list(&nowhere);
    assert!(
        said.contains("security token") && said.contains("AKIANOBODY"),
        "{said}"
    );
    assert!(!said.contains(&root.secret), "{said}");
}

#[test]
fn a_restart_keeps_the_key_and_says_where_the_server_is_now() {
    let site = Site::new();
    let host = site.start();
    let (root, first) = (host.root_signer(), host.control());
    host.stop();
    let host = site.start();
    assert_eq!(host.root_signer(), root);
    let text = fs::read_to_string(host.credentials()).unwrap();
    assert!(
        text.contains(&format!("endpoint_url = http://{}\n", host.control())),
        "{text}"
    );
    assert!(
        host.control() == first || !text.contains(&first.to_string()),
        "{text}"
    );
}

#[test]
fn a_lost_key_is_replaced_while_no_server_runs() {
    let site = Site::new();
    let host = site.start();
    host.deploy("f", &printing("1"));
    let old = host.root_signer();
    let rotate = || {
        let mut command = site.command();
        command
            .args(["keys", "rotate-root", "--data"])
            .arg(site.data());
        Finished::of(&mut command)
    };
    let said = rotate().failed();
    assert!(said.contains("is in use by process"), "{said}");
    assert_eq!(host.root_signer(), old);
    host.stop();
    fs::remove_file(site.credentials()).unwrap();
    // Nobody gets the key again by starting the server.
    let host = site.clone();
    let mut command = host.serve_command(&[]);
    let process = support::process::Process::start(&mut command);
    let line = process.stderr.wait_for("keys rotate-root");
    assert!(line.contains("is not there"), "{line}");
    drop(process);
    assert!(!site.credentials().exists());
    let said = support::until("the data directory to be free", || {
        let finished = rotate();
        (finished.code == Some(0)).then_some(finished)
    });
    let host = site.start();
    let new = host.root_signer();
    assert_ne!(new.access_key_id, old.access_key_id);
    assert!(said.stderr.contains(&new.access_key_id), "{said:?}");
    assert!(!format!("{said:?}").contains(&new.secret));
    assert_eq!(host.invoke("f", "{}").status, 200);
    let refused = host.control_send(&old.sign(&invocation("f", "{}"), host.control()));
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.header("x-amzn-errortype"),
        Some("UnrecognizedClientException")
    );
}

#[test]
fn a_file_of_credentials_that_is_somebodys_keeps_what_it_has() {
    let mine = "[default]\naws_access_key_id = AKIAMINE\naws_secret_access_key = mine\n";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("credentials");
    fs::write(&path, mine).unwrap();
    let site = Site::builder()
        .env("MAYFLY_CREDENTIALS", path.to_str().unwrap())
        .build();
    let host = site.start();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.starts_with(mine), "{text}");
    assert!(!site.credentials().exists());
    let root = Signer::read(&path).unwrap();
    let listed = host.control_send(&root.sign(&Request::get("/mayfly/functions"), host.control()));
    assert_eq!(listed.status, 200);
    // What checks a server when it stops reads the usual file.
    fs::copy(&path, site.credentials()).unwrap();
}

#[test]
fn a_server_on_another_data_directory_leaves_the_key_of_the_first_one_alone() {
    let host = TestHost::start();
    let before = fs::read(host.credentials()).unwrap();
    let other = host.root().join("other");
    let mut command = host.command();
    command
        .env("MAYFLY_CREDENTIALS", host.credentials())
        .env("MAYFLY_QUEUE_EVENT_MAX", "1")
        .args([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--control",
            "127.0.0.1:0",
        ])
        .arg("--functions")
        .arg(host.functions())
        .arg("--data")
        .arg(&other);
    let refused = Finished::of(&mut command).failed();
    for part in [
        &*host.credentials().display().to_string(),
        "is not replaced",
        "--credentials FILE or MAYFLY_CREDENTIALS",
        "MAYFLY_QUEUE_EVENT_MAX is not known and not read; the one nearest to it is MAYFLY_QUEUE_EVENTS_MAX",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    assert_eq!(fs::read(host.credentials()).unwrap(), before);
    assert_eq!(host.cli(&["list"]).code, Some(0));
}
