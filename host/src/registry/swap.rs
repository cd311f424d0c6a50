//! What readers see: versions made ready to run, functions swapped in whole, and forgotten.
//!
//! Callers hold the lock and have made durable what they swap in. A function is one snapshot; its URLs
//! and routes follow one after the other, and one that stays is there at every moment.

use std::collections::HashSet;
use std::sync::Arc;

use domain::{FunctionName, Qualifier, VersionId};
use sandbox::GuestSpec;

use super::function::Function;
use super::version::{Content, Counters, Version};
use super::{Registry, RouteTarget, UrlConfig, UrlTarget, folded};
use crate::budgets::tell;
use crate::manifest::route_rules::HttpRoute;
use crate::trigger::http::guard::{Guard, Guarded};

impl Registry {
    /// A version that can be run. Cheap; its code is loaded by its first event.
    pub(super) fn version(
        &self,
        name: &FunctionName,
        id: VersionId,
        content: Content,
        counters: Counters,
    ) -> Version {
        let parts = &self.parts;
        let day = crate::time_text::day(parts.clock.unix_us()).replace('-', "/");
        let configuration = content.configuration;
        let guest = parts.sandboxes.guest(GuestSpec {
            kind: configuration.kind,
            artifact: content.artifact,
            artifact_path: parts.artifacts.path(content.artifact),
            limits: configuration.limits,
            environment: configuration.environment.as_slice().into(),
            function: name.clone(),
            version: id,
            arn: name.arn(&parts.region),
            region: parts.region.clone(),
            log_stream: format!("{day}/[{id}]{}", parts.log_stream_suffix).into(),
        });
        Version {
            name: name.clone(),
            id,
            artifact: content.artifact,
            code: content.code,
            revision: content.revision,
            published_from: content.published_from,
            updated_at_us: content.updated_at_us,
            configuration,
            guest,
            running: counters.running,
            metrics: counters.metrics,
            spending: counters.spending,
        }
    }

    /// What versions of a function count together: those of the one that is there, of one that is gone
    /// and still runs, or new ones. They are found by others once the function is swapped in.
    pub(super) fn counters(&self, name: &FunctionName) -> Counters {
        if let Some(function) = self.functions.get(name) {
            return function.latest.counters();
        }
        let running = self.running.get(name);
        Counters {
            running: running
                .map(|running| Arc::clone(&running))
                .unwrap_or_default(),
            metrics: Arc::default(),
            spending: self.parts.budgets.of(name),
        }
    }

    /// Puts a function where readers find it.
    pub(super) fn swap_in(&self, function: &Arc<Function>) {
        let name = &function.name;
        let Counters {
            running,
            metrics,
            spending,
        } = function.latest.counters();
        tell(spending.set_budget(function.latest.configuration.budget));
        running.set_limit(function.concurrency());
        self.running.insert(name.clone(), running);
        self.parts.metrics.keep(name, metrics);
        // Ways to it come first: whoever sees that it is there can call it by them.
        let old = self
            .functions
            .get(name)
            .map(|function| Arc::clone(&function));
        self.swap_urls(old.as_deref(), Some(function));
        self.swap_routes(old.as_deref(), Some(function));
        self.subscribers.swap(name, function.subscriptions());
        self.functions.insert(name.clone(), Arc::clone(function));
        let had = old.as_ref().is_some_and(|old| !old.schedules().is_empty());
        if had || !function.schedules().is_empty() {
            self.schedules_changed.notify_one();
        }
        match &old {
            Some(old) => self.retire(old, Some(function)),
            None => {
                self.folded.insert(folded(name), name.clone());
                self.names.write().insert(name.clone());
            }
        }
    }

    /// Takes a function from where readers find it.
    pub(super) fn forget(&self, name: &FunctionName) {
        let gone = self
            .functions
            .get(name)
            .map(|function| Arc::clone(&function));
        if let Some(function) = gone {
            self.swap_urls(Some(&function), None);
            self.swap_routes(Some(&function), None);
            self.subscribers.swap(name, &[]);
            self.functions.remove(name);
            self.folded.remove(&folded(name));
            self.names.write().remove(name);
            self.retire(&function, None);
            if !function.schedules().is_empty() {
                self.schedules_changed.notify_one();
            }
        }
        self.running
            .remove_if(name, |_, running| running.count() == 0);
        self.parts.metrics.forget(name);
        self.parts.budgets.forget(name);
    }

    /// Remembers the versions that are not in `new` any more, for as long as they run.
    fn retire(&self, old: &Function, new: Option<&Function>) {
        let is_kept = |version: &&Arc<Version>| {
            let kept = new.and_then(|new| new.version(version.id));
            kept.is_some_and(|kept| Arc::ptr_eq(kept, version))
        };
        let gone = old.all_versions().filter(|version| !is_kept(version));
        self.retired.lock().extend(gone.map(Arc::downgrade));
    }

    fn swap_urls(&self, old: Option<&Function>, new: Option<&Function>) {
        let urls = |function: Option<&Function>| {
            let urls = function.map(|function| function.settings.urls.clone());
            urls.unwrap_or_default()
        };
        // Who may use a URL is said by the policy.
        let policies = |function: Option<&Function>| {
            let policies = function.map(|function| function.settings.policies.clone());
            policies.unwrap_or_default()
        };
        let is_same = policies(old) == policies(new);
        let (old, new_urls) = (urls(old), urls(new));
        if old == new_urls && (is_same || new_urls.is_empty()) {
            return;
        }
        let kept: HashSet<&str> = new_urls.values().map(|config| &*config.id).collect();
        if let Some(function) = new {
            for (qualifier, config) in &new_urls {
                let target = self.url_target(function, qualifier, config);
                self.urls.insert(config.id.clone(), Arc::new(target));
            }
        }
        for config in old.values() {
            if !kept.contains(&*config.id) {
                self.urls.remove(&config.id);
            }
        }
    }

    fn url_target(&self, function: &Function, qualifier: &str, config: &UrlConfig) -> UrlTarget {
        let policy = function.settings.policies.get(qualifier);
        // The empty text, of the function itself, is none.
        let qualifier = Qualifier::parse(qualifier).ok();
        let guarded = self.guarded(&function.name, qualifier.as_ref());
        UrlTarget {
            guard: Guard::of_url(config, policy, guarded),
            function: function.name.clone(),
            qualifier,
        }
    }

    fn guarded<'a>(
        &'a self,
        function: &'a FunctionName,
        qualifier: Option<&'a Qualifier>,
    ) -> Guarded<'a> {
        Guarded {
            function,
            qualifier,
            region: &self.parts.region,
            clock: &self.parts.clock,
        }
    }

    fn swap_routes(&self, old: Option<&Function>, new: Option<&Function>) {
        let old_routes = old.map(Function::routes).unwrap_or_default();
        let new_routes = new.map(Function::routes).unwrap_or_default();
        if old_routes == new_routes {
            return;
        }
        let mut routes = self.routes.write();
        if let Some(old) = old {
            for HttpRoute { route, .. } in old_routes {
                let owner = routes.owner(route);
                if owner.is_some_and(|target| target.function == old.name) {
                    routes.remove(route);
                }
            }
        }
        let Some(function) = new else { return };
        for HttpRoute { route, rules } in new_routes {
            let guarded = self.guarded(&function.name, rules.qualifier.as_ref());
            let target = RouteTarget::new(rules, guarded);
            if let Err(owner) = routes.insert(route.clone(), target) {
                tracing::error!(
                    "route `{route}` of function `{}` belongs to `{}`",
                    function.name,
                    owner.function
                );
            }
        }
    }
}
