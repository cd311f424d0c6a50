//! A key that is disabled, rotated or deleted while its holder is busy: nothing that is sent after the
//! change was acknowledged is answered.

use std::fs;

use support::guests::printing;
use support::host::invocation;
use support::identity::{error_code, statement};
use support::lambda::arn;
use support::load::Load;
use support::{Signer, Site, TestHost};

/// Clients at once.
const THREADS: usize = 3;

#[test]
fn an_ended_key_is_refused_by_the_next_request_also_under_load() {
    // Without a bound on failures: all of this comes from one address.
    let host = Site::builder()
        .env("MAYFLY_AUTH_FAILURES_PER_SECOND", "1000000")
        .start();
    host.create("f", &printing("1"));
    let bob = host.user("bob");
    let allow = statement("Allow", "lambda:InvokeFunction", &arn("f"));
    host.put_policy("bob", &allow);
    let of_key = |action: &str, key: &Signer| {
        let id = &key.access_key_id;
        host.iam(&format!("Action={action}&UserName=bob&AccessKeyId={id}"));
    };

    check_end(&host, &bob, || {
        of_key("UpdateAccessKey&Status=Inactive", &bob);
    });
    of_key("UpdateAccessKey&Status=Active", &bob);
    assert_eq!(host.invoke_as(&bob, "f").status, 200);

    // Another key of the user goes on.
    let second = host.new_key("bob");
    check_end(&host, &bob, || of_key("DeleteAccessKey", &bob));
    assert_eq!(host.invoke_as(&second, "f").status, 200);

    let file = host.root().join("rotated");
    check_end(&host, &second, || {
        let rotated = host.cli(&["keys", "rotate", &second.access_key_id]).ok();
        fs::write(&file, rotated).unwrap();
    });
    let third = Signer::read(&file).unwrap();
    assert_eq!(host.invoke_as(&third, "f").status, 200);

    // The permission ends as a key does.
    check_end(&host, &third, || {
        host.iam("Action=DeleteUserPolicy&UserName=bob&PolicyName=p");
    });
    host.put_policy("bob", &allow);
    // And so does the user.
    host.iam("Action=DeleteUserPolicy&UserName=bob&PolicyName=p");
    of_key("DeleteAccessKey", &third);
    host.iam("Action=DeleteUser&UserName=bob");
    let gone = host.invoke_as(&third, "f");
    let code = error_code(&gone);
    assert_eq!(code.as_deref(), Some("UnrecognizedClientException"));
    // A user of the same name is somebody else.
    let other = host.user("bob");
    assert_eq!(host.invoke_as(&other, "f").status, 403);
    assert_eq!(host.invoke_as(&third, "f").status, 403);
}

/// Invokes with a key from several clients, ends the key meanwhile, and looks at what was sent when.
#[track_caller]
fn check_end(host: &TestHost, key: &Signer, end: impl FnOnce()) {
    let request = key.sign(&invocation("f", "{}"), host.control());
    let load = Load::start(host.control(), &[request], THREADS, None);
    load.wait_answers(30);
    let begun = load.now();
    end();
    let ended = load.now();
    load.wait_answers(30);
    let shots = load.stop();
    for shot in &shots {
        let status = shot.status();
        if shot.sent + shot.took < begun {
            assert_eq!(status, 200, "before");
        } else if shot.sent > ended {
            assert_eq!(status, 403, "after");
        } else {
            assert!(matches!(status, 200 | 403), "{status} meanwhile");
        }
    }
    let after = shots.iter().filter(|shot| shot.sent > ended).count();
    assert!(after >= THREADS);
}
