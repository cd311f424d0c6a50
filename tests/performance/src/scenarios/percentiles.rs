//! Many measurements of one thing, and what a part of them stayed within.

use std::time::Duration;

use super::figures::ms;

/// Measurements in ascending order, at least one.
#[derive(Debug)]
pub(super) struct Percentiles(Vec<f64>);

impl Percentiles {
    /// Of numbers in any order and any unit.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn of(mut values: Vec<f64>) -> anyhow::Result<Self> {
        anyhow::ensure!(!values.is_empty(), "nothing was measured");
        values.sort_by(f64::total_cmp);
        Ok(Self(values))
    }

    /// Of durations, in milliseconds.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(super) fn of_ms(durations: &[Duration]) -> anyhow::Result<Self> {
        Self::of(durations.iter().map(|duration| ms(*duration)).collect())
    }

    /// The value that `percent` (0 to 100) of the measurements stay within.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        let rank = (self.0.len() * percent).div_ceil(100);
        self.0[rank.max(1) - 1]
    }

    /// The value in the middle; the lower one of two.
    pub(super) fn median(&self) -> f64 {
        self.percentile(50)
    }

    /// The largest.
    pub(super) fn most(&self) -> f64 {
        self.percentile(100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_so_many_stay_within() {
        let percentiles = Percentiles::of((1..=300).rev().map(f64::from).collect()).unwrap();
        assert_eq!(percentiles.median(), 150.0);
        assert_eq!(percentiles.percentile(99), 297.0);
        assert_eq!(percentiles.most(), 300.0);
        assert_eq!(percentiles.percentile(0), 1.0);
        Percentiles::of(Vec::new()).unwrap_err();
    }

    #[test]
    fn the_median_of_few_is_one_of_them() {
        let percentiles = Percentiles::of_ms(&[5, 1, 3].map(Duration::from_millis)).unwrap();
        assert_eq!(percentiles.median(), 3.0);
        assert_eq!(percentiles.percentile(99), 5.0);
    }
}
