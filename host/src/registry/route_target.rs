//! Where a route leads: to a function, and past what stands before it.

use std::sync::Arc;

use domain::{FunctionName, Qualifier};

use crate::manifest::route_rules::RouteRules;
use crate::trigger::http::guard::{Guard, Guarded};

/// Where a route leads.
#[derive(Debug)]
pub(crate) struct RouteTarget {
    pub(crate) function: FunctionName,
    /// The version or alias, if it is not `$LATEST`.
    pub(crate) qualifier: Option<Qualifier>,
    /// `None` when the route asks nothing of its requests.
    pub(crate) guard: Option<Box<Guard>>,
}

impl RouteTarget {
    pub(super) fn new(rules: &RouteRules, guarded: Guarded<'_>) -> Arc<Self> {
        Arc::new(Self {
            function: guarded.function.clone(),
            qualifier: rules.qualifier.clone(),
            guard: Guard::of_route(rules, guarded),
        })
    }
}
