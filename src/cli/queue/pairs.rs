//! Whom two events of one message name alike: who was given up and came back, or came in and ended.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::before::Mark;
use crate::mail::address::Address;

/// A recipient as an event names it.
#[derive(Clone, Debug)]
pub struct Mention {
    /// What auditors see of it, which others of the message may have in common with it.
    pub shown: String,
    /// In clear, where that is known.
    pub clear: Option<String>,
    /// The event is of another log: its place says nothing beside those of this one.
    pub is_foreign: bool,
}

impl Mention {
    /// By an event of this log.
    pub fn of(shown: &str, clear: Option<String>) -> Self {
        let clear = clear.map(|clear| Address::canonical(&clear));
        Self { shown: shown.to_owned(), clear, is_foreign: false }
    }

    /// As much of it as is known.
    pub fn text(&self) -> &str {
        self.clear.as_deref().unwrap_or(&self.shown)
    }
}

/// Recipients by where they stand.
pub type Mentions = BTreeMap<Mark, Mention>;

/// Of each that came first the later one that names it too. Known addresses are compared; where one of two isn't known, one that is
/// shown alike stands for one, and never for all who look so.
pub fn pairs(first: &Mentions, later: &Mentions) -> BTreeMap<Mark, Mark> {
    let mut left = Left::default();
    first.iter().for_each(|(mark, mention)| left.add(mark, mention));
    let mut later: Vec<(&Mark, &Mention)> = later.iter().collect();
    later.sort_by_key(|(mark, _)| (time_us(mark), mark.0, mark.2));
    let mut pairs = BTreeMap::new();
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for (mark, mention) in later {
        let same = mention.clear.as_deref().and_then(|clear| left.by_address.get_mut(clear));
        let mut is_known = false;
        // Each of them: it can't have been twice in between, but by another log.
        for one in same.into_iter().flat_map(|queue| take(queue, mark, mention, usize::MAX)) {
            known.push(one.clone());
            pairs.insert(one, mark.clone());
            is_known = true;
        }
        if !is_known {
            unknown.push((mark, mention));
        }
    }
    left.forget(&known);
    for (mark, mention) in unknown {
        let Some([masked, clear]) = left.by_mask.get_mut(mention.shown.as_str()) else { continue };
        let found = take(masked, mark, mention, 1).pop();
        // Two known addresses were compared.
        let or_known = || mention.clear.is_none().then(|| take(clear, mark, mention, 1).pop()).flatten();
        if let Some(one) = found.or_else(or_known) {
            pairs.insert(one, mark.clone());
        }
    }
    pairs
}

/// Those who have no pair yet, in the order of the log.
#[derive(Default)]
struct Left<'a> {
    by_address: HashMap<&'a str, VecDeque<&'a Mark>>,
    /// Those whose address isn't known, and the others.
    by_mask: HashMap<&'a str, [VecDeque<&'a Mark>; 2]>,
}

impl<'a> Left<'a> {
    fn add(&mut self, mark: &'a Mark, mention: &'a Mention) {
        let [masked, clear] = self.by_mask.entry(&mention.shown).or_default();
        match &mention.clear {
            Some(address) => {
                clear.push_back(mark);
                self.by_address.entry(address).or_default().push_back(mark);
            }
            None => masked.push_back(mark),
        }
    }

    fn forget(&mut self, known: &[Mark]) {
        let known: std::collections::HashSet<&Mark> = known.iter().collect();
        self.by_mask.values_mut().for_each(|[_, clear]| clear.retain(|mark| !known.contains(mark)));
    }
}

/// The first ones that stand before an event, so many at most.
fn take(queue: &mut VecDeque<&Mark>, event: &Mark, mention: &Mention, most: usize) -> Vec<Mark> {
    let mut taken = Vec::new();
    while taken.len() < most
        && let Some(first) = queue.front().filter(|first| is_before(first, event, mention))
    {
        taken.push((*first).clone());
        queue.pop_front();
    }
    taken
}

/// By their places, unless one is of another log, or by their times: the clock may have been set between.
fn is_before(first: &Mark, event: &Mark, mention: &Mention) -> bool {
    (!mention.is_foreign && first.0 < event.0) || time_us(first) < time_us(event)
}

fn time_us((_, time, _): &Mark) -> u64 {
    time.parse().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `5 a@x` or, where only the mask is known, `5 ?`.
    fn mentions(all: &[&str]) -> Mentions {
        let one = |(n, text): (u32, &&str)| {
            let (seq, who) = text.split_once(' ').unwrap();
            let clear = Some(who.to_owned()).filter(|who| who != "?");
            let seq: u64 = seq.parse().unwrap();
            ((seq, (seq * 100).to_string(), n), Mention { shown: "***@x".into(), clear, is_foreign: false })
        };
        (0..).zip(all).map(one).collect()
    }

    #[test]
    fn each_has_the_later_one_of_the_same_address_and_a_mask_stands_for_one() {
        for (first, later, expected) in [
            (vec!["5 a", "5 b"], vec!["9 b"], vec!["5 b"]),
            (vec!["5 a", "5 b"], vec!["9 b", "9 a"], vec!["5 a", "5 b"]),
            (vec!["5 a"], vec!["5 a", "3 a", "9 b"], vec![]),
            (vec!["5 ?", "5 ?"], vec!["9 ?"], vec!["5 ?"]),
            (vec!["5 ?", "5 ?"], vec!["9 ?", "9 ?"], vec!["5 ?", "5 ?"]),
            (vec!["5 a", "11 ?"], vec!["9 a", "12 b"], vec!["5 a", "11 ?"]),
            // One that is only masked takes him last whose address is known.
            (vec!["5 a", "6 ?"], vec!["9 ?"], vec!["6 ?"]),
            (vec!["5 a"], vec!["9 ?"], vec!["5 a"]),
        ] {
            let (from, to) = (mentions(&first), mentions(&later));
            let found: Vec<String> = pairs(&from, &to)
                .keys()
                .map(|mark| format!("{} {}", mark.0, first[mark.2 as usize].split_once(' ').unwrap().1))
                .collect();
            assert_eq!(found, expected, "{first:?} {later:?}");
        }
    }
}
