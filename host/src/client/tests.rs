//! The client against a server that says exactly what a test wants.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;

use super::*;
use crate::auth::secret::Secret;

/// A server for one connection: answers with `answer`, hands back what it was asked.
fn server(answer: &str) -> (SocketAddr, JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = answer.replace('\n', "\r\n");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = Vec::new();
        let mut buffer = [0; 4_096];
        while !asked.windows(4).any(|window| window == b"\r\n\r\n") {
            let count = stream.read(&mut buffer).unwrap();
            asked.extend_from_slice(&buffer[..count]);
        }
        stream.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(asked).unwrap()
    });
    (address, thread)
}

fn client(address: SocketAddr) -> Client {
    let key = Key {
        signer: Signer {
            access_key_id: "AKIA1".to_owned(),
            secret: Secret::new("secret".to_owned()),
            region: "local".to_owned(),
        },
        found_in: "a file".to_owned(),
    };
    Client::new(address.into(), key).unwrap()
}

#[test]
fn a_request_names_the_host_and_reads_json() {
    let (address, thread) = server("HTTP/1.1 200 OK\ncontent-length: 7\n\n[1,2,3]");
    let numbers: Vec<u32> = client(address).get("/mayfly/x?a=1").unwrap();
    assert_eq!(numbers, [1, 2, 3]);
    let asked = thread.join().unwrap();
    assert!(
        asked.starts_with("GET /mayfly/x?a=1 HTTP/1.1\r\n"),
        "{asked}"
    );
    assert!(asked.contains(&format!("host: {address}\r\n")), "{asked}");
    let scope = "/local/mayfly/aws4_request, SignedHeaders=content-type;host;x-amz-content-sha256;x-amz-date, Signature=";
    assert!(asked.contains(scope), "{asked}");
    assert!(
        asked.contains("authorization: AWS4-HMAC-SHA256 Credential=AKIA1/"),
        "{asked}"
    );
    assert!(!asked.contains("secret"), "{asked}");
}

#[test]
fn an_invocation_asks_for_the_log_and_finds_the_error() {
    let (address, thread) = server(
        "HTTP/1.1 200 OK\nX-Amz-Function-Error: Unhandled\nX-Amz-Log-Result: QQ==\ncontent-length: 2\n\n{}",
    );
    let asked = Asked {
        function: "f:1",
        qualifier: Some("a b"),
        with_log: true,
        kind: Kind::Answered,
    };
    let invoked = client(address)
        .invoke(&asked, Bytes::from_static(b"null"))
        .unwrap();
    assert_eq!(invoked.payload, "{}");
    assert_eq!(invoked.function_error.as_deref(), Some("Unhandled"));
    assert_eq!(invoked.log_base64.as_deref(), Some("QQ=="));
    let asked = thread.join().unwrap();
    assert!(
        asked.starts_with(
            "POST /2015-03-31/functions/f%3A1/invocations?Qualifier=a%20b HTTP/1.1\r\n"
        ),
        "{asked}"
    );
    assert!(asked.contains("x-amz-log-type: Tail\r\n"), "{asked}");
    assert!(asked.contains("/local/lambda/aws4_request"), "{asked}");
}

#[test]
fn nobody_there_says_how_to_start_someone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).get_text("/").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "no Mayfly server answers at {address}; start one with `mayfly dev` or `mayfly serve`, or say where with --control"
        )
    );
}

#[test]
fn a_refusal_is_told_in_the_servers_words() {
    for body in [
        r#"{"Type":"User","message":"no such"}"#,
        r#"{"type":"x","Message":"no such"}"#,
    ] {
        let (address, thread) = server(&format!(
            "HTTP/1.1 404 Not Found\ncontent-length: {}\n\n{body}",
            body.len()
        ));
        let error = client(address).get_text("/").unwrap_err();
        assert_eq!(error.to_string(), "no such");
        thread.join().unwrap();
    }
}

#[test]
fn a_refusal_without_words_tells_its_status() {
    let (address, thread) = server(
        "HTTP/1.1 503 Service Unavailable\nx-amzn-errortype: ServiceException\ncontent-length: 0\n\n",
    );
    let error = client(address).get_text("/").unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("the server at {address} answered with 503 Service Unavailable (ServiceException)")
    );
    thread.join().unwrap();
}

#[test]
fn someone_else_is_not_taken_for_a_server() {
    let (address, thread) = server("HTTP/1.1 200 OK\ncontent-length: 6\n\n<html>");
    let error = client(address).get::<Vec<u32>>("/").unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error}");
    thread.join().unwrap();
    let (address, thread) = server("220 mail.example ESMTP\n");
    let error = client(address).get_text("/").unwrap_err();
    assert!(matches!(error, ClientError::Broken { .. }), "{error}");
    thread.join().unwrap();
}

#[test]
fn what_our_own_disk_does_not_take_is_no_fault_of_the_connection() {
    struct FullDisk;
    impl std::io::Write for FullDisk {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (address, thread) = server("HTTP/1.1 200 OK\ncontent-length: 3\n\nabc");
    let error = client(address).download("/", &mut FullDisk).unwrap_err();
    let told = crate::faults::chain(&error);
    assert!(matches!(error, ClientError::Unwritten(_)), "{told}");
    assert!(told.contains("no storage space"), "{told}");
    thread.join().unwrap();
    let (address, thread) = server("HTTP/1.1 200 OK\ncontent-length: 3\n\nabc");
    let mut taken = Vec::new();
    assert_eq!(client(address).download("/", &mut taken).unwrap(), 3);
    assert_eq!(taken, b"abc");
    thread.join().unwrap();
}

#[test]
fn a_query_has_what_is_there_and_escapes_it() {
    assert_eq!(query(&[("a", None)]), "");
    let pairs = [
        ("a", Some("x y".to_owned())),
        ("b", None),
        ("c", Some("1&2+é".to_owned())),
    ];
    assert_eq!(query(&pairs), "?a=x%20y&c=1%262%2B%C3%A9");
}

#[test]
fn a_key_that_nobody_knows_is_told_with_where_it_was_found() {
    let (address, thread) = server(
        "HTTP/1.1 403 Forbidden\nx-amzn-errortype: UnrecognizedClientException\ncontent-length: 16\n\n{\"message\":\"no\"}",
    );
    let error = client(address).get_text("/").unwrap_err();
    assert_eq!(error.to_string(), "no (the key AKIA1 is from a file)");
    thread.join().unwrap();
}

#[test]
fn an_endpoint_is_a_plain_address() {
    let server = Server::of_url("http://127.0.0.1:3002").unwrap();
    assert_eq!(server.address.to_string(), "127.0.0.1:3002");
    let client = Client::new(
        Server::of_url("https://127.0.0.1:1").unwrap(),
        client(server.address).key,
    );
    assert_eq!(client.unwrap().endpoint_url(), "https://127.0.0.1:1");
    let server = Server::of_url("http://[::1]:3002/").unwrap();
    assert_eq!(
        (server.address.to_string(), server.authority.as_str()),
        ("[::1]:3002".to_owned(), "[::1]:3002")
    );
    for bad in [
        "",
        "x",
        "http://127.0.0.1:1/?a",
        "http://127.0.0.1:1/path",
        "ftp://x",
        "http://",
    ] {
        let error = Server::of_url(bad).unwrap_err();
        assert!(
            error.to_string().contains("can't be used"),
            "{bad}: {error}"
        );
    }
}
