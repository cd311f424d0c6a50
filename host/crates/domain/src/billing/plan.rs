//! What is agreed for a whole month: what is free, and what much use costs.
//!
//! It changes invoices only, never the charge of a record. Knows nothing of who used what.

use super::PicoUsd;

/// Free use and price tiers of a month, of the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What a month has for free.
    pub free: FreeTier,
    /// Prices from an amount of use on, in ascending order of `from_gb_seconds`.
    pub tiers: Vec<Tier>,
}

/// What a month has for free.
///
/// # Source
///
/// Lambda's free tier (<https://aws.amazon.com/lambda/pricing/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeTier {
    /// Billed requests.
    pub requests: u64,
    /// GB-seconds.
    pub gb_seconds: u64,
}

/// Another price for what is used beyond an amount. Free use does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// From here on, in GB-seconds of a month.
    pub from_gb_seconds: u64,
    /// Per GB-second.
    pub gb_second: PicoUsd,
}

impl FreeTier {
    /// Nothing is free.
    pub const NONE: Self = Self {
        requests: 0,
        gb_seconds: 0,
    };
}

impl Default for FreeTier {
    fn default() -> Self {
        Self {
            requests: 1_000_000,
            gb_seconds: 400_000,
        }
    }
}

impl Tier {
    /// Lambda's tiers: x86, 6 billion GB-seconds at the first price, 9 billion at the second.
    ///
    /// # Source
    ///
    /// <https://aws.amazon.com/lambda/pricing/>.
    pub const LAMBDA: [Self; 2] = [
        Self {
            from_gb_seconds: 6_000_000_000,
            gb_second: 15_000_000,
        },
        Self {
            from_gb_seconds: 15_000_000_000,
            gb_second: 13_333_400,
        },
    ];
}

impl Plan {
    /// No free use, one price.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            free: FreeTier::NONE,
            tiers: Vec::new(),
        }
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            free: FreeTier::default(),
            tiers: Tier::LAMBDA.to_vec(),
        }
    }
}
