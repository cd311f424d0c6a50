//! The path of a request: split first, decoded once.

/// Why a request path belongs to nobody. The answer is 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Does not start with `/`.
    #[error("the path must start with `/`")]
    NoSlash,
    /// `%` without two hexadecimal digits.
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    Percent,
    /// Decodes to something that is not UTF-8.
    #[error("the path is not UTF-8 after percent-decoding")]
    Utf8,
    /// `.` or `..`, plain or encoded.
    #[error("the path has a `.` or `..` segment")]
    Dots,
    /// A slash, a backslash or a NUL inside a segment.
    #[error("the path has an encoded slash, a backslash or a NUL")]
    Ambiguous,
}

/// A request's path, split and decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestPath {
    pub(super) segments: Vec<Box<str>>,
}

impl RequestPath {
    /// Splits and decodes the path of a request target.
    ///
    /// # Errors
    ///
    /// [`PathError`] when it could mean different things to different readers.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let rest = raw.strip_prefix('/').ok_or(PathError::NoSlash)?;
        let segments = rest
            .split('/')
            .map(decode_segment)
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// Whether there are slashes in a row. Signatures take them for one, and routes don't.
    #[must_use]
    pub fn has_empty_part(&self) -> bool {
        let inner = self
            .segments
            .split_last()
            .map_or(&[][..], |(_, inner)| inner);
        inner.iter().any(|segment| segment.is_empty())
    }

    /// The decoded path, from its first slash.
    #[must_use]
    pub fn decoded(&self) -> String {
        let mut path = String::with_capacity(64);
        for segment in &self.segments {
            path.push('/');
            path.push_str(segment);
        }
        path
    }
}

fn decode_segment(raw: &str) -> Result<Box<str>, PathError> {
    let decoded = if raw.contains('%') {
        let bytes = decode_percent(raw.as_bytes()).ok_or(PathError::Percent)?;
        String::from_utf8(bytes)
            .map_err(|_| PathError::Utf8)?
            .into_boxed_str()
    } else {
        Box::from(raw)
    };
    match &*decoded {
        "." | ".." => Err(PathError::Dots),
        text if text.contains(['/', '\\', '\0']) => Err(PathError::Ambiguous),
        _ => Ok(decoded),
    }
}

/// Decodes `%XX`, once; `None` when a `%` is not followed by two hexadecimal digits.
#[must_use]
pub fn decode_percent(raw: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'%' {
            let high = char::from(*bytes.next()?).to_digit(16)?;
            let low = char::from(*bytes.next()?).to_digit(16)?;
            decoded.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            decoded.push(*byte);
        }
    }
    Some(decoded)
}
