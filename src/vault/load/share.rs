//! A credential's fair share of what is held.

/// How much each of these may have so that all of it, each cut down to that, is no more than `most`: who has less keeps what it
/// has, and what it leaves is for the others. Who has more than this is heavy. Without a bound where all of it is no more.
pub fn fair(mut all: Vec<u64>, most: u64) -> u64 {
    all.sort_unstable();
    let mut left = most;
    let mut credentials = u64::try_from(all.len()).unwrap_or(u64::MAX);
    for own in all {
        let share = left / credentials.max(1);
        if own > share {
            return share;
        }
        left -= own;
        credentials -= 1;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_q16_who_has_little_keeps_it_and_what_it_leaves_is_for_the_others() {
        assert_eq!(fair(vec![], 10), u64::MAX);
        assert_eq!(fair(vec![4, 6], 10), u64::MAX, "there is room for all");
        assert_eq!(fair(vec![11], 10), 10, "also of one alone");
        assert_eq!(fair(vec![50, 50], 10), 5);
        assert_eq!(fair(vec![1000, 1, 1, 1], 100), 97);
        assert_eq!(fair(vec![60, 30, 20, 5], 65), 20, "5 and three times 20");
        assert_eq!(fair(vec![1; 20], 10), 0, "everybody has too much");
        assert_eq!(fair(vec![u64::MAX, u64::MAX], u64::MAX), u64::MAX / 2);
    }

    #[test]
    fn as_long_as_there_is_too_much_somebody_is_heavy_and_without_the_excess_there_is_not() {
        let mut seed = 5u64;
        for most in 0..400 {
            let mut next = || {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 40) % 90 + 1
            };
            let all: Vec<u64> = (0..=most % 9).map(|_| next()).collect();
            let share = fair(all.clone(), most);
            let cut: u64 = all.iter().map(|own| own.min(&share)).sum();
            assert!(cut <= most, "{all:?} {most}: {share}");
            assert_eq!(all.iter().sum::<u64>() > most, all.iter().any(|own| *own > share), "{all:?} {most}: {share}");
        }
    }
}
