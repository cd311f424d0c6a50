//! What the system lets this process hold: descriptors and mappings, and how many functions may stay
//! loaded within them.
//!
//! Connections and sandboxes come first, since they are configured; loaded functions get what is left,
//! and are given up and loaded again when that is not enough for all. Knows nothing of how a function
//! is loaded.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Mappings of one sandbox that is alive: two for its native stack, up to four for its memory. Measured
/// in `/proc/PID/maps`.
const MAPS_PER_SANDBOX: u64 = 6;

/// Mappings of one loaded function: what is before its machine code, the code, what is after.
const MAPS_PER_FUNCTION: u64 = 3;

/// Mappings of everything else: libraries, threads, the heap, the ledger, databases. About 130 are used
/// on two cores.
const MAPS_SPARE: u64 = 1_000;

/// Descriptors of everything else: the ledger, databases, logs, watches, compilers. About 35 are used.
const DESCRIPTORS_SPARE: u64 = 256;

/// The kernel's own default, where its setting can't be read.
const MAX_MAP_COUNT_USUAL: u64 = 65_530;

/// However little there is, so many functions are kept loaded for each so many mappings or descriptors.
const MAPS_SHARE: u64 = 64;
const DESCRIPTORS_SHARE: u64 = 4;

/// What the system allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct System {
    /// Open files of this process.
    pub(crate) descriptors: u64,
    /// `vm.max_map_count`.
    pub(crate) maps: u64,
}

/// What the configuration asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) connections_max: u32,
    pub(crate) sandboxes_max: u32,
    /// What the operator chose, if anything.
    pub(crate) loaded_max: Option<u32>,
}

/// What comes of both.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Capacity {
    /// Functions that may be loaded at once.
    pub(crate) loaded_max: u32,
    /// What does not fit, for the operator.
    pub(crate) warnings: Vec<String>,
}

impl System {
    /// Raises the limit on open files as far as it goes, and reads what there is. The soft limit is
    /// often 1,024.
    pub(crate) fn prepare() -> Self {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::warn!(%error, "the limit on open files stays as it is");
        }
        let maps = fs::read_to_string("/proc/sys/vm/max_map_count");
        Self {
            descriptors: getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX),
            maps: maps
                .ok()
                .and_then(|text| text.trim().parse().ok())
                .unwrap_or(MAX_MAP_COUNT_USUAL),
        }
    }

    /// How many functions may stay loaded beside what is wanted, and what does not fit.
    ///
    /// A function that is given up while it runs stays mapped until it ends, so each sandbox counts
    /// as one more function.
    pub(crate) fn capacity(self, wanted: Wanted) -> Capacity {
        let sandboxes = u64::from(wanted.sandboxes_max);
        let connections = u64::from(wanted.connections_max);
        let descriptors = connections + sandboxes + DESCRIPTORS_SPARE;
        let maps = sandboxes * (MAPS_PER_SANDBOX + MAPS_PER_FUNCTION) + MAPS_SPARE;

        let by_descriptors = self.descriptors.saturating_sub(descriptors);
        let by_maps = self.maps.saturating_sub(maps) / MAPS_PER_FUNCTION;
        let fits = by_descriptors
            .max(self.descriptors / DESCRIPTORS_SHARE)
            .min(by_maps.max(self.maps / MAPS_SHARE))
            .max(1);
        let fits = u32::try_from(fits).unwrap_or(u32::MAX);

        let mut warnings = Vec::new();
        if descriptors > self.descriptors {
            warnings.push(format!(
                "this process may open {} files; {connections} connections and {sandboxes} sandboxes need {descriptors} (raise `ulimit -n`, or LimitNOFILE of the service)",
                self.descriptors
            ));
        }
        if maps > self.maps {
            warnings.push(format!(
                "vm.max_map_count is {}; {sandboxes} sandboxes need {maps} (sysctl -w vm.max_map_count={maps})",
                self.maps
            ));
        }
        if let Some(chosen) = wanted.loaded_max.filter(|chosen| *chosen > fits) {
            warnings.push(format!(
                "sandbox.loaded_max is {chosen}, and there is room for {fits} loaded functions (raise `ulimit -n` and vm.max_map_count)"
            ));
        }
        Capacity {
            loaded_max: wanted.loaded_max.unwrap_or(fits),
            warnings,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn capacity(descriptors: u64, maps: u64, sandboxes_max: u32) -> Capacity {
        System { descriptors, maps }.capacity(Wanted {
            connections_max: 10_000,
            sandboxes_max,
            loaded_max: None,
        })
    }

    #[track_caller]
    fn check_warned(capacity: &Capacity, parts: &[&str]) {
        assert_eq!(capacity.warnings.len(), parts.len(), "{capacity:?}");
        for (warning, part) in capacity.warnings.iter().zip(parts) {
            assert!(warning.contains(part), "{capacity:?}");
        }
    }

    #[test]
    fn functions_get_what_connections_and_sandboxes_leave() {
        let usual = capacity(524_288, 65_530, 1_064);
        assert_eq!(usual.loaded_max, (65_530 - 1_064 * 9 - 1_000) / 3);
        check_warned(&usual, &[]);
        let few_files = capacity(20_000, 65_530, 1_064);
        assert_eq!(few_files.loaded_max, 20_000 - 10_000 - 1_064 - 256);
        check_warned(&few_files, &[]);
    }

    #[test]
    fn what_does_not_fit_is_named_with_what_it_needs() {
        let many = capacity(524_288, 65_530, 10_064);
        assert_eq!(many.loaded_max, 65_530 / 64);
        check_warned(&many, &["sysctl -w vm.max_map_count=91576"]);
        let few_files = capacity(1_024, 65_530, 1_064);
        assert_eq!(few_files.loaded_max, 256);
        check_warned(&few_files, &["need 11320 "]);
        let none = capacity(0, 0, 1);
        assert_eq!(none.loaded_max, 1);
    }

    #[test]
    fn the_operator_may_choose_and_is_told_when_it_does_not_fit() {
        let chosen = |loaded_max| {
            let system = System {
                descriptors: 20_000,
                maps: 65_530,
            };
            system.capacity(Wanted {
                connections_max: 10_000,
                sandboxes_max: 1_064,
                loaded_max: Some(loaded_max),
            })
        };
        assert_eq!(chosen(16).loaded_max, 16);
        check_warned(&chosen(16), &[]);
        assert_eq!(chosen(50_000).loaded_max, 50_000);
        check_warned(&chosen(50_000), &["room for 8680 loaded functions"]);
    }
}
