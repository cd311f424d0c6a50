//! What is refused, and with which words.

use http::{HeaderName, HeaderValue, Method};

use super::*;

#[track_caller]
fn check_refused(parts: &Parts, body: &[u8], part: &str) {
    let error = verify(parts, body, NOW_S).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

fn with(name: &'static str, value: &str) -> Parts {
    let mut parts = signed_request(b"{}");
    let value = HeaderValue::try_from(value).unwrap();
    parts.headers.insert(HeaderName::from_static(name), value);
    parts
}

/// The `Authorization` header with one text in place of another.
fn authorization(from: &str, to: &str) -> Parts {
    let mut parts = signed_request(b"{}");
    let before = parts.headers["authorization"].to_str().unwrap().to_owned();
    assert!(before.contains(from), "{before}");
    let after = HeaderValue::try_from(before.replacen(from, to, 1)).unwrap();
    parts.headers.insert("authorization", after);
    parts
}

#[test]
fn a_request_that_we_sign_verifies() {
    assert_eq!(verify(&signed_request(b"{}"), b"{}", NOW_S), Ok(()));
    assert_eq!(verify(&signed_request(b""), b"", NOW_S), Ok(()));
}

#[test]
fn separators_may_lack_their_space() {
    let mut parts = signed_request(b"{}");
    let before = parts.headers["authorization"].to_str().unwrap().to_owned();
    let after = HeaderValue::try_from(before.replace(", ", ",")).unwrap();
    parts.headers.insert("authorization", after);
    assert_eq!(verify(&parts, b"{}", NOW_S), Ok(()));
}

#[test]
fn a_request_without_signature_is_told_so() {
    let mut parts = signed_request(b"{}");
    parts.headers.remove("authorization");
    assert_eq!(verify(&parts, b"{}", NOW_S), Err(AuthError::Missing));
}

/// What to change in a good `Authorization` header, to what, and part of what is said then.
const BROKEN: &[(&str, &str, &str)] = &[
    ("Signature=", "Sig=", "a parameter that is not"),
    (", Signature=", ",Signature", "missing equal-sign"),
    (
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA1",
        "Unsupported AWS 'algorithm'",
    ),
    ("AWS4-HMAC-SHA256", "Bearer", "Unsupported AWS 'algorithm'"),
    (
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256x",
        "Unsupported AWS 'algorithm'",
    ),
    (
        "Credential=AKIDEXAMPLE/",
        "Credential=",
        "exactly 5 slash-delimited",
    ),
    (
        "Credential=AKIDEXAMPLE/",
        "Credential=a/AKIDEXAMPLE/",
        "exactly 5 slash-delimited",
    ),
    (
        "Credential=AKIDEXAMPLE/",
        "Credential=/",
        "letters and digits",
    ),
    (
        "Credential=AKIDEXAMPLE/",
        "Credential=A\u{20}B/",
        "letters and digits",
    ),
    ("us-east-1", "US-EAST-1", "of a-z, 0-9 and '-'"),
    ("us-east-1", "", "of a-z, 0-9 and '-'"),
    (
        "SignedHeaders=",
        "SignedHeaders=,SignedHeaders=",
        "'SignedHeaders' twice",
    ),
    (
        "SignedHeaders=content-type;",
        "SignedHeaders=Content-Type;",
        "in lower case, in order, each once",
    ),
    (
        "SignedHeaders=content-type;",
        "SignedHeaders=host;",
        "in lower case, in order, each once",
    ),
    (
        "SignedHeaders=content-type;host",
        "SignedHeaders=content-type;host;host",
        "in order, each once",
    ),
    (
        "SignedHeaders=content-type;host",
        "SignedHeaders=host;content-type",
        "in order, each once",
    ),
    (
        "SignedHeaders=content-type;host;",
        "SignedHeaders=content-type;",
        "'Host' or ':authority'",
    ),
    (
        "SignedHeaders=content-type;",
        "SignedHeaders=;",
        "in order, each once",
    ),
    (
        "SignedHeaders=content-type;",
        "SignedHeaders=authorization;",
        "'Authorization' can't be",
    ),
    (
        "SignedHeaders=content-type;",
        "SignedHeaders=age;content-type;",
        "names 'age'",
    ),
    (
        ";x-amz-log-type",
        "",
        "'x-amz-log-type' must be a 'SignedHeader'",
    ),
    (
        "x-amz-content-sha256;",
        "",
        "'x-amz-content-sha256' must be a 'SignedHeader'",
    ),
    (
        "/aws4_request",
        "/aws4_reques",
        "valid terminator: 'aws4_request', not 'aws4_reques'",
    ),
    ("/20150830/", "/20150831/", "'20150831' != '20150830'"),
    ("/20150830/", "/2015083/", "a date as YYYYMMDD"),
    ("us-east-1", "us-east-2", "does not match the signature"),
    ("/lambda/", "/logs/", "does not match the signature"),
];

#[test]
fn an_authorization_that_is_none_names_what_it_lacks() {
    for (from, to, part) in BROKEN {
        check_refused(&authorization(from, to), b"{}", part);
    }
}

#[test]
fn an_authorization_is_there_once_whole_and_ascii() {
    let mut parts = signed_request(b"{}");
    let signature = parts.headers["authorization"].clone();
    parts.headers.append("authorization", signature);
    check_refused(&parts, b"{}", "'authorization' twice");
    for (text, part) in [
        (
            "AWS4-HMAC-SHA256",
            "requires 'Credential' parameter. Authorization header requires 'Signature' parameter. Authorization header requires 'SignedHeaders' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host",
            "requires 'Signature' parameter.",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host, Signature=",
            "requires 'Signature' parameter.",
        ),
        ("", "Unsupported AWS 'algorithm'"),
    ] {
        check_refused(&with("authorization", text), b"{}", part);
    }
    let mut parts = signed_request(b"{}");
    let bytes = HeaderValue::from_bytes(b"AWS4-HMAC-SHA256 Credential=\xff").unwrap();
    parts.headers.insert("authorization", bytes);
    check_refused(&parts, b"{}", "not ASCII text");
    let mut upper = signed_request(b"{}");
    let text = upper.headers["authorization"].to_str().unwrap().to_owned();
    let (rest, signature) = text.rsplit_once('=').unwrap();
    let text = format!("{rest}={}", signature.to_uppercase());
    upper
        .headers
        .insert("authorization", HeaderValue::try_from(text).unwrap());
    check_refused(&upper, b"{}", "64 lower-case hexadecimal digits");
}

#[test]
fn headers_that_are_not_signed_are_free_but_those_of_aws_are_not() {
    let mut parts = with("user-agent", "anybody");
    parts
        .headers
        .insert("accept", HeaderValue::from_static("*/*"));
    assert_eq!(verify(&parts, b"{}", NOW_S), Ok(()));
    check_refused(
        &with("x-amz-more", "1"),
        b"{}",
        "'x-amz-more' must be a 'SignedHeader'",
    );
    check_refused(
        &with("x-amz-security-token", "t"),
        b"{}",
        "'x-amz-security-token' must be",
    );
    let mut parts = signed_request(b"{}");
    parts.headers.remove("x-amz-log-type");
    check_refused(
        &parts,
        b"{}",
        "names 'x-amz-log-type', which the request does not have",
    );
    for name in ["host", "x-amz-date", "x-amz-log-type"] {
        let mut parts = signed_request(b"{}");
        let value = parts.headers[name].clone();
        parts.headers.append(name, value);
        check_refused(&parts, b"{}", &format!("'{name}' twice"));
    }
}

#[test]
fn values_are_signed_without_the_spaces_that_do_not_count() {
    let value = |parts: &mut Parts, value: &[u8]| {
        let value = HeaderValue::from_bytes(value).unwrap();
        parts.headers.insert("x-amz-log-type", value);
    };
    let signed_with = |text: &[u8]| {
        let mut parts = signed_request(b"{}");
        value(&mut parts, text);
        parts.headers.remove("authorization");
        sign(&mut parts, b"{}", &signer("us-east-1"), "lambda", NOW_S).unwrap();
        parts
    };
    let mut parts = signed_with(b"a b");
    for same in [&b"a b"[..], b"  a   b ", b"a  b"] {
        value(&mut parts, same);
        assert_eq!(verify(&parts, b"{}", NOW_S), Ok(()));
    }
    for other in [&b"ab"[..], b"a\tb", b"A b", b"a b,", b""] {
        value(&mut parts, other);
        assert_eq!(verify(&parts, b"{}", NOW_S), Err(AuthError::Mismatch));
    }
    assert_eq!(verify(&signed_with(b"gr\xfc\xdfe"), b"{}", NOW_S), Ok(()));
    // Two values of a header that may have two are one, joined.
    let mut parts = signed_request(b"{}");
    parts
        .headers
        .insert("content-type", HeaderValue::from_static("a,b"));
    sign(&mut parts, b"{}", &signer("us-east-1"), "lambda", NOW_S).unwrap();
    parts
        .headers
        .insert("content-type", HeaderValue::from_static("a"));
    parts
        .headers
        .append("content-type", HeaderValue::from_static(" b"));
    assert_eq!(verify(&parts, b"{}", NOW_S), Ok(()));
}

#[test]
fn the_date_may_be_five_minutes_off() {
    let parts = signed_request(b"{}");
    for off_s in [-300, -299, 0, 299, 300] {
        assert_eq!(verify(&parts, b"{}", NOW_S + off_s), Ok(()), "{off_s}");
    }
    assert_eq!(
        verify(&parts, b"{}", NOW_S + 301).unwrap_err().to_string(),
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    );
    assert_eq!(
        verify(&parts, b"{}", NOW_S - 301).unwrap_err().to_string(),
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    );
    for (date, part) in [
        ("20150830T123600.000Z", "as YYYYMMDDTHHMMSSZ"),
        ("2015-08-30T12:36:00Z", "as YYYYMMDDTHHMMSSZ"),
        ("", "as YYYYMMDDTHHMMSSZ"),
        ("20150230T123600Z", "as YYYYMMDDTHHMMSSZ"),
        ("19691231T235959Z", "'20150830' != '19691231'"),
        ("99981231T235959Z", "'20150830' != '99981231'"),
        ("20150830T123601Z", "does not match the signature"),
    ] {
        check_refused(&with("x-amz-date", date), b"{}", part);
    }
    let mut parts = signed_request(b"{}");
    parts.headers.remove("x-amz-date");
    parts.headers.insert(
        "date",
        HeaderValue::from_static("Sun, 30 Aug 2015 12:36:00 GMT"),
    );
    let text = parts.headers["authorization"]
        .to_str()
        .unwrap()
        .replace("x-amz-date;", "");
    parts
        .headers
        .insert("authorization", HeaderValue::try_from(text).unwrap());
    check_refused(&parts, b"{}", "existence of a 'X-Amz-Date' header");
    for year in ["1969", "9998"] {
        let at = Date::parse(&format!("{year}0830T123600Z")).unwrap().unix_s;
        let mut parts = signed_request(b"{}");
        sign(&mut parts, b"{}", &signer("us-east-1"), "lambda", at).unwrap();
        check_refused(&parts, b"{}", "Signature ");
        assert_eq!(verify(&parts, b"{}", at), Ok(()));
    }
}

#[test]
fn the_body_is_hashed_here() {
    check_refused(
        &signed_request(b"{}"),
        b"{ }",
        "'x-amz-content-sha256' header does not match",
    );
    check_refused(
        &signed_request(b""),
        b"{}",
        "'x-amz-content-sha256' header does not match",
    );
    for payload in [
        "UNSIGNED-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "",
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
    ] {
        let parts = with("x-amz-content-sha256", payload);
        check_refused(&parts, b"{}", "must be the SHA-256 of the body");
    }
}

/// Signs in the query, by hand: what our own client never does.
fn presigned(expires: &str, more: &str) -> Parts {
    let query = format!(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={ID}%2F20150830%2Fus-east-1%2Flambda%2Faws4_request&X-Amz-Date=20150830T123600Z&X-Amz-Expires={expires}&X-Amz-SignedHeaders=host{more}"
    );
    let unsigned = format!("/2015-03-31/functions/f?{query}");
    let build = |uri: &str| {
        let request = Request::get(uri).header("host", "127.0.0.1:3002");
        request.body(()).unwrap().into_parts().0
    };
    let parts = build(&unsigned);
    let head = canonical::head(&parts, &["host"], None).unwrap();
    let scope = Scope {
        date: "20150830".to_owned(),
        region: "us-east-1".into(),
        service: "lambda".to_owned(),
        terminator: TERMINATOR.to_owned(),
    };
    let date = Date::at(NOW_S);
    let mut mac = keyed(signing_key::derive(&secret(), &scope).as_ref());
    mac.update(string_to_sign(&date, &scope, &head, &Sha256::digest(b"").into()).as_bytes());
    let signature = hex(&mac.finalize().into_bytes());
    build(&format!("{unsigned}&X-Amz-Signature={signature}"))
}

#[test]
fn a_presigned_request_is_good_for_as_long_as_it_says() {
    let hour = presigned("3600", "");
    for off_s in [-300, 0, 3_600] {
        assert_eq!(verify(&hour, b"", NOW_S + off_s), Ok(()), "{off_s}");
    }
    let late = verify(&hour, b"", NOW_S + 3_601).unwrap_err().to_string();
    assert!(
        late.ends_with("- 3600 sec.)") && late.starts_with("Signature expired: "),
        "{late}"
    );
    let early = verify(&hour, b"", NOW_S - 301).unwrap_err().to_string();
    assert!(early.starts_with("Signature not yet current: "), "{early}");
    assert_eq!(verify(&presigned("604800", ""), b"", NOW_S), Ok(()));
    for bad in ["604801", "0", "-1", "+5", "", "1e3", "99999999999999999999"] {
        check_refused(&presigned(bad, ""), b"", "X-Amz-Expires");
    }
    check_refused(&hour, b"x", "does not match the signature");
}

#[test]
fn the_parameters_of_a_presigned_request_stand_there_once_in_any_order() {
    let parts = presigned("60", "&a=2&a=1");
    let reordered = |change: &dyn Fn(&str) -> String| {
        let mut parts = parts.clone();
        let uri = format!(
            "{}?{}",
            parts.uri.path(),
            change(parts.uri.query().unwrap())
        );
        parts.uri = uri.parse().unwrap();
        parts
    };
    let reversed = reordered(&|query| query.rsplit('&').collect::<Vec<_>>().join("&"));
    assert_eq!(verify(&reversed, b"", NOW_S), Ok(()));
    for name in [
        "X-Amz-Date",
        "X-Amz-Signature",
        "X-Amz-Credential",
        "X-Amz-Expires",
        "X-Amz-Algorithm",
        "X-Amz-SignedHeaders",
    ] {
        let twice = reordered(&|query| {
            let pair = query
                .split('&')
                .find(|pair| pair.starts_with(name))
                .unwrap();
            format!("{query}&{pair}")
        });
        check_refused(&twice, b"", "twice");
        let without = reordered(&|query| {
            let rest = query.split('&').filter(|pair| !pair.starts_with(name));
            rest.collect::<Vec<_>>().join("&")
        });
        check_refused(&without, b"", "must include");
    }
    let broken = reordered(&|query| format!("{query}&b=%zz"));
    check_refused(&broken, b"", "not percent-encoded");
    let other = reordered(&|query| query.replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"));
    check_refused(&other, b"", "X-Amz-Algorithm must be");
    let mut both = parts.clone();
    let header = signed_request(b"").headers["authorization"].clone();
    both.headers.insert("authorization", header);
    check_refused(&both, b"", "not in both");
    let mut more = parts.clone();
    more.headers
        .insert("x-amz-log-type", HeaderValue::from_static("Tail"));
    check_refused(&more, b"", "'x-amz-log-type' must be a 'SignedHeader'");
    let mut method = parts;
    method.method = Method::DELETE;
    check_refused(&method, b"", "does not match the signature");
}

#[test]
fn a_kept_signing_key_is_used_again_and_only_good_ones_are_kept() {
    let keys = SigningKeys::default();
    let parts = signed_request(b"{}");
    let signed = Signed::parse(&parts).unwrap();
    let wrong = Secret::new("wrong".to_owned());
    assert_eq!(
        signed.verify(b"{}", &wrong, &keys),
        Err(AuthError::Mismatch)
    );
    assert_eq!(signed.verify(b"{}", &secret(), &keys), Ok(()));
    assert_eq!(signed.verify(b"{}", &secret(), &keys), Ok(()));
    assert_eq!(signed.verify_in_vain(), AuthError::UnknownKey);
}

#[test]
fn nothing_of_a_signature_is_printed() {
    let signed = Signed::parse(&signed_request(b"{}")).unwrap();
    let printed = format!("{signed:?} {:?} {:?}", signer("r"), SigningKeys::default());
    assert!(
        !printed.contains(&hex(signed.signature())) && !printed.contains(SECRET),
        "{printed}"
    );
}
