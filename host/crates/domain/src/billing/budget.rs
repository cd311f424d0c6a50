//! A budget: how much a month may cost, and where it warns.
//!
//! Knows nothing of who spends.

use serde::{Deserialize, Serialize};

use super::PicoUsd;

/// Pico-dollars of a dollar.
const PICO: u64 = 1_000_000_000_000;

/// Decimals of an amount.
const DECIMALS: usize = 12;

/// What a month may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Pico-dollars a month, from 1 to [`Budget::MAX`].
    pub monthly: PicoUsd,
    /// Whether nothing more is run once it is spent.
    pub throttle: bool,
}

/// How much of a budget is spent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Less than 80 %.
    Within,
    /// 80 % or more.
    Near,
    /// All of it, or more.
    Spent,
}

impl Budget {
    /// The largest budget: ten million dollars.
    pub const MAX: PicoUsd = 10_000_000 * PICO;

    /// From how many pico-dollars on it is [`Level::Near`].
    #[must_use]
    pub fn near(self) -> PicoUsd {
        // Rounded up: 79.99 % is not 80 %.
        let eighty = u128::from(self.monthly).saturating_mul(8).div_ceil(10);
        PicoUsd::try_from(eighty).unwrap_or(PicoUsd::MAX)
    }

    /// How much of it `spent` pico-dollars are.
    #[must_use]
    pub fn level(self, spent: PicoUsd) -> Level {
        if spent >= self.monthly {
            Level::Spent
        } else if spent >= self.near() {
            Level::Near
        } else {
            Level::Within
        }
    }

    /// How much of it `spent` pico-dollars are, in hundredths of a percent, rounded down.
    #[must_use]
    pub fn hundredths_of_percent(self, spent: PicoUsd) -> u64 {
        let scaled = u128::from(spent).saturating_mul(10_000);
        let part = scaled.checked_div(self.monthly.into()).unwrap_or(0);
        u64::try_from(part).unwrap_or(u64::MAX)
    }
}

/// Reads an amount in dollars, such as `5`, `0.25` or `0.000000000001`, exactly; `None` for what is no
/// plain decimal number, has more than twelve decimals, or does not fit.
#[must_use]
pub fn parse_usd(text: &str) -> Option<PicoUsd> {
    let (dollars, decimals) = match text.split_once('.') {
        Some((_, "")) => return None,
        Some(parts) => parts,
        None => (text, ""),
    };
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if dollars.is_empty()
        || !is_digits(dollars)
        || !is_digits(decimals)
        || decimals.len() > DECIMALS
    {
        return None;
    }
    let dollars: u64 = dollars.parse().ok()?;
    let pico: u64 = format!("{decimals:0<DECIMALS$}").parse().ok()?;
    dollars.checked_mul(PICO)?.checked_add(pico)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::usd_text;
    use super::*;

    #[test]
    fn an_amount_is_read_to_its_last_decimal() {
        for (text, pico) in [
            ("5", 5 * PICO),
            ("0.25", PICO / 4),
            ("0.000000000001", 1),
            ("005.10", 5_100_000_000_000),
            ("10000000", Budget::MAX),
        ] {
            assert_eq!(parse_usd(text), Some(pico), "{text}");
        }
        for bad in [
            "",
            ".",
            "5.",
            ".5",
            "-1",
            "+1",
            "1e3",
            "1_000",
            "1,5",
            "0.0000000000001",
            " 1",
            "nan",
            "99999999999999999999",
            "18446745",
            "٥",
        ] {
            assert_eq!(parse_usd(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_levels_begin_exactly_where_they_are_said_to() {
        let budget = Budget {
            monthly: 1_001,
            throttle: false,
        };
        // 80 % of 1,001 are 800.8.
        for (spent, level) in [
            (0, Level::Within),
            (800, Level::Within),
            (801, Level::Near),
            (1_000, Level::Near),
            (1_001, Level::Spent),
            (u64::MAX, Level::Spent),
        ] {
            assert_eq!(budget.level(spent), level, "{spent}");
        }
        assert_eq!(budget.hundredths_of_percent(500), 4_995);
        assert_eq!(budget.hundredths_of_percent(2_002), 20_000);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same_amount(pico in any::<u64>()) {
            prop_assert_eq!(parse_usd(&usd_text(pico.into())), Some(pico));
        }
    }
}
