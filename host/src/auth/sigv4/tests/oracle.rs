//! Against the implementation of AWS: what it signs is taken, and we sign the same.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{
    PayloadChecksumKind, SignableBody, SignableRequest, SignatureLocation, SigningSettings,
};
use aws_sigv4::sign::v4;
use http::Method;
use proptest::prelude::*;

use super::*;

/// A request before it is signed.
#[derive(Debug, Clone)]
struct Plain {
    method: Method,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Plain {
    fn parts(&self) -> Parts {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri(&self.target)
            .header("host", "127.0.0.1:3002");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Signed by the implementation of AWS.
    fn signed_by_aws(&self, settings: SigningSettings) -> Parts {
        let identity = Credentials::new(ID, SECRET, None, None, "test").into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region("eu-west-3")
            .name("lambda")
            .time(UNIX_EPOCH + Duration::from_secs(NOW_S.unsigned_abs()))
            .settings(settings)
            .build()
            .unwrap();
        let uri = format!("http://127.0.0.1:3002{}", self.target);
        let headers = self.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let request = SignableRequest::new(
            self.method.as_str(),
            uri.clone(),
            headers,
            SignableBody::Bytes(&self.body),
        );
        let signed = aws_sigv4::http_request::sign(request.unwrap(), &params.into());
        let (instructions, _) = signed.unwrap().into_parts();
        let mut request = Request::from_parts(self.parts(), ());
        *request.uri_mut() = uri.parse().unwrap();
        instructions.apply_to_request_http1x(&mut request);
        let mut parts = request.into_parts().0;
        parts.uri = parts
            .uri
            .path_and_query()
            .unwrap()
            .as_str()
            .parse()
            .unwrap();
        parts
    }
}

fn text(pattern: &'static str) -> impl Strategy<Value = String> {
    proptest::string::string_regex(pattern).unwrap()
}

fn plain() -> impl Strategy<Value = Plain> {
    let method = prop_oneof![
        Just(Method::GET),
        Just(Method::POST),
        Just(Method::PUT),
        Just(Method::DELETE),
    ];
    // Names, resource names with `:` and `%3A`, text beyond ASCII, and what paths must not hold bare.
    let segment = text(
        "[a-zA-Z0-9._~:@$-]{1,12}|%3A|(%(C[2-9A-F]|D[0-9A-F])%[89AB][0-9A-F]){1,3}|\\.|\\.\\.|",
    );
    let path = prop::collection::vec(segment, 0..6).prop_map(|s| format!("/{}", s.join("/")));
    let value =
        text("[a-zA-Z0-9._~!*:,/-]{0,8}|%20|%2B|\\+|(%(C[2-9A-F]|D[0-9A-F])%[89AB][0-9A-F]){1,2}");
    let pair = (text("[a-zA-Z0-9._-]{1,6}|%C3%A9|%3D"), value)
        .prop_map(|(name, value)| format!("{name}={value}"));
    let query = prop::collection::vec(pair, 0..5).prop_map(|pairs| pairs.join("&"));
    let name = text("x-amz-[a-z]{3,8}|content-type|x-other");
    let value = text("[!-~]( {0,3}[!-~]){0,10}");
    let headers = prop::collection::btree_map(name, value, 0..4);
    let body = prop::collection::vec(any::<u8>(), 0..64);
    (method, path, query, headers, body).prop_map(|(method, path, query, headers, body)| Plain {
        method,
        target: if query.is_empty() {
            path
        } else {
            format!("{path}?{query}")
        },
        headers: headers.into_iter().collect(),
        body,
    })
}

proptest! {
    #[test]
    fn what_aws_signs_in_the_header_is_taken(plain in plain(), with_hash: bool) {
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = if with_hash {
            PayloadChecksumKind::XAmzSha256
        } else {
            PayloadChecksumKind::NoHeader
        };
        let parts = plain.signed_by_aws(settings);
        prop_assert_eq!(verify(&parts, &plain.body, NOW_S), Ok(()));
        let signed = Signed::parse(&parts).unwrap();
        prop_assert_eq!(&**signed.region(), "eu-west-3");
        prop_assert_eq!(signed.service(), "lambda");
    }

    #[test]
    fn what_aws_signs_in_the_query_is_taken(plain in plain(), expires_s in 1_u64..=604_800) {
        let mut settings = SigningSettings::default();
        settings.signature_location = SignatureLocation::QueryParams;
        settings.expires_in = Some(Duration::from_secs(expires_s));
        let parts = plain.signed_by_aws(settings);
        prop_assert_eq!(verify(&parts, &plain.body, NOW_S), Ok(()));
    }

    #[test]
    fn we_sign_as_aws_does(mut plain in plain()) {
        // Ours covers these headers and no others.
        plain.headers.retain(|(name, _)| name != "x-other");
        let mut settings = SigningSettings::default();
        settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
        let theirs = plain.signed_by_aws(settings);
        let mut ours = plain.parts();
        sign(&mut ours, &plain.body, &signer("eu-west-3"), "lambda", NOW_S).unwrap();
        prop_assert_eq!(&ours.headers["authorization"], &theirs.headers["authorization"]);
    }

    #[test]
    fn no_head_makes_it_panic(authorization: Vec<u8>, date: Vec<u8>, query in "[ -~]{0,60}") {
        let mut parts = signed_request(b"");
        let uri = format!("/?X-Amz-Signature=1&{query}");
        if let Ok(uri) = uri.parse() {
            parts.uri = uri;
        }
        if let Ok(value) = http::HeaderValue::from_bytes(&date) {
            parts.headers.insert("x-amz-date", value);
        }
        let header = [b"AWS4-HMAC-SHA256 ".as_slice(), &authorization].concat();
        match http::HeaderValue::from_bytes(&header) {
            Ok(value) => parts.headers.insert("authorization", value),
            Err(_) => parts.headers.remove("authorization"),
        };
        prop_assert!(verify(&parts, b"", NOW_S).is_err());
    }
}
