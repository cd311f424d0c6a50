//! An HTTP/1.1 client that sends what it is told and hides nothing.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    is_unsigned: bool,
}

impl Request {
    /// `method target` without headers and body.
    #[must_use]
    pub fn new(method: &str, target: &str) -> Self {
        let (headers, body) = (Vec::new(), Vec::new());
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers,
            body,
            is_unsigned: false,
        }
    }

    /// A GET.
    #[must_use]
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST.
    #[must_use]
    pub fn post(target: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: body.into(),
            ..Self::new("POST", target)
        }
    }

    /// With this body.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds a header. `host` replaces the usual one.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Changes the value of a header that is there.
    #[must_use]
    pub fn change_header(mut self, name: &str, change: impl Fn(&str) -> String) -> Self {
        for (known, value) in &mut self.headers {
            if known.eq_ignore_ascii_case(name) {
                *value = change(value);
            }
        }
        self
    }

    /// Another target, whatever was signed.
    #[must_use]
    pub fn with_target(mut self, target: &str) -> Self {
        target.clone_into(&mut self.target);
        self
    }

    /// Is sent to the control API without a signature.
    #[must_use]
    pub fn unsigned(mut self) -> Self {
        self.is_unsigned = true;
        self
    }

    /// Whether it is to be signed for the control API: it did not opt out, and brings none.
    pub(crate) fn wants_signature(&self) -> bool {
        !self.is_unsigned && !self.has("authorization") && !self.target.contains("X-Amz-Signature")
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn target(&self) -> &str {
        &self.target
    }

    pub(crate) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(crate) fn host(&self) -> Option<&str> {
        let mut headers = self.headers.iter();
        let host = headers.find(|(name, _)| name.eq_ignore_ascii_case("host"));
        host.map(|(_, value)| value.as_str())
    }

    /// Headers that a signature covers, but for the host.
    pub(crate) fn headers_to_sign(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = [
            "host",
            "connection",
            "transfer-encoding",
            "expect",
            "content-length",
        ];
        let is_signed = move |name: &str| !own.iter().any(|own| name.eq_ignore_ascii_case(own));
        self.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .filter(move |(name, _)| is_signed(name))
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    fn to_bytes(&self, address: SocketAddr) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if !self.body.is_empty() && !self.has("content-length") && !self.has("transfer-encoding") {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        head += "\r\n";
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// A response, complete.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers as they were sent, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of a name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// All headers of a name.
    #[must_use]
    pub fn headers_of(&self, name: &str) -> Vec<&str> {
        let same = self.headers.iter().filter(|(known, _)| known == name);
        same.map(|(_, value)| value.as_str()).collect()
    }

    /// The invocation's id.
    #[track_caller]
    #[must_use]
    pub fn request_id(&self) -> String {
        self.header("x-amzn-requestid").unwrap().to_owned()
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    #[must_use]
    pub fn json(&self) -> Value {
        match serde_json::from_slice(&self.body) {
            Ok(value) => value,
            Err(error) => panic!("{error}: {} {}", self.status, self.text()),
        }
    }
}

/// A connection, kept as long as both sides like.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    ///
    /// When nobody listens.
    pub fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            address,
            stream: BufReader::new(stream),
        })
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    ///
    /// When the connection ends before the response does.
    pub fn send(&mut self, request: &Request) -> io::Result<Response> {
        self.write(&request.to_bytes(self.address))?;
        self.read_response_to(&request.method)
    }

    /// Sends a request and reads nothing.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn start(&mut self, request: &Request) -> io::Result<()> {
        self.write(&request.to_bytes(self.address))
    }

    /// Sends bytes.
    ///
    /// # Errors
    ///
    /// When the connection has ended.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Reads one response to a request that was not a HEAD.
    ///
    /// # Errors
    ///
    /// When the connection ends before the response does.
    pub fn read_response(&mut self) -> io::Result<Response> {
        self.read_response_to("GET")
    }

    /// Reads until `part` has come, and returns all that came.
    ///
    /// # Errors
    ///
    /// When the connection ends before.
    pub fn read_until(&mut self, part: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        while !bytes
            .windows(part.len())
            .any(|window| window == part.as_bytes())
        {
            let more = self.stream.fill_buf()?;
            if more.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let read = more.len();
            bytes.extend_from_slice(more);
            self.stream.consume(read);
        }
        Ok(bytes)
    }

    /// Reads what comes until the other side closes; a reset counts as a close.
    #[must_use]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ended = self.stream.read_to_end(&mut bytes);
        bytes
    }

    fn read_response_to(&mut self, method: &str) -> io::Result<Response> {
        let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
        let status_line = self.read_line()?;
        let mut words = status_line.split(' ');
        let version = words.next().unwrap_or("");
        let status: u16 = words
            .next()
            .and_then(|word| word.parse().ok())
            .filter(|_| version.starts_with("HTTP/1."))
            .ok_or_else(|| bad(&format!("not a status line: {status_line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| bad("a header without colon"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        let has_no_body = method == "HEAD" || status == 204 || status == 304 || status < 200;
        if !has_no_body {
            response.body = self.read_body(&response)?;
        }
        Ok(response)
    }

    fn read_body(&mut self, response: &Response) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = self.read_line()?;
                let size = usize::from_str_radix(size.trim(), 16)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let mut chunk = vec![0; size];
                self.stream.read_exact(&mut chunk)?;
                body.extend_from_slice(&chunk);
                self.read_line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match response
            .header("content-length")
            .and_then(|length| length.parse().ok())
        {
            Some(length) => {
                body = vec![0; length];
                self.stream.read_exact(&mut body)?;
            }
            None => {
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn read_line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(String::from_utf8_lossy(&line).into_owned())
    }
}

/// Sends one request on a connection of its own.
///
/// # Errors
///
/// When nobody listens, or the connection ends before the response does.
pub fn send(address: SocketAddr, request: &Request) -> io::Result<Response> {
    let mut request = request.clone();
    if !request.has("connection") {
        request = request.header("connection", "close");
    }
    Connection::open(address)?.send(&request)
}
