//! AWS's published requests.

use http::Uri;

use super::*;

/// A request of the file: its head and its body.
fn request(text: &str) -> (Parts, &[u8]) {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let mut words = lines.next().unwrap().split(' ');
    let method = words.next().unwrap();
    let uri: Uri = Uri::try_from(words.next().unwrap().as_bytes()).unwrap();
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let (name, value) = line.split_once(':').unwrap();
        let value = value.trim_matches(' ');
        request = request.header(name, value);
    }
    let parts = request.body(()).unwrap().into_parts().0;
    (parts, body.trim_end_matches('\n').as_bytes())
}

#[test]
fn the_published_requests_verify() {
    let mut count = 0;
    for vector in include_str!("vectors.txt").split("=== ").skip(1) {
        let (name, text) = vector.split_once('\n').unwrap();
        let (parts, body) = request(text);
        let signed = Signed::parse(&parts).unwrap_or_else(|e| panic!("{name}: {e}"));
        let date_s = signed.date_s();
        signed
            .check(date_s)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let secret = match &**signed.access_key_id() {
            "ANOTREAL" => Secret::new("notrealrnrELgWzOk3IfjzDKtFBhDby".to_owned()),
            _ => secret(),
        };
        let verified = signed.verify(body, &secret, &SigningKeys::default());
        assert_eq!(verified, Ok(()), "{name}");
        let other = signed.verify(b"something else", &secret, &SigningKeys::default());
        assert!(other.is_err(), "{name}");
        let token = text.contains("ecurity-Token");
        assert_eq!(signed.has_session_token(), token, "{name}");
        count += 1;
    }
    assert_eq!(count, 58);
}

#[test]
fn paths_are_normalised_and_encoded_once_more() {
    for (raw, canonical) in [
        ("", "/"),
        ("/", "/"),
        ("//", "/"),
        ("/./", "/"),
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("/a//b", "/a/b"),
        ("/./a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/../b", "/b"),
        ("/../../b", "/b"),
        ("/a/.", "/a/"),
        ("/a/...", "/a/..."),
        ("/example space/", "/example%20space/"),
        ("/arn%3Aaws%3alambda", "/arn%253Aaws%253alambda"),
        ("/%2e%2E/a", "/%252e%252E/a"),
        ("/ሴ~-_.", "/%E1%88%B4~-_."),
        ("/a:b@c", "/a%3Ab%40c"),
    ] {
        let mut path = Vec::new();
        super::canonical::path(raw, &mut path);
        assert_eq!(String::from_utf8(path).unwrap(), canonical, "{raw}");
    }
}
