//! Many routes, and the most specific one for a request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::path::RequestPath;
use super::route::{Route, RouteMethod, Segment};

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
    route: Arc<Route>,
    target: T,
}

/// What a request path and method led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Match<'t, T> {
    /// A route.
    Found {
        /// Which.
        route: &'t Arc<Route>,
        /// Where it leads.
        target: &'t T,
        /// What its variables matched, decoded, in their order.
        values: Vec<String>,
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
                vacant.insert(Leaf {
                    route: Arc::new(route),
                    target,
                });
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
                values: values(&leaf.route, path),
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

fn values(route: &Route, path: &RequestPath) -> Vec<String> {
    let mut values = Vec::new();
    for (at, segment) in route.segments.iter().enumerate() {
        match segment {
            Segment::Literal(_) => {}
            Segment::Variable(_) => {
                values.push(path.segments.get(at).map_or("", |value| value).to_owned());
            }
            Segment::Greedy(_) => {
                let rest = path.segments.get(at..).unwrap_or_default();
                values.push(rest.join("/").trim_end_matches('/').to_owned());
            }
        }
    }
    values
}
