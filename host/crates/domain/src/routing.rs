//! Which path belongs to which function.
//!
//! A request path is split at `/` first and each segment is percent-decoded once afterwards, so an
//! encoded slash never separates. A path that could mean two things to two readers (a dot segment,
//! a decoded slash, backslash or NUL) belongs to nobody. Names match byte by byte; a trailing slash
//! is significant.
//!
//! Of several matching routes the most specific one wins, as in API Gateway: most literal segments,
//! then most segments before a greedy variable, then no greedy variable, then fewest variables, then
//! a concrete method over `ANY`.
//!
//! Knows nothing of functions: a table maps routes to whatever its owner puts in.

use std::collections::BTreeMap;
use std::collections::HashMap;
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
enum Segment {
    Literal(Box<str>),
    Variable(Box<str>),
    Greedy(Box<str>),
}

/// A method and a path pattern, such as `GET /orders/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Route {
    method: RouteMethod,
    path: Box<str>,
    segments: Vec<Segment>,
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
            path: path.into(),
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
        &self.path
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
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
    segments: Vec<Box<str>>,
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

/// Routes and what they lead to.
#[derive(Debug, Clone)]
pub struct RouteTable<T> {
    root: Node<T>,
}

#[derive(Debug, Clone)]
struct Node<T> {
    literals: HashMap<Box<str>, Node<T>>,
    variable: Option<Box<Node<T>>>,
    here: BTreeMap<RouteMethod, Leaf<T>>,
    greedy: BTreeMap<RouteMethod, Leaf<T>>,
}

#[derive(Debug, Clone)]
struct Leaf<T> {
    route: Route,
    target: T,
}

/// What a request path and method led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<'t, T> {
    /// A route.
    Found {
        /// Which.
        route: &'t Route,
        /// Where it leads.
        target: &'t T,
        /// Its variables and what they matched, decoded.
        parameters: Vec<(&'t str, String)>,
    },
    /// Routes have this path, with other methods.
    WrongMethod {
        /// Those methods.
        allowed: Vec<RouteMethod>,
    },
    /// No route has this path.
    NotFound,
}

impl<T> Default for RouteTable<T> {
    fn default() -> Self {
        Self {
            root: Node::default(),
        }
    }
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Self {
            literals: HashMap::new(),
            variable: None,
            here: BTreeMap::new(),
            greedy: BTreeMap::new(),
        }
    }
}

/// How specific a match is; the greatest wins. Fields in the order of their weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    literals: usize,
    before_greedy: usize,
    not_greedy: bool,
    concrete_method: bool,
}

/// A candidate of a search: where the walk stands, and how specific it is so far.
#[derive(Clone, Copy)]
struct Walk<'t, T> {
    node: &'t Node<T>,
    depth: usize,
    literals: usize,
}

impl<T> RouteTable<T> {
    /// Adds a route.
    ///
    /// # Errors
    ///
    /// The target that has this very route (whatever its variables are called) already; the table is
    /// unchanged.
    pub fn insert(&mut self, route: Route, target: T) -> Result<(), &T> {
        let mut node = &mut self.root;
        let mut greedy = false;
        for segment in &route.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.entry(text.clone()).or_default(),
                Segment::Variable(_) => node.variable.get_or_insert_default(),
                Segment::Greedy(_) => {
                    greedy = true;
                    break;
                }
            };
        }
        let leaves = if greedy {
            &mut node.greedy
        } else {
            &mut node.here
        };
        match leaves.entry(route.method) {
            std::collections::btree_map::Entry::Vacant(vacant) => {
                vacant.insert(Leaf { route, target });
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(occupied) => {
                Err(&occupied.into_mut().target)
            }
        }
    }

    /// Takes a route away; what it led to, if it was there.
    pub fn remove(&mut self, route: &Route) -> Option<T> {
        let mut node = &mut self.root;
        for segment in &route.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.get_mut(text)?,
                Segment::Variable(_) => node.variable.as_deref_mut()?,
                Segment::Greedy(_) => return Some(node.greedy.remove(&route.method)?.target),
            };
        }
        Some(node.here.remove(&route.method)?.target)
    }

    /// What a route leads to, whatever its variables are called.
    #[must_use]
    pub fn owner(&self, route: &Route) -> Option<&T> {
        let mut node = &self.root;
        for segment in &route.segments {
            node = match segment {
                Segment::Literal(text) => node.literals.get(text)?,
                Segment::Variable(_) => node.variable.as_deref()?,
                Segment::Greedy(_) => {
                    return node.greedy.get(&route.method).map(|leaf| &leaf.target);
                }
            };
        }
        node.here.get(&route.method).map(|leaf| &leaf.target)
    }

    /// Finds the most specific route for a request.
    pub fn find<'t>(&'t self, method: Option<RouteMethod>, path: &RequestPath) -> Match<'t, T> {
        let mut best: Option<(Score, &'t Leaf<T>)> = None;
        let mut allowed = Vec::new();
        let mut walks = vec![Walk {
            node: &self.root,
            depth: 0,
            literals: 0,
        }];
        while let Some(walk) = walks.pop() {
            let Walk {
                node,
                depth,
                literals,
            } = walk;
            let mut offer = |leaves: &'t BTreeMap<RouteMethod, Leaf<T>>, not_greedy: bool| {
                let concrete = method.and_then(|method| leaves.get(&method));
                let Some(leaf) = concrete.or_else(|| leaves.get(&RouteMethod::Any)) else {
                    allowed.extend(leaves.keys().copied());
                    return;
                };
                let concrete_method = leaf.route.method != RouteMethod::Any;
                let score = Score {
                    literals,
                    before_greedy: depth,
                    not_greedy,
                    concrete_method,
                };
                if best.is_none_or(|(best, _)| score > best) {
                    best = Some((score, leaf));
                }
            };
            let Some(segment) = path.segments.get(depth) else {
                offer(&node.here, true);
                continue;
            };
            offer(&node.greedy, false);
            if let Some(next) = &node.variable
                && !segment.is_empty()
            {
                walks.push(Walk {
                    node: next,
                    depth: depth + 1,
                    literals,
                });
            }
            if let Some(next) = node.literals.get(segment) {
                walks.push(Walk {
                    node: next,
                    depth: depth + 1,
                    literals: literals + 1,
                });
            }
        }
        match best {
            Some((_, leaf)) => Match::Found {
                route: &leaf.route,
                target: &leaf.target,
                parameters: parameters(&leaf.route, path),
            },
            None if allowed.is_empty() => Match::NotFound,
            None => {
                allowed.sort_unstable();
                allowed.dedup();
                Match::WrongMethod { allowed }
            }
        }
    }
}

