//! Whole amounts, multiplied and shared out exactly.
//!
//! Knows nothing of what the amounts are.

/// `a * b / c` and the rest, also where the product does not fit. A quotient that does not fit stays at
/// its greatest value; `c` must not be 0 or more than 2¹²⁷.
pub(super) fn mul_div(a: u128, b: u128, c: u128) -> (u128, u128) {
    let one = |n: u128| (n.checked_div(c).unwrap_or(0), n.checked_rem(c).unwrap_or(0));
    if let Some(product) = a.checked_mul(b) {
        return one(product);
    }
    let (a_whole, a_rest) = one(a);
    let (mut whole, mut rest) = (0_u128, 0_u128);
    // Long multiplication: double what is there, then add `a` where `b` has a bit.
    for bit in (0..u128::BITS).rev() {
        (whole, rest) = add((whole, rest), (whole, rest), c);
        if (b >> bit) & 1 == 1 {
            (whole, rest) = add((whole, rest), (a_whole, a_rest), c);
        }
    }
    (whole, rest)
}

/// The sum of two quotients with their rests.
fn add(one: (u128, u128), other: (u128, u128), c: u128) -> (u128, u128) {
    let rest = one.1.saturating_add(other.1);
    let whole = one.0.saturating_add(other.0);
    match rest.checked_sub(c) {
        Some(rest) => (whole.saturating_add(1), rest),
        None => (whole, rest),
    }
}

/// `amount` shared out by `weights`: to each what it has a right to, rounded down, and one more to those
/// with the greatest rests, the first ones of equal ones. They add up to `amount`, unless all weights
/// are 0; then nobody gets anything.
pub(super) fn shares(amount: u128, weights: &[u128]) -> Vec<u128> {
    let all = weights
        .iter()
        .fold(0_u128, |sum, weight| sum.saturating_add(*weight));
    if all == 0 {
        return vec![0; weights.len()];
    }
    let parts: Vec<(u128, u128)> = weights
        .iter()
        .map(|weight| mul_div(amount, *weight, all))
        .collect();
    let mut shares: Vec<u128> = parts.iter().map(|(whole, _)| *whole).collect();
    let given = shares
        .iter()
        .fold(0_u128, |sum, share| sum.saturating_add(*share));
    let left = usize::try_from(amount.saturating_sub(given)).unwrap_or(usize::MAX);
    let mut order: Vec<usize> = (0..parts.len()).collect();
    let rest = |at: &usize| parts.get(*at).map_or(0, |(_, rest)| *rest);
    order.sort_by_key(|at| std::cmp::Reverse(rest(at)));
    for at in order.into_iter().take(left) {
        if let Some(share) = shares.get_mut(at) {
            *share = share.saturating_add(1);
        }
    }
    shares
}

/// One of the shares; 0 for who has none.
pub(super) fn part(shares: &[u128], at: Option<usize>) -> u128 {
    at.and_then(|at| shares.get(at)).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![expect(
        clippy::arithmetic_side_effects,
        reason = "a test that overflows fails"
    )]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_product_that_does_not_fit_is_divided_all_the_same() {
        let big = 1_u128 << 100;
        assert_eq!(mul_div(big, big, big), (big, 0));
        assert_eq!(mul_div(big + 1, big - 1, big), (big - 1, big - 1));
        assert_eq!(
            mul_div(u128::MAX, 3, 7),
            (
                (u128::MAX / 7) * 3 + (u128::MAX % 7 * 3) / 7,
                (u128::MAX % 7 * 3) % 7
            )
        );
    }

    #[test]
    fn the_greatest_rests_get_what_is_left() {
        assert_eq!(shares(10, &[1, 1, 1]), [4, 3, 3]);
        assert_eq!(shares(10, &[0, 1, 2]), [0, 3, 7]);
        assert_eq!(shares(5, &[0, 0]), [0, 0]);
        assert_eq!(shares(5, &[]), [0_u128; 0]);
    }

    proptest! {
        #[test]
        fn long_multiplication_is_multiplication(a in 0_u128..1 << 60, b in 0_u128..1 << 60, c in 1_u128 << 64..1 << 90) {
            // Scaled beyond what fits, so that the long way is taken.
            let (whole, rest) = mul_div(a << 40, b << 30, c);
            // The product and `whole * c + rest`, compared modulo 2^128.
            let expected = (a * b) << 70;
            prop_assert!(rest < c);
            prop_assert_eq!(whole.wrapping_mul(c).wrapping_add(rest), expected);
            // And by size: the rest is less than one part.
            let about = (a * b) / (c >> 64).max(1);
            prop_assert!(whole >> 7 <= about);
        }

        #[test]
        fn shares_add_up_and_nobody_gets_more_than_their_weight_of_a_smaller_amount(
            weights in proptest::collection::vec(0_u128..1 << 100, 1..8), part in 0_u128..=1_000,
        ) {
            let all: u128 = weights.iter().sum();
            let amount = mul_div(all, part, 1_000).0;
            let shares = shares(amount, &weights);
            prop_assert_eq!(shares.iter().sum::<u128>(), amount);
            for (share, weight) in shares.iter().zip(&weights) {
                prop_assert!(share <= weight);
            }
        }
    }
}
