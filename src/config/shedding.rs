//! From which load on mail is put off: two thresholds for each figure, at the first for credentials that have more than their
//! share, at the second for all.

use std::time::Duration;

use super::file::{self, At};
use super::findings::Findings;
use super::limits::{Bound, duration, whole};
use crate::policy::thresholds::{Shedding, Thresholds};

/// Messages that the spool holds. Each costs some KiB of rows; a start goes through all of them, and so does `queue list`: at the
/// second it takes seconds. A large gate sends as many in a day.
const MESSAGES: Pair<u64> =
    Pair { first: Bound { key: "shed_messages", default: 100_000, least: 1, most: 1_000_000_000 }, second: 200_000 };
/// Their octets: what small servers have left of their disks. Where less is free, `reserve` refuses before that.
const OCTETS: Pair<u64> =
    Pair { first: Bound { key: "shed_octets", default: 8 << 30, least: 1 << 10, most: 1 << 50 }, second: 16 << 30 };
/// A commit of the vault's store and those that it waits for: milliseconds, tens of them on a slow disk. Clients of HTTP, as the edges, give
/// up after half a minute, and a message waits for more than one.
const LATENCY: Pair<Duration> = Pair {
    first: Bound {
        key: "shed_latency",
        default: Duration::from_secs(2),
        least: Duration::from_millis(10),
        most: Duration::from_secs(60),
    },
    second: Duration::from_secs(10),
};

/// The first threshold, with the range of both, and the second when there is no key.
struct Pair<T> {
    first: Bound<T>,
    second: T,
}

pub fn plan(written: &file::Spool, findings: &mut Findings<'_>) -> Shedding {
    let number =
        |at: &At<i64>, bound: &Bound<u64>, findings: &mut Findings<'_>| whole(&Some(at.clone()), bound, findings);
    Shedding {
        messages: pair(&written.shed_messages, &MESSAGES, number, findings),
        octets: pair(&written.shed_octets, &OCTETS, number, findings),
        latency: pair(&written.shed_latency, &LATENCY, duration, findings),
    }
}

fn pair<W, T: PartialOrd + Copy>(
    written: &Option<Vec<At<W>>>,
    Pair { first: bound, second }: &Pair<T>,
    read: impl Fn(&At<W>, &Bound<T>, &mut Findings<'_>) -> T,
    findings: &mut Findings<'_>,
) -> Thresholds<T> {
    let default = Thresholds { heavy: bound.default, all: *second };
    let Some(list) = written else { return default };
    let key = bound.key;
    let [first, second] = list.as_slice() else {
        findings.refuse_whole(format!(
            "spool: {key}: give two thresholds: from the first on credentials with more than their share are told to come again, \
             from the second on all are"
        ));
        return default;
    };
    let (heavy, all) = (read(first, bound, findings), read(second, bound, findings));
    if all < heavy {
        findings
            .refuse(second.span(), format!("{key}: the second threshold, which is for all, is less than the first"));
    }
    Thresholds { heavy, all }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_sound<T: PartialOrd>(Pair { first: Bound { default, least, most, .. }, second }: &Pair<T>) -> bool {
        least <= default && default <= second && second <= most
    }

    #[test]
    fn every_default_lies_within_its_bounds() {
        assert!(is_sound(&MESSAGES) && is_sound(&OCTETS) && is_sound(&LATENCY));
    }
}