fn parameters<'t>(route: &'t Route, path: &RequestPath) -> Vec<(&'t str, String)> {
    let mut parameters = Vec::new();
    for (at, segment) in route.segments.iter().enumerate() {
        match segment {
            Segment::Literal(_) => {}
            Segment::Variable(name) => {
                let value = path.segments.get(at).map_or("", |value| value);
                parameters.push((&**name, value.to_owned()));
            }
            Segment::Greedy(name) => {
                let rest = path.segments.get(at..).unwrap_or_default();
                parameters.push((&**name, rest.join("/").trim_end_matches('/').to_owned()));
            }
        }
    }
    parameters
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn table(routes: &[&str]) -> RouteTable<String> {
        let mut table = RouteTable::default();
        for route in routes {
            table
                .insert(route.parse().unwrap(), (*route).to_owned())
                .unwrap();
        }
        table
    }

    #[track_caller]
    fn check(table: &RouteTable<String>, request: &str, expected: &str) {
        let (method, path) = request.split_once(' ').unwrap();
        let path = RequestPath::parse(path).unwrap();
        let found = match table.find(RouteMethod::parse(method), &path) {
            Match::Found {
                target, parameters, ..
            } => {
                let parameters: Vec<String> = parameters
                    .iter()
                    .map(|(name, value)| format!(" {name}={value}"))
                    .collect();
                format!("{target}{}", parameters.concat())
            }
            Match::WrongMethod { allowed } => format!("405 {allowed:?}"),
            Match::NotFound => "404".to_owned(),
        };
        assert_eq!(found, expected, "{request}");
    }

    #[test]
    fn the_most_specific_route_wins() {
        let table = table(&[
            "ANY /{proxy+}",
            "GET /pets/{proxy+}",
            "GET /pets/dog/{id}",
            "GET /pets/dog/1",
            "ANY /pets/dog/1",
            "POST /pets/{kind}/{id}",
        ]);
        check(&table, "GET /pets/dog/1", "GET /pets/dog/1");
        check(&table, "PUT /pets/dog/1", "ANY /pets/dog/1");
        check(&table, "GET /pets/dog/2", "GET /pets/dog/{id} id=2");
        check(&table, "GET /pets/cat/2", "GET /pets/{proxy+} proxy=cat/2");
        check(
            &table,
            "POST /pets/cat/2",
            "POST /pets/{kind}/{id} kind=cat id=2",
        );
        check(&table, "GET /", "ANY /{proxy+} proxy=");
        check(&table, "PROPFIND /x", "ANY /{proxy+} proxy=x");
    }

    #[test]
    fn a_trailing_slash_is_significant_and_head_is_not_get() {
        let table = table(&["GET /a", "GET /b", "ANY /b/{proxy+}"]);
        check(&table, "GET /a/", "404");
        check(&table, "GET /A", "404");
        check(&table, "GET //a", "404");
        check(&table, "HEAD /a", "405 [Get]");
        check(&table, "GET /b/", "ANY /b/{proxy+} proxy=");
        check(&table, "GET /b/c/", "ANY /b/{proxy+} proxy=c");
    }

    #[test]
    fn segments_are_decoded_once_and_after_the_split() {
        let table = table(&["GET /f/{x}"]);
        check(&table, "GET /f/a%20b", "GET /f/{x} x=a b");
        check(&table, "GET /%66/%252e", "GET /f/{x} x=%2e");
        for (raw, error) in [
            ("/f/%2e%2e/admin", PathError::Dots),
            ("/f/./x", PathError::Dots),
            ("/f/..%2fadmin", PathError::Ambiguous),
            ("/f%00", PathError::Ambiguous),
            ("/f/%5cx", PathError::Ambiguous),
            ("/f/%c0%ae", PathError::Utf8),
            ("/f/%zz", PathError::Percent),
            ("/f/%2", PathError::Percent),
            ("*", PathError::NoSlash),
        ] {
            assert_eq!(RequestPath::parse(raw), Err(error), "{raw}");
        }
    }

    #[test]
    fn one_route_has_one_owner_whatever_its_variables_are_called() {
        let mut table = table(&["GET /o/{id}"]);
        let again = table.insert("GET /o/{name}".parse().unwrap(), "other".to_owned());
        assert_eq!(again.unwrap_err(), "GET /o/{id}");
        table
            .insert("POST /o/{name}".parse().unwrap(), "other".to_owned())
            .unwrap();
    }

    #[test]
    fn a_removed_route_is_gone_and_the_others_stay() {
        let mut table = table(&["ANY /a", "ANY /a/{proxy+}", "GET /a/{x}"]);
        let any: Route = "ANY /a/{proxy+}".parse().unwrap();
        assert_eq!(
            table.owner(&any).map(String::as_str),
            Some("ANY /a/{proxy+}")
        );
        assert_eq!(table.remove(&any).as_deref(), Some("ANY /a/{proxy+}"));
        assert_eq!((table.remove(&any), table.owner(&any)), (None, None));
        check(&table, "GET /a/b/c", "404");
        check(&table, "GET /a/b", "GET /a/{x} x=b");
        check(&table, "GET /a", "ANY /a");
    }

    #[test]
    fn a_bad_route_names_its_part() {
        for (route, expected) in [
            (
                "FETCH /a",
                "`FETCH` is not a method; use ANY, GET, POST, PUT, PATCH, DELETE, HEAD or OPTIONS",
            ),
            ("GET a", "path `a` must start with `/`"),
            (
                "GET /a/{x+}/b",
                "`{x+}` must be the last segment of path `/a/{x+}/b`",
            ),
            ("GET /{x}/{x}", "path `/{x}/{x}` has the variable `x` twice"),
            (
                "GET /a/..",
                "path `/a/..` has a segment `.` or `..`, which no request can match",
            ),
            (
                "GET /a b",
                "segment `a b` of path `/a b` is neither letters, digits and `._~:-` nor `{name}` nor `{name+}`",
            ),
        ] {
            assert_eq!(route.parse::<Route>().unwrap_err().to_string(), expected);
        }
    }

    /// The rule written the slow way: try every route, keep the best score.
    fn slow(routes: &[Route], path: &RequestPath) -> Option<usize> {
        let score = |route: &Route| {
            let mut literals = 0;
            for (at, segment) in route.segments.iter().enumerate() {
                match (segment, path.segments.get(at)) {
                    (Segment::Greedy(_), Some(_)) => return Some((literals, at, false)),
                    (Segment::Variable(_), Some(text)) if !text.is_empty() => {}
                    (Segment::Literal(literal), Some(text)) if literal == text => literals += 1,
                    _ => return None,
                }
            }
            (route.segments.len() == path.segments.len()).then_some((
                literals,
                path.segments.len(),
                true,
            ))
        };
        let best = routes.iter().filter_map(score).max()?;
        routes.iter().position(|route| score(route) == Some(best))
    }

    proptest! {
        #[test]
        fn the_table_agrees_with_the_rule_written_the_slow_way(
            patterns in prop::collection::btree_set("(/(a|b|\\{x\\}|\\{y\\})){1,3}(/\\{p\\+\\})?", 1..8),
            path in "(/(a|b|c)?){1,4}",
        ) {
            let mut table = RouteTable::default();
            let mut routes = Vec::new();
            for pattern in &patterns {
                let Ok(route) = Route::new(RouteMethod::Any, pattern) else { continue };
                if table.insert(route.clone(), routes.len()).is_ok() {
                    routes.push(route);
                }
            }
            let path = RequestPath::parse(&path).unwrap();
            let found = match table.find(None, &path) {
                Match::Found { target, .. } => Some(*target),
                _ => None,
            };
            // Two variables in different places can tie; then either is right.
            let expected = slow(&routes, &path);
            prop_assert_eq!(found.is_some(), expected.is_some());
            if let (Some(found), Some(expected)) = (found, expected) {
                let literals = |at: usize| {
                    routes[at].segments.iter().filter(|s| matches!(s, Segment::Literal(_))).count()
                };
                prop_assert_eq!(literals(found), literals(expected));
            }
        }

        #[test]
        fn no_path_makes_the_parser_panic(raw in ".*") {
            if let Ok(path) = RequestPath::parse(&raw) {
                prop_assert!(path.decoded().starts_with('/'));
            }
        }
    }
}
