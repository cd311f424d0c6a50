//! Medians, and what a ratio of two contestants is.
//!
//! Knows nothing of what is measured.

/// The value in the middle; between the two in the middle of an even number of values.
pub(crate) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        length if length % 2 == 1 => Some(sorted[middle]),
        _ => Some(f64::midpoint(sorted[middle - 1], sorted[middle])),
    }
}

/// Smallest, median and largest.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub(crate) struct Spread {
    pub(crate) least: f64,
    pub(crate) median: f64,
    pub(crate) most: f64,
}

impl Spread {
    /// None without a value.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            least: values.iter().copied().reduce(f64::min)?,
            median: median(values)?,
            most: values.iter().copied().reduce(f64::max)?,
        })
    }

    /// The ratios of each round by itself: what a whole round had to suffer cancels out.
    ///
    /// Both hold one value for each round, in the order of the rounds.
    pub(crate) fn of_ratios(these: &[f64], to: &[f64]) -> Option<Self> {
        let ratios: Vec<f64> = these.iter().zip(to).map(|(this, to)| this / to).collect();
        Self::of(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[9.0, 1.0, 2.0, 4.0]), Some(3.0));
    }

    #[test]
    fn ratios_are_taken_in_each_round() {
        // The second round was slow for both: the ratio is the same, and a ratio of medians or sums
        // would not show it better.
        let ratios = Spread::of_ratios(&[10.0, 40.0, 12.0], &[20.0, 80.0, 20.0]).unwrap();
        let expected = Spread {
            least: 0.5,
            median: 0.5,
            most: 0.6,
        };
        assert_eq!(ratios, expected);
        assert_eq!(Spread::of_ratios(&[], &[1.0]), None);
    }
}
