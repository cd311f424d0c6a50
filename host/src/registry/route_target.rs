//! Where a route leads: to a function, and past what stands before it.

use std::sync::Arc;

use domain::{Clock, FunctionName};

use crate::manifest::route_rules::RouteRules;
use crate::trigger::http::guard::Guard;

/// Where a route leads.
#[derive(Debug)]
pub(crate) struct RouteTarget {
    pub(crate) function: FunctionName,
    /// `None` when the route asks nothing of its requests.
    pub(crate) guard: Option<Box<Guard>>,
}

impl RouteTarget {
    pub(super) fn new(function: &FunctionName, rules: &RouteRules, clock: &Clock) -> Arc<Self> {
        Arc::new(Self {
            function: function.clone(),
            guard: Guard::new(rules, clock),
        })
    }
}
