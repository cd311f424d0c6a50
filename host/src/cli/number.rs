//! Numbers on the command line, refused in our words.

/// A whole number from `MIN` to `MAX`.
///
/// # Errors
///
/// The rule, with an example.
pub(super) fn number<const MIN: u32, const MAX: u32>(text: &str) -> Result<u32, String> {
    let number = text.parse().ok();
    let number = number.filter(|number| (MIN..=MAX).contains(number));
    number.ok_or_else(|| {
        let example = 100.clamp(MIN, MAX);
        format!("give a whole number from {MIN} to {MAX}, such as {example}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_in_its_range_or_refused_with_an_example() {
        assert_eq!(number::<1, 10>("10"), Ok(10));
        assert_eq!(number::<0, 10_000>("0"), Ok(0));
        for bad in ["0", "11", "abc", "", "-1", "1.0", "99999999999"] {
            assert_eq!(
                number::<1, 10>(bad),
                Err("give a whole number from 1 to 10, such as 10".to_owned()),
                "{bad}"
            );
        }
    }
}
