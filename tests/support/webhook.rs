//! A server that records are posted to: it keeps them, and answers as it is told.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::until;

/// Bytes of a block of SHA-256.
const BLOCK: usize = 64;

/// A server that keeps what is posted to it.
#[derive(Debug, Clone)]
pub struct Webhook {
    address: SocketAddr,
    posts: Arc<Mutex<Vec<Post>>>,
    answers: Arc<Mutex<VecDeque<String>>>,
    otherwise: Arc<Mutex<String>>,
}

/// What was posted.
#[derive(Debug, Clone)]
pub struct Post {
    /// The method, the path and the version.
    pub line: String,
    headers: HashMap<String, String>,
    /// The body.
    pub body: Vec<u8>,
}

impl Post {
    /// A header, by its name in lower case.
    #[track_caller]
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        match self.headers.get(name) {
            Some(value) => value,
            None => panic!("no header {name} in {:?}", self.headers),
        }
    }

    /// The body, as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// What `x-mayfly-signature` has to be with this key, at the time that it says.
    #[must_use]
    pub fn expected_signature(&self, key: &str) -> String {
        let said = self.header("x-mayfly-signature");
        let (time, _) = said.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
        let event = self.header("x-mayfly-event-id");
        let start = format!("{time}.{event}.");
        let signed = [start.as_bytes(), &self.body].concat();
        format!("t={time},v1={}", hmac_hex(key, &signed))
    }
}

impl Webhook {
    /// One that answers with 200.
    #[must_use]
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            posts: Arc::default(),
            answers: Arc::default(),
            otherwise: Arc::new(Mutex::new("200 OK".to_owned())),
        };
        let serving = server.clone();
        // It ends with the process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                serving.serve(stream);
            }
        });
        server
    }

    /// Where a path is.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The key of a server with this secret for this receiver.
    #[must_use]
    pub fn key(&self, secret: &str) -> String {
        hmac_hex(secret, self.url("").as_bytes())
    }

    /// Answers the next post with this status line and these headers, such as `500 Oops`.
    pub fn answer_next(&self, head: &str) {
        self.answers.lock().unwrap().push_back(head.to_owned());
    }

    /// Answers every post so from now on, unless it was told of that one.
    pub fn answer_always(&self, head: &str) {
        head.clone_into(&mut self.otherwise.lock().unwrap());
    }

    /// What was posted so far.
    #[must_use]
    pub fn posts(&self) -> Vec<Post> {
        self.posts.lock().unwrap().clone()
    }

    /// Waits until something was posted this many times; all of it.
    #[track_caller]
    #[must_use]
    pub fn wait_posts(&self, count: usize) -> Vec<Post> {
        until(&format!("{count} posts"), || {
            Some(self.posts()).filter(|posts| posts.len() >= count)
        })
    }

    fn serve(&self, stream: TcpStream) {
        let mut reader = BufReader::new(stream);
        let (mut line, mut headers) = (String::new(), HashMap::new());
        let mut first = String::new();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
            let text = std::mem::take(&mut line);
            match text.trim_end().split_once(": ") {
                Some((name, value)) => {
                    headers.insert(name.to_ascii_lowercase(), value.to_owned());
                }
                None => text.trim_end().clone_into(&mut first),
            }
        }
        let length = headers.get("content-length");
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let line = first;
        self.posts.lock().unwrap().push(Post {
            line,
            headers,
            body,
        });
        let next = self.answers.lock().unwrap().pop_front();
        let head = next.unwrap_or_else(|| self.otherwise.lock().unwrap().clone());
        let answer = format!("HTTP/1.1 {head}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        let _written = reader.get_mut().write_all(answer.as_bytes());
    }
}

fn hmac_hex(key: &str, message: &[u8]) -> String {
    let code = hmac_sha256(key.as_bytes(), message);
    code.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// RFC 2104, written out: what is checked was made by a library.
fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    assert!(key.len() <= BLOCK, "a longer key would be hashed first");
    let padded = |with: u8| {
        let mut block = [with; BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        block
    };
    let inner = Sha256::new()
        .chain_update(padded(0x36))
        .chain_update(message);
    let outer = Sha256::new().chain_update(padded(0x5c));
    outer.chain_update(inner.finalize()).finalize().into()
}
