//! Finds the operation that a request is.

use http::Method;

use super::Operation;

impl Operation {
    /// The operation of a request and the labels of its path, still percent-encoded. Method, path and
    /// query are all that it takes, so the bound on a body is known before the body is read.
    ///
    /// `None` when there is no such operation; Lambda makes no difference between a path and a method
    /// that it does not know.
    pub(in crate::api) fn find<'a>(
        method: &Method,
        path: &'a str,
        query: &str,
    ) -> Option<(Self, Vec<&'a str>)> {
        for operation in Self::ALL {
            let spec = operation.spec();
            if *method != spec.method {
                continue;
            }
            let Some(labels) = labels(spec.path, path) else {
                continue;
            };
            let is_meant = spec.query.is_none_or(|(name, value)| {
                let pair = (name, Some(value));
                query.split('&').any(|part| {
                    part.split_once('=')
                        .map_or((part, None), |(n, v)| (n, Some(v)))
                        == pair
                })
            });
            if is_meant {
                return Some((operation, labels));
            }
        }
        None
    }
}

/// What stands where `pattern` has `{}`, if `path` fits it; older models of the AWS clients write a
/// slash at the end.
pub(in crate::api) fn labels<'a>(pattern: &str, path: &'a str) -> Option<Vec<&'a str>> {
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut segments = path.split('/');
    let mut labels = Vec::new();
    for expected in pattern.split('/') {
        let segment = segments.next()?;
        if expected == "{}" {
            // An empty label is a path that names nothing.
            (!segment.is_empty()).then_some(())?;
            labels.push(segment);
        } else if expected != segment {
            return None;
        }
    }
    segments.next().is_none().then_some(labels)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_operation_is_listed_once_and_found_by_its_own_row() {
        let listed: HashSet<_> = Operation::ALL.into_iter().collect();
        assert_eq!(listed.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            let spec = operation.spec();
            assert_eq!(format!("{operation:?}"), spec.name);
            let query = spec.query.map(|(name, value)| format!("{name}={value}"));
            let query = query.unwrap_or_default();
            let path = spec.path.replace("{}", "x");
            for path in [path.clone(), format!("{path}/")] {
                let (found, labels) = Operation::find(&spec.method, &path, &query).unwrap();
                assert_eq!(found, operation);
                assert_eq!(labels.len(), spec.path.matches("{}").count());
            }
        }
    }

    #[test]
    fn a_path_that_is_almost_right_is_not_found() {
        let find = |path| Operation::find(&Method::POST, path, "").map(|found| found.0);
        for other in [
            "",
            "/",
            "//2015-03-31/functions",
            "/2015-03-31/functions//invocations",
            "/2015-03-31/functions/f/invocations//",
            "/2015-03-31/functions/f/invocations/x",
            "/2015-03-31/function/f/invocations",
        ] {
            assert_eq!(find(other), None, "{other}");
        }
        assert_eq!(
            find("/2015-03-31/functions/f/invocations/"),
            Some(Operation::Invoke)
        );
        assert_eq!(find("/2017-10-31/functions/f/concurrency"), None);
    }

    #[test]
    fn a_fixed_query_tells_operations_apart() {
        let path = "/2019-09-30/functions/f/provisioned-concurrency";
        let find = |query| Operation::find(&Method::GET, path, query).unwrap().0;
        assert_eq!(
            find("MaxItems=1&List=ALL"),
            Operation::ListProvisionedConcurrencyConfigs
        );
        assert_eq!(
            find("Qualifier=a"),
            Operation::GetProvisionedConcurrencyConfig
        );
    }
}
