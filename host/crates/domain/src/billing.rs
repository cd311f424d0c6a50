//! From measured use to money, in integers.
//!
//! A record's charge knows nothing of free use or price tiers: those are lines of an [`invoice`], so
//! that the sum of the records is exact.

#![deny(clippy::float_arithmetic, clippy::arithmetic_side_effects)]

pub mod budget;
pub mod invoice;
pub mod month;
pub mod plan;
mod share;

use std::num::NonZeroU32;

use crate::limits::MemoryMb;
use crate::usage::Usage;

const NANOS_PER_MS: u128 = 1_000_000;
const MS_PER_SECOND: u128 = 1_000;
const MB_PER_GB: u128 = 1_024;

/// Money, in 10⁻¹² US dollars.
pub type PicoUsd = u64;

/// What an invocation costs.
///
/// # Source
///
/// Lambda's public x86 prices: $0.0000166667 per GB-second and $0.20 per million requests
/// (<https://aws.amazon.com/lambda/pricing/>).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prices {
    /// Per GB-second.
    pub gb_second: PicoUsd,
    /// Per attempt to run.
    pub request: PicoUsd,
}

impl Default for Prices {
    fn default() -> Self {
        Self {
            gb_second: 16_666_700,
            request: 200_000,
        }
    }
}

/// Use is billed in steps of this many milliseconds; a started step counts whole.
///
/// 1 is today's rule, 100 is the one until December 2020.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rounding(NonZeroU32);

impl Rounding {
    /// Coarsest step, in milliseconds.
    pub const MAX_MS: u32 = 1_000;

    /// Steps of `ms` milliseconds, 1 to 1,000.
    #[must_use]
    pub fn new(ms: u32) -> Option<Self> {
        NonZeroU32::new(ms)
            .filter(|step| step.get() <= Self::MAX_MS)
            .map(Self)
    }

    /// The step, in milliseconds.
    #[must_use]
    pub fn ms(self) -> u32 {
        self.0.get()
    }
}

impl Default for Rounding {
    fn default() -> Self {
        Self(NonZeroU32::MIN)
    }
}

/// How use becomes money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tariff {
    /// What it costs.
    pub prices: Prices,
    /// How it is rounded.
    pub rounding: Rounding,
}

impl Tariff {
    /// Milliseconds that are billed for `usage`: initialisation and duration summed, then rounded
    /// up once, at least one step.
    ///
    /// # Source
    ///
    /// Reports of Lambda since August 2025: 31000.00 ms + 3568.54 ms are billed as 34569 ms.
    #[must_use]
    pub fn billed_ms(&self, usage: &Usage) -> u64 {
        let init_nanos = usage.init.map_or(0, |init| init.as_nanos());
        let nanos = init_nanos.saturating_add(usage.duration.as_nanos());
        let step_ms = u128::from(self.rounding.ms());
        // `step_ms` is not zero, and neither factor comes near 2^64.
        let steps = nanos.div_ceil(step_ms.saturating_mul(NANOS_PER_MS)).max(1);
        u64::try_from(steps.saturating_mul(step_ms)).unwrap_or(u64::MAX)
    }

    /// The charge for one attempt, rounded half up to a whole pico-dollar.
    #[must_use]
    pub fn charge(&self, memory: MemoryMb, billed_ms: u64) -> PicoUsd {
        const DIVISOR: u128 = MB_PER_GB * MS_PER_SECOND;
        let mb_ms = u128::from(memory.get()).saturating_mul(u128::from(billed_ms));
        let scaled = mb_ms.saturating_mul(u128::from(self.prices.gb_second));
        let compute = scaled.saturating_add(DIVISOR / 2) / DIVISOR;
        let charge = compute.saturating_add(u128::from(self.prices.request));
        u64::try_from(charge).unwrap_or(u64::MAX)
    }
}

/// Writes an amount in dollars with all its twelve decimals, such as `0.000000208333`.
#[must_use]
pub fn usd_text(amount: u128) -> String {
    const PICO: u128 = 1_000_000_000_000;
    format!("{}.{:012}", amount / PICO, amount % PICO)
}

