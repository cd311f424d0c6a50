//! An issuer of tokens: keys, a server that shows them, and tokens of every kind.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::{Value, json};

/// A key pair that signs tokens by ES256.
pub struct Issuer {
    key_id: String,
    signing: EncodingKey,
    jwk: Value,
}

impl std::fmt::Debug for Issuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issuer").field("jwk", &self.jwk).finish()
    }
}

impl Issuer {
    /// One with a new key of this name.
    ///
    /// # Panics
    ///
    /// When no key can be made.
    #[must_use]
    pub fn new(key_id: &str) -> Self {
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        // An uncompressed point: 4, x, y.
        let point = pair.public_key_raw();
        let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
        Self {
            key_id: key_id.to_owned(),
            signing: EncodingKey::from_ec_der(&pair.serialize_der()),
            jwk: json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": key_id, "x": x, "y": y}),
        }
    }

    /// Its public key.
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// Its key set.
    #[must_use]
    pub fn key_set(&self) -> String {
        json!({"keys": [self.jwk]}).to_string()
    }

    /// A token with these claims.
    ///
    /// # Panics
    ///
    /// When they can't be written.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.key_id.clone());
        self.token_with(&header, claims)
    }

    /// A token with this header.
    ///
    /// # Panics
    ///
    /// When it can't be written.
    #[must_use]
    pub fn token_with(&self, header: &Header, claims: &Value) -> String {
        jsonwebtoken::encode(header, claims, &self.signing).unwrap()
    }
}

/// A token that its own header asks to check with a secret, or not at all.
///
/// # Panics
///
/// When it can't be written.
#[must_use]
pub fn forged(algorithm: Option<Algorithm>, key_id: &str, claims: &Value, secret: &[u8]) -> String {
    let Some(algorithm) = algorithm else {
        let head = json!({"alg": "none", "typ": "JWT", "kid": key_id}).to_string();
        let (head, body) = (
            encode(head.as_bytes()),
            encode(claims.to_string().as_bytes()),
        );
        return format!("{head}.{body}.");
    };
    let mut header = Header::new(algorithm);
    header.kid = Some(key_id.to_owned());
    jsonwebtoken::encode(&header, claims, &EncodingKey::from_secret(secret)).unwrap()
}

/// A server that answers every path with a document, and counts.
#[derive(Debug, Clone)]
pub struct DocumentServer {
    address: SocketAddr,
    documents: Arc<Mutex<Vec<(String, String)>>>,
    asked: Arc<AtomicUsize>,
}

impl DocumentServer {
    /// One without documents; what is not there is a 404.
    ///
    /// # Panics
    ///
    /// When there is no port for it.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            documents: Arc::default(),
            asked: Arc::default(),
        };
        let serving = server.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(stream);
                let mut line = String::new();
                let mut head = String::new();
                while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
                    head.push_str(&std::mem::take(&mut line));
                }
                let answer = serving.answer(head.split(' ').nth(1).unwrap_or(""));
                let _written = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        server
    }

    /// Where a path is.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Puts a document at a path.
    ///
    /// # Panics
    ///
    /// When the server panicked.
    pub fn put(&self, path: &str, document: &str) {
        let mut documents = self.documents.lock().unwrap();
        documents.retain(|(known, _)| known != path);
        documents.push((path.to_owned(), document.to_owned()));
    }

    /// How often it was asked.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    fn answer(&self, path: &str) -> String {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let documents = self.documents.lock().unwrap();
        let found = documents.iter().find(|(known, _)| known == path);
        let (status, body) = found.map_or(("404 Not Found", ""), |(_, body)| ("200 OK", body));
        format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
    }
}

fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
