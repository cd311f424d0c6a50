//! A route as a manifest writes it: a method and a path pattern.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most segments of a route, so that matching is bounded.
pub const ROUTE_SEGMENTS_MAX: usize = 32;

/// A method that a route answers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RouteMethod {
    /// Every method.
    Any,
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
    /// `HEAD`; never implied by `GET`.
    Head,
    /// `OPTIONS`.
    Options,
}

impl RouteMethod {
    /// All of them, as a manifest may write them.
    pub const ALL: [Self; 8] = [
        Self::Any,
        Self::Get,
        Self::Post,
        Self::Put,
        Self::Patch,
        Self::Delete,
        Self::Head,
        Self::Options,
    ];

    /// As written in a route key.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Head => "HEAD",
            Self::Options => "OPTIONS",
        }
    }

    /// The method that is written `text`, upper case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.as_str() == text)
    }
}

impl fmt::Display for RouteMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One segment of a route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Segment {
    Literal(Box<str>),
    Variable(Box<str>),
    Greedy(Box<str>),
}

/// A method and a path pattern, such as `GET /orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route {
    pub(super) method: RouteMethod,
    /// Method and path, as written.
    key: Box<str>,
    pub(super) segments: Vec<Segment>,
}

/// Why a text is not a route.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// Not one of [`RouteMethod::ALL`].
    #[error("`{0}` is not a method; use ANY, GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS")]
    Method(String),
    /// Without a slash at its start.
    #[error("path `{0}` must start with `/`")]
    NoSlash(String),
    /// A segment that is neither literal nor variable.
    #[error(
        "segment `{segment}` of path `{path}` is neither letters, digits and `._~:-` nor `{{name}}` nor `{{name+}}`"
    )]
    Segment {
        /// The segment.
        segment: String,
        /// The whole path.
        path: String,
    },
    /// `{name+}` before the end.
    #[error("`{{{name}+}}` must be the last segment of path `{path}`")]
    GreedyNotLast {
        /// The variable.
        name: String,
        /// The whole path.
        path: String,
    },
    /// The same variable twice.
    #[error("path `{path}` has the variable `{name}` twice")]
    DuplicateVariable {
        /// The variable.
        name: String,
        /// The whole path.
        path: String,
    },
    /// More than [`ROUTE_SEGMENTS_MAX`].
    #[error("path `{0}` has more than {ROUTE_SEGMENTS_MAX} segments")]
    TooLong(String),
    /// A segment of dots, which no request can match.
    #[error("path `{0}` has a segment `.` or `..`, which no request can match")]
    Dots(String),
}

impl Route {
    /// Checks a method and a path pattern.
    ///
    /// # Errors
    ///
    /// [`RouteError`] names the part that is wrong.
    pub fn new(method: RouteMethod, path: &str) -> Result<Self, RouteError> {
        let rest = path
            .strip_prefix('/')
            .ok_or_else(|| RouteError::NoSlash(path.to_owned()))?;
        let parts: Vec<&str> = rest.split('/').collect();
        if parts.len() > ROUTE_SEGMENTS_MAX {
            return Err(RouteError::TooLong(path.to_owned()));
        }
        let mut segments = Vec::with_capacity(parts.len());
        let mut names = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let segment = parse_segment(part, path)?;
            if let Segment::Variable(name) | Segment::Greedy(name) = &segment {
                if names.contains(name) {
                    let (name, path) = (name.to_string(), path.to_owned());
                    return Err(RouteError::DuplicateVariable { name, path });
                }
                names.push(name.clone());
            }
            if let Segment::Greedy(name) = &segment
                && at + 1 != parts.len()
            {
                let (name, path) = (name.to_string(), path.to_owned());
                return Err(RouteError::GreedyNotLast { name, path });
            }
            segments.push(segment);
        }
        Ok(Self {
            method,
            key: format!("{method} {path}").into(),
            segments,
        })
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> RouteMethod {
        self.method
    }

    /// The path pattern, as written.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.key[self.method.as_str().len() + 1..]
    }

    /// Method and path, such as `GET /orders/{id}`.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The names of its variables, in their order.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) | Segment::Greedy(name) => Some(&**name),
        })
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)
    }
}

impl std::str::FromStr for Route {
    type Err = RouteError;

    /// Reads `METHOD /path`.
    fn from_str(text: &str) -> Result<Self, RouteError> {
        let (method, path) = text.split_once(' ').unwrap_or((text, ""));
        let method =
            RouteMethod::parse(method).ok_or_else(|| RouteError::Method(method.to_owned()))?;
        Self::new(method, path)
    }
}

impl TryFrom<String> for Route {
    type Error = RouteError;

    fn try_from(text: String) -> Result<Self, RouteError> {
        text.parse()
    }
}

impl From<Route> for String {
    fn from(route: Route) -> Self {
        route.to_string()
    }
}

fn parse_segment(part: &str, path: &str) -> Result<Segment, RouteError> {
    let is_word = |text: &str, extra: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || extra.contains(c))
    };
    if let Some(inner) = part
        .strip_prefix('{')
        .and_then(|rest| rest.strip_suffix('}'))
    {
        let (name, greedy) = match inner.strip_suffix('+') {
            Some(name) => (name, true),
            None => (inner, false),
        };
        if is_word(name, "._-") {
            let name = name.into();
            return Ok(if greedy {
                Segment::Greedy(name)
            } else {
                Segment::Variable(name)
            });
        }
    } else if part == "." || part == ".." {
        return Err(RouteError::Dots(path.to_owned()));
    } else if part.is_empty() || is_word(part, "._~:-") {
        return Ok(Segment::Literal(part.into()));
    }
    Err(RouteError::Segment {
        segment: part.to_owned(),
        path: path.to_owned(),
    })
}
