//! The logarithm that weighted rendezvous needs: in integers, monotone, the same on every machine.
//!
//! `f64::ln` is left to the platform's mathematics library, whose last bits differ between systems and
//! versions; two processes that disagree on one bit may disagree on a key. So the logarithm is computed here,
//! and only compared.
//!
//! What the choice of a shard rests on is not accuracy but monotony: the better score must never get the
//! higher cost, or removing a shard could move a key of another. A function that is linear between exact
//! nodes has that by construction. The price is accuracy: with 1 024 nodes the share of a shard is off by
//! less than 0.05 %.

/// The binary digits after the point of a cost.
pub(super) const FRACTION: u32 = 57;
const NODE_BITS: u32 = 10;
const NODES: usize = 1 << NODE_BITS;
/// The bits of a score's mantissa that lie between two nodes.
const STEP_BITS: u32 = 63 - NODE_BITS;

/// `-log2((score + 1) / 2^64)` in units of 2^-57: 0 for the best score, 2^63 for the worst.
///
/// A higher score never has a higher cost (but neighbours may have the same one).
#[expect(
    clippy::as_conversions,
    clippy::indexing_slicing,
    reason = "the index is the top ten bits of a mantissa, and the table has one entry more than that; a product \
              of two numbers below 2^57 and 2^53, shifted by 53, is below 2^57"
)]
pub(super) fn cost(score: u64) -> u64 {
    let Some(value) = score.checked_add(1) else {
        return 0;
    };
    let zeros = value.leading_zeros();
    let mantissa = (value << zeros) << 1;
    let node = (mantissa >> (64 - NODE_BITS)) as usize;
    let step = ((mantissa << NODE_BITS) >> NODE_BITS) >> 1;
    let (here, next) = (TABLE[node], TABLE[node + 1]);
    let fall = (u128::from(here - next) * u128::from(step)) >> STEP_BITS;
    (u64::from(zeros) << FRACTION) + (here - fall as u64)
}

/// `1 - log2(1 + node / 1024)` in units of 2^-57, rounded down, from 1 to 0.
static TABLE: [u64; NODES + 1] = table();

#[expect(
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "evaluated by the compiler, index within bounds"
)]
const fn table() -> [u64; NODES + 1] {
    let mut table = [0; NODES + 1];
    let mut node = 0;
    while node < NODES {
        table[node] = (1 << FRACTION) - log2_fraction((1 << 63) | ((node as u64) << STEP_BITS));
        node += 1;
    }
    table
}

/// The fraction of `log2(mantissa / 2^63)`, bit by bit: squaring doubles the logarithm, and each overflow is
/// a bit.
#[expect(clippy::as_conversions, reason = "the value is brought below 2^64 before it is narrowed")]
const fn log2_fraction(mut mantissa: u64) -> u64 {
    let mut bits = 0;
    let mut position = 0;
    while position < FRACTION {
        let square = ((mantissa as u128) * (mantissa as u128)) >> 63;
        let overflow = (square >> 64) as u32;
        bits = (bits << 1) | overflow as u64;
        mantissa = (square >> overflow) as u64;
        position += 1;
    }
    bits
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[expect(clippy::as_conversions, reason = "a test compares with floating point")]
    fn exact(score: u64) -> f64 {
        64.0 - ((score as f64) + 1.0).log2()
    }

    #[expect(clippy::as_conversions, reason = "a test compares with floating point")]
    fn rounded(score: u64) -> f64 {
        cost(score) as f64 / (1_u64 << FRACTION) as f64
    }

    #[test]
    fn powers_of_two_are_exact() {
        assert_eq!(cost(u64::MAX), 0);
        assert_eq!(cost(0), 1 << 63);
        for bit in 0..64 {
            assert_eq!(cost((1 << bit) - 1), u64::from(64_u32 - bit) << FRACTION);
        }
    }

    #[test]
    fn nodes_fall_strictly() {
        assert!(TABLE.windows(2).all(|pair| pair[0] > pair[1]));
        assert_eq!((TABLE[0], TABLE[NODES]), (1 << FRACTION, 0));
    }

    #[test]
    fn it_is_close_to_the_logarithm() {
        for score in (0..64).map(|bit| u64::MAX >> bit).chain((1..1_000_000).map(|n| n * 18_446_744_073_709))
        {
            let (got, expected) = (rounded(score), exact(score));
            assert!((got - expected).abs() <= expected * 5e-4 + 1e-9, "{score}: {got} instead of {expected}");
        }
    }

    proptest! {
        #[test]
        fn a_higher_score_never_costs_more(score in any::<u64>(), gap in 0_u32..64) {
            let higher = score.saturating_add(1 << gap);
            prop_assert!(cost(higher) <= cost(score));
            prop_assert!(cost(score.saturating_add(1)) <= cost(score));
        }
    }
}
