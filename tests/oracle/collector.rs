//! A destination: takes the records of events that ended, and refuses some of them at first.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;

/// Every so many deliveries is refused once.
const REFUSED_EVERY: u64 = 13;

/// Records of an event, and the condition that each named.
pub(crate) type Deliveries = HashMap<String, Vec<String>>;

/// Receives records.
#[derive(Debug)]
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    requests: u64,
    deliveries: Deliveries,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let taken: Arc<Mutex<Taken>> = Arc::default();
        let all = Arc::clone(&taken);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&all);
                // Ends with the connection.
                drop(std::thread::spawn(move || serve(stream, &taken)));
            }
        });
        Self { address, taken }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn deliveries(&self) -> Deliveries {
        self.taken.lock().unwrap().deliveries.clone()
    }
}

fn serve(stream: TcpStream, taken: &Mutex<Taken>) {
    let Ok(mut writer) = stream.try_clone() else {
        return;
    };
    let mut reader = BufReader::new(stream);
    while let Some(body) = read_body(&mut reader) {
        let status = if take(&body, taken) {
            "204 No Content"
        } else {
            "503 Service Unavailable"
        };
        let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
        // 204 has no length.
        let answer = answer.replace("No Content\r\ncontent-length: 0", "No Content");
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

/// Whether a record is taken.
fn take(body: &[u8], taken: &Mutex<Taken>) -> bool {
    let mut taken = taken.lock().unwrap();
    taken.requests += 1;
    if taken.requests.is_multiple_of(REFUSED_EVERY) {
        return false;
    }
    let record: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
    let text = |key: &str| {
        record["requestContext"][key]
            .as_str()
            .unwrap_or("")
            .to_owned()
    };
    let conditions = taken.deliveries.entry(text("requestId")).or_default();
    conditions.push(text("condition"));
    true
}

/// The body of the next request; `None` when there is none.
fn read_body(reader: &mut BufReader<TcpStream>) -> Option<Vec<u8>> {
    let mut length = 0;
    let mut is_first = true;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        let line = line.trim_end();
        if line.is_empty() && !is_first {
            break;
        }
        is_first = false;
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(body)
}
