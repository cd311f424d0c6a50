//! TLS on both listeners: who is served, who is not, and certificates that change.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::generate_simple_self_signed;
use support::guests::{guest, printing};
use support::http::Connection;
use support::site::Finished;
use support::{Site, TestHost, until};

/// A certificate for localhost and its key, in files.
struct Pair {
    folder: tempfile::TempDir,
}

impl Pair {
    fn new() -> Self {
        let pair = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        pair.renew();
        pair
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    /// Writes another certificate with another key.
    fn renew(&self) {
        let made = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(self.certificate(), made.cert.pem()).unwrap();
        fs::write(self.key(), made.signing_key.serialize_pem()).unwrap();
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A server whose triggers speak TLS.
fn start(pair: &Pair) -> TestHost {
    start_with(pair, "5000")
}

/// The same with another time for a handshake.
fn start_with(pair: &Pair, handshake_timeout_ms: &str) -> TestHost {
    Site::builder()
        .env("MAYFLY_TLS_CERTIFICATE", text(&pair.certificate()))
        .env("MAYFLY_TLS_KEY", text(&pair.key()))
        .env("MAYFLY_TLS_RESCAN_MS", "10")
        .env("MAYFLY_TLS_HANDSHAKE_TIMEOUT_MS", handshake_timeout_ms)
        .build()
        .start()
}

/// Asks by `curl` that trusts `certificate`.
fn curl(certificate: &Path, port: u16, path: &str, more: &[&str]) -> Finished {
    let mut command = Command::new("curl");
    command
        .args(["--silent", "--show-error", "--max-time", "60", "--cacert"])
        .arg(certificate)
        .args(more)
        .arg(format!("https://localhost:{port}{path}"))
        .args(["--resolve", &format!("localhost:{port}:127.0.0.1")]);
    Finished::of(&mut command)
}

#[test]
fn a_client_that_trusts_the_certificate_is_served_by_http_1_1() {
    let pair = Pair::new();
    let host = start(&pair);
    host.deploy("f", &guest("echo"));
    let port = host.http().port();
    let event = curl(&pair.certificate(), port, "/f", &[]).ok();
    let event: serde_json::Value = serde_json::from_str(&event).unwrap();
    assert_eq!(event["headers"]["x-forwarded-proto"], "https");
    let url = host.function("f").unwrap()["urls"][0].clone();
    assert_eq!(url, format!("https://127.0.0.1:{port}/f"));

    let version = [
        "--http2",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_version}",
    ];
    assert_eq!(
        curl(&pair.certificate(), port, "/f", &version).ok(),
        "1.1\n"
    );
    let large = "x".repeat(1 << 20);
    let file = pair.folder.path().join("large");
    fs::write(&file, &large).unwrap();
    let body = format!("@{}", file.display());
    let echoed = curl(&pair.certificate(), port, "/f", &["--data-binary", &body]).ok();
    assert!(echoed.contains(&large));
}

#[test]
fn who_speaks_no_tls_or_trusts_another_certificate_is_not_served() {
    let pair = Pair::new();
    let host = start(&pair);
    host.deploy("f", &printing("1"));
    let other = Pair::new();
    let refused = curl(&other.certificate(), host.http().port(), "/f", &[]).failed();
    assert!(refused.contains("certificate"), "{refused}");

    let mut plain = Connection::open(host.http()).unwrap();
    plain
        .write(b"GET /f HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .unwrap();
    let answer = plain.read_to_end();
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
}

#[test]
fn who_does_not_finish_the_handshake_is_cut_and_others_are_served() {
    let pair = Pair::new();
    // Time enough for the client that is served, on a busy machine.
    let host = start_with(&pair, "2000");
    host.deploy("f", &printing("1"));
    let mut silent: Vec<_> = (0..50)
        .map(|_| Connection::open(host.http()).unwrap())
        .collect();
    for (number, connection) in silent.iter_mut().enumerate() {
        // The start of a record that is never finished, or nothing at all.
        let started: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0][..number % 8];
        connection.write(started).unwrap();
    }
    let served = curl(&pair.certificate(), host.http().port(), "/f", &[]).ok();
    assert_eq!(served, "1\n");
    for connection in &mut silent {
        // The server closes; otherwise this waits for a minute and says so.
        let bytes = connection.read_to_end();
        assert!(!bytes.starts_with(b"HTTP/"));
    }
}

#[test]
fn a_new_certificate_is_served_without_a_restart_and_a_bad_one_is_not() {
    let pair = Pair::new();
    let host = start(&pair);
    host.deploy("f", &printing("1"));
    let port = host.http().port();
    let is_served = || curl(&pair.certificate(), port, "/f", &[]).code == Some(0);
    assert!(is_served());
    pair.renew();
    until("the new certificate", || is_served().then_some(()));

    let good = fs::read(pair.certificate()).unwrap();
    fs::write(pair.certificate(), "nothing").unwrap();
    let warning = host
        .process()
        .stderr
        .wait_for("the certificate in use is kept");
    assert!(
        warning.contains("cert.pem` holds no certificate in PEM"),
        "{warning}"
    );
    fs::write(pair.certificate(), good).unwrap();
    assert!(is_served());
}

#[test]
fn the_control_api_has_a_certificate_of_its_own() {
    let pair = Pair::new();
    let host = Site::builder()
        .env("MAYFLY_TLS_CONTROL_CERTIFICATE", text(&pair.certificate()))
        .env("MAYFLY_TLS_CONTROL_KEY", text(&pair.key()))
        .build()
        .start();
    let health = curl(&pair.certificate(), host.control().port(), "/health", &[]).ok();
    assert!(health.contains("ok") || health.contains('{'), "{health}");
    assert_eq!(
        host.get("/nothing").status,
        404,
        "triggers speak plain HTTP"
    );
    let port = host.control().port();
    let credentials = fs::read_to_string(host.credentials()).unwrap();
    let said = format!("endpoint_url = https://127.0.0.1:{port}\n");
    assert!(credentials.contains(&said), "{credentials}");
    // The certificate is for another name than an address.
    let list = || {
        let mut command = host.command();
        command
            .env("MAYFLY_DATA", host.data())
            .env("SSL_CERT_FILE", pair.certificate());
        Finished::of(command.args(["list"]))
    };
    assert!(list().failed().contains("certificate"));
    fs::write(
        host.credentials(),
        credentials.replace("https://127.0.0.1:", "https://localhost:"),
    )
    .unwrap();
    let _listed = list().ok();
    let backup = host.root().join("site.tar");
    let mut command = host.command();
    command
        .env("MAYFLY_DATA", host.data())
        .env("SSL_CERT_FILE", pair.certificate());
    let _said = Finished::of(command.arg("backup").arg(&backup)).ok();
    assert!(fs::metadata(&backup).unwrap().len() > 1_024);
    // What stops a server politely looks at its ledger without TLS.
    host.kill();
}

#[test]
fn a_server_without_its_certificate_does_not_start_and_says_which_file_it_misses() {
    let pair = Pair::new();
    fs::remove_file(pair.key()).unwrap();
    let site = Site::builder()
        .env("MAYFLY_TLS_CERTIFICATE", text(&pair.certificate()))
        .env("MAYFLY_TLS_KEY", text(&pair.key()))
        .build();
    let output = site.try_start().unwrap_err();
    assert!(output.contains("key.pem"), "{output}");
}
