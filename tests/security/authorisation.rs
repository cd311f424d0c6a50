//! Every operation of every service turns away who does not sign, and who signs with a key that is not
//! one, before it says anything else. The operations are those of `operations.tsv`, which a test of the
//! server keeps in step with what it offers.

use support::guests::printing;
use support::sign::Signer;
use support::wait::until;
use support::{Request, TestHost};

const OPERATIONS: &str = include_str!("operations.tsv");

/// Each operation's service, name and a request for it.
fn requests() -> Vec<(&'static str, &'static str, Request)> {
    let rows = OPERATIONS.lines().skip(1).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        assert_eq!(fields.len(), 5, "{line}");
        let (service, name, method, target) = (fields[0], fields[1], fields[3], fields[4]);
        // A function that is there, so that nothing else can be wrong; of tags its ARN.
        let arn = "arn:aws:lambda:local:000000000000:function:f";
        let label = if target.contains("/tags/") { arn } else { "f" };
        let request = Request::new(method, &target.replace("{}", label)).with_body("{}");
        let request = match service {
            "logs" => request
                .header("x-amz-target", &format!("Logs_20140328.{name}"))
                .header("content-type", "application/x-amz-json-1.1"),
            _ => request,
        };
        (service, name, request)
    });
    rows.collect()
}

#[test]
fn nobody_gets_in_without_a_key() {
    let host = TestHost::start();
    host.create("f", &printing("1"));
    let root = host.root_signer();
    let unknown = Signer {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".to_owned(),
        ..root.clone()
    };
    let forged = Signer {
        secret: format!("{}x", root.secret),
        ..root
    };
    let requests = requests();
    assert!(requests.len() > 50);
    for (service, name, request) in &requests {
        let expected = if *service == "logs" { 400 } else { 403 };
        // Who fails too often is asked to wait, whoever it is.
        let send = |request: &Request| {
            until("the next failure to be allowed", || {
                let answer = host.control_send(request);
                (answer.status != 429).then_some(answer)
            })
        };
        let unsigned = send(&request.clone().unsigned());
        let code = unsigned.header("x-amzn-errortype");
        assert_eq!(
            (unsigned.status, code),
            (expected, Some("MissingAuthenticationTokenException")),
            "{name}"
        );
        for (signer, code) in [
            (&unknown, "UnrecognizedClientException"),
            (&forged, "InvalidSignatureException"),
        ] {
            let signed = signer.clone().for_service(service);
            let answer = send(&signed.sign(request, host.control()));
            let found = (answer.status, answer.header("x-amzn-errortype"));
            assert_eq!(found, (expected, Some(code)), "{name}: {}", answer.text());
        }
    }
    // Nothing of it was done.
    assert_eq!(host.invoke("f", "{}").text(), "1");
}