/// As [`usd_text`], with a minus sign for what is taken off.
#[must_use]
pub fn signed_usd_text(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}", usd_text(amount.unsigned_abs()))
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails"
    )]

    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn usage(init: Option<Duration>, duration: Duration) -> Usage {
        Usage {
            init,
            duration,
            ..Usage::default()
        }
    }

    #[track_caller]
    fn check_billed(duration: Duration, expected_ms: u64) {
        assert_eq!(
            Tariff::default().billed_ms(&usage(None, duration)),
            expected_ms,
            "{duration:?}"
        );
    }

    #[test]
    fn a_started_millisecond_is_billed_whole() {
        check_billed(Duration::ZERO, 1);
        check_billed(Duration::from_nanos(1), 1);
        check_billed(Duration::from_millis(1), 1);
        check_billed(Duration::from_micros(100_001), 101);
    }

    #[test]
    fn init_and_duration_are_summed_before_they_are_rounded() {
        let usage = usage(
            Some(Duration::from_micros(3_568_540)),
            Duration::from_secs(31),
        );
        assert_eq!(Tariff::default().billed_ms(&usage), 34_569);
    }

    #[test]
    fn the_classic_rule_bills_steps_of_100_ms() {
        let tariff = Tariff {
            rounding: Rounding::new(100).unwrap(),
            ..Tariff::default()
        };
        for (ms, billed) in [(0, 100), (100, 100), (101, 200)] {
            assert_eq!(
                tariff.billed_ms(&usage(None, Duration::from_millis(ms))),
                billed
            );
        }
    }

    #[test]
    fn the_check_values_of_the_price_list_come_out() {
        let tariff = Tariff::default();
        // 0.0005 GB-s at $0.0000166667 = $8.33335e-9, and one request at $2e-7.
        assert_eq!(
            tariff.charge(MemoryMb::new(128).unwrap(), 4),
            8_333 + 200_000
        );
        // A million invocations of 512 MB for 300 ms: 150,000 GB-s, $2.500005 before requests.
        let no_request = Tariff {
            prices: Prices {
                request: 0,
                ..Prices::default()
            },
            ..tariff
        };
        assert_eq!(
            no_request.charge(MemoryMb::new(512).unwrap(), 300) * 1_000_000,
            2_500_005_000_000
        );
    }

    #[test]
    fn an_amount_is_written_with_all_its_decimals() {
        assert_eq!(usd_text(208_333), "0.000000208333");
        assert_eq!(usd_text(2_500_005_000_000), "2.500005000000");
    }

    proptest! {
        #[test]
        fn a_charge_is_the_exact_value_rounded_half_up(
            mb in 1_u32..=4_096, billed_ms in 1_u64..=2_000_000, gb_second in 0_u64..=1_000_000_000,
        ) {
            let tariff = Tariff { prices: Prices { gb_second, request: 0 }, ..Tariff::default() };
            let charge = u128::from(tariff.charge(MemoryMb::new(mb).unwrap(), billed_ms));
            let exact = u128::from(mb) * u128::from(billed_ms) * u128::from(gb_second);
            prop_assert!(charge * 1_024_000 <= exact + 512_000);
            prop_assert!(charge * 1_024_000 + 512_000 > exact);
        }

        #[test]
        fn billed_time_never_falls_below_what_was_used_nor_reaches_a_step_more(
            nanos in 0_u64..=2_000_000_000_000, step in 1_u32..=1_000,
        ) {
            let tariff = Tariff { rounding: Rounding::new(step).unwrap(), ..Tariff::default() };
            let billed = tariff.billed_ms(&usage(None, Duration::from_nanos(nanos)));
            prop_assert_eq!(billed % u64::from(step), 0);
            prop_assert!(billed * 1_000_000 >= nanos);
            prop_assert!(billed == u64::from(step) || (billed - u64::from(step)) * 1_000_000 < nanos);
        }
    }
}
