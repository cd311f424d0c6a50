//! Reads answers off a connection and says whether each is the right one.
//!
//! Reads what servers in this benchmark send: HTTP/1.1 with a length or in chunks. Knows nothing of
//! time or of connections.

use std::borrow::Cow;

use anyhow::{Context as _, bail};

/// Most headers of an answer.
const HEADERS_MAX: usize = 32;

/// The only right answer.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    /// Status code.
    pub(crate) status: u16,
    /// Every byte of the body; none where any body will do.
    pub(crate) body: Option<Vec<u8>>,
}

/// Where the first answer in a buffer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Read {
    /// More bytes are to come.
    Partial,
    /// The answer is right and has this many bytes.
    Right(usize),
}

/// Looks for one answer at the start of `bytes`.
///
/// # Errors
///
/// When it is not the expected one, or not one at all.
pub(crate) fn read(bytes: &[u8], expected: &Expected) -> anyhow::Result<Read> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Response::new(&mut headers);
    let head_length = match head.parse(bytes).context("an answer is not HTTP")? {
        httparse::Status::Partial => return Ok(Read::Partial),
        httparse::Status::Complete(length) => length,
    };
    let rest = &bytes[head_length..];
    let body = match length(head.headers)? {
        Length::Bytes(length) if rest.len() < length => None,
        Length::Bytes(length) => Some((Cow::Borrowed(&rest[..length]), length)),
        Length::Chunks => read_chunks(rest)?.map(|(body, length)| (Cow::Owned(body), length)),
    };
    let Some((body, body_length)) = body else {
        return Ok(Read::Partial);
    };
    let status = head.code.unwrap_or_default();
    let wrong_body = expected.body.as_ref().is_some_and(|right| *right != *body);
    if status != expected.status || wrong_body {
        let body = String::from_utf8_lossy(&body[..body.len().min(500)]).into_owned();
        bail!("a wrong answer: status {status}, body `{body}`");
    }
    Ok(Read::Right(head_length + body_length))
}

/// How the end of a body is known.
enum Length {
    Bytes(usize),
    Chunks,
}

fn length(headers: &[httparse::Header<'_>]) -> anyhow::Result<Length> {
    for header in headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            let text = std::str::from_utf8(header.value)?;
            return Ok(Length::Bytes(text.parse().context("a content-length")?));
        }
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Ok(Length::Chunks);
        }
    }
    bail!("an answer without a length");
}

/// The body that chunks make, and how many bytes they took; none while some are missing.
fn read_chunks(bytes: &[u8]) -> anyhow::Result<Option<(Vec<u8>, usize)>> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let parsed = httparse::parse_chunk_size(&bytes[at..])
            .map_err(|_invalid| anyhow::anyhow!("a chunk without a size"))?;
        let httparse::Status::Complete((start, size)) = parsed else {
            return Ok(None);
        };
        let start = at + start;
        let end = start + usize::try_from(size).context("a chunk's size")?;
        let Some(after) = bytes.get(end..end + 2) else {
            return Ok(None);
        };
        if after != b"\r\n" {
            bail!("a chunk that does not end (trailers are not read)");
        }
        body.extend_from_slice(&bytes[start..end]);
        at = end + 2;
        if size == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(body: &str) -> Expected {
        Expected {
            status: 200,
            body: Some(body.as_bytes().to_vec()),
        }
    }

    /// Every cut of `answer` is partial, and the whole of it, with more behind it, is right.
    #[track_caller]
    fn check_right(answer: &str, expected: &Expected) {
        for cut in 0..answer.len() {
            let cut = &answer.as_bytes()[..cut];
            assert_eq!(read(cut, expected).unwrap(), Read::Partial);
        }
        let two = [answer, "HTTP/1.1 500"].concat();
        let read = read(two.as_bytes(), expected).unwrap();
        assert_eq!(read, Read::Right(answer.len()));
    }

    #[test]
    fn an_answer_with_a_length_is_read_to_its_end() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nDate: today\r\n\r\nhello";
        check_right(answer, &ok("hello"));
        check_right("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", &ok(""));
    }

    #[test]
    fn an_answer_in_chunks_is_put_together() {
        let answer =
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n";
        check_right(answer, &ok("hello"));
    }

    #[test]
    fn another_status_or_body_is_an_error_that_shows_it() {
        let answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 5\r\n\r\nhello";
        let error = read(answer, &ok("hello")).unwrap_err().to_string();
        assert_eq!(error, "a wrong answer: status 502, body `hello`");
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhallo";
        let error = read(answer, &ok("hello")).unwrap_err().to_string();
        assert_eq!(error, "a wrong answer: status 200, body `hallo`");
        let any = Expected {
            status: 200,
            body: None,
        };
        assert_eq!(read(answer, &any).unwrap(), Read::Right(answer.len()));
    }

    #[test]
    fn what_has_no_end_is_an_error() {
        for answer in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
            "SSH-2.0-OpenSSH\r\n\r\n",
        ] {
            assert!(read(answer.as_bytes(), &ok("")).is_err(), "{answer}");
        }
    }
}
