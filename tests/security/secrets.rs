//! Secrets: that they show nowhere, and that the files that hold them are for their owner alone.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use support::guests::printing;
use support::host::invocation;
use support::{Request, Site};

#[test]
#[expect(
    clippy::too_many_lines,
    reason = "one run of everything that could show a secret"
)]
fn secrets_show_nowhere() {
    const CANARY: &str = "canary-of-the-function-5d1f";
    let site = Site::builder().env("MAYFLY_LOG", "trace").build();
    let host = site.start();
    host.deploy_with(
        "f",
        &format!("[environment]\nTOKEN = \"{CANARY}\"\n"),
        &printing("1"),
    );
    let root = host.root_signer();
    let key = fs::read_to_string(host.key_file())
        .unwrap()
        .trim()
        .to_owned();
    let mut said = Vec::new();
    let mut wrong = root.clone();
    wrong.secret.push('x');
    for request in [
        invocation("f", "{}"),
        invocation("f", "{broken"),
        invocation("nobody", "{}"),
        Request::get("/mayfly/functions"),
        Request::get("/mayfly/billing"),
        Request::get("/mayfly/logs/f"),
        Request::get("/nothing"),
        Request::get("/metrics"),
        Request::get("/health"),
        Request::post("/", "Action=ListUsers"),
    ] {
        for signed in [
            root.sign(&request, host.control()),
            wrong.sign(&request, host.control()),
            request.clone().unsigned(),
        ] {
            let response = host.control_send(&signed);
            assert!(response.header("x-amzn-requestid").is_some());
            said.push(format!("{:?}\n{}", response.headers, response.text()));
        }
    }
    let list = host.cli(&["list"]);
    said.push(format!("{list:?}"));
    let data = host.data();
    host.terminate();
    let (stdout, stderr) = (host.process().stdout.all(), host.process().stderr.all());
    said.extend(stdout);
    said.extend(stderr);
    host.wait_end();
    let all = said.join("\n");
    for secret in [&root.secret, &key, CANARY] {
        assert!(!all.contains(secret), "a secret was said");
    }
    // Error bodies tell nothing of where we live.
    assert!(
        !said
            .iter()
            .take(30)
            .any(|body| body.contains(data.to_str().unwrap()))
    );
    let mut files = 0;
    let mut folders = vec![data];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let bytes = fs::read(&path).unwrap();
            for secret in [&root.secret, &key] {
                let found = bytes
                    .windows(secret.len())
                    .any(|window| window == secret.as_bytes());
                assert!(!found, "{} holds a secret", path.display());
            }
        }
    }
    assert!(files > 3, "{files} files were looked at");
}

#[test]
fn the_keys_are_for_their_owner_alone_and_one_that_others_can_read_stops_the_server() {
    let site = Site::new();
    let host = site.start();
    let mode = |path: std::path::PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(host.credentials()), 0o600);
    assert_eq!(mode(host.key_file()), 0o600);
    let printed = [host.process().stdout.all(), host.process().stderr.all()]
        .concat()
        .join("\n");
    assert!(
        printed.contains(&host.root_signer().access_key_id),
        "{printed}"
    );
    assert!(!printed.contains(&host.root_signer().secret));
    host.stop();
    fs::set_permissions(site.key_file(), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = site.try_start().unwrap_err();
    assert!(
        refused.contains(&format!("chmod 600 {}", site.key_file().display())),
        "{refused}"
    );
    fs::remove_file(site.key_file()).unwrap();
    let refused = site.try_start().unwrap_err();
    assert!(refused.contains("is not there"), "{refused}");
}
