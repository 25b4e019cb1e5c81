//! Whether hard bounces put an address on the list of those that nothing is sent to.

use std::time::Duration;

use super::*;
use crate::config::slice::CountBounces;

#[test]
fn bounces_are_counted_only_where_that_is_asked_for_and_within_bounds() {
    let table = |lines: &str| format!("{FULL}\n[suppression]\n{lines}\n");
    let rule = |lines: &str| load(&table(lines)).unwrap().suppression;
    let days = |n: u64| Duration::from_secs(n * 86_400);
    assert_eq!((load(FULL).unwrap().suppression, rule("bounces = false")), (None, None));
    assert_eq!(rule("bounces = true"), Some(CountBounces { after: 2, lifetime: days(90) }));
    let own = rule("bounces = true\nafter = 1\nlifetime = \"7d\"");
    assert_eq!(own, Some(CountBounces { after: 1, lifetime: days(7) }));
    let idle = load(&table("after = 3")).unwrap().warnings;
    assert!(idle.iter().any(|line| line.contains("after: has no effect without bounces = true")), "{idle:?}");
    for (lines, why) in [
        ("bounces = true\nafter = 0", "after: must be from"),
        ("bounces = true\nlifetime = \"1s\"", "lifetime: must be from"),
        ("bounces = \"yes\"", "bounces"),
        ("bounce = true", "bounce"),
    ] {
        let errors = load(&table(lines)).unwrap_err().0;
        assert!(errors[0].contains(why), "{lines}: {errors:?}");
    }
}
