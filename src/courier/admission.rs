//! Whom a refusal is meant for that may be meant for all: many say 530, 454 or `5.7.1` at MAIL, or 403, to a sender that is not ours, and
//! would to every message of his, while they take those of others; and a relay that has forgotten us says it to everybody, at MAIL or, as
//! Postfix does, at RCPT. `K` is whom it may be meant for alone: a sender, or a recipient.

use std::collections::VecDeque;

/// How many who were refused are remembered: more at a time are hardly the senders' affair.
const MOST: usize = 64;

/// How messages were answered of late.
#[derive(Debug)]
pub struct Admission<K> {
    /// A message has passed, and nobody had no host since.
    passed: bool,
    /// Whose message was refused last, with none that passed since.
    refused: Option<K>,
    /// Who was refused, and whether others passed since; the last one is last.
    known: VecDeque<(K, bool)>,
    /// Others than he were refused with none that passed since.
    several: bool,
}

impl<K> Default for Admission<K> {
    fn default() -> Self {
        Self { passed: false, refused: None, known: VecDeque::new(), several: false }
    }
}

impl<K: Clone + PartialEq> Admission<K> {
    /// Whether a refusal of this one would be his affair: others passed, or he was refused just before and would be again.
    /// Otherwise it is the route's.
    pub fn is_of(&self, whom: &K) -> bool {
        self.passed || self.refused.as_ref() == Some(whom)
    }

    /// Whether another refusal of this one is known to be his own: he was refused, others passed, and nobody else was refused since.
    /// Without such a proof a message may wait, and is not given up.
    pub fn is_known(&self, whom: &K) -> bool {
        let is_alone = !self.several && self.refused.as_ref().is_none_or(|other| other == whom);
        is_alone && self.known.iter().any(|(known, others)| known == whom && *others)
    }

    pub fn passed(&mut self, whom: &K) {
        (self.passed, self.refused, self.several) = (true, None, false);
        self.known.retain(|(known, _)| known != whom);
        self.known.iter_mut().for_each(|(_, others)| *others = true);
    }

    pub fn refused(&mut self, whom: &K) {
        self.several |= self.refused.as_ref().is_some_and(|other| other != whom);
        self.refused = Some(whom.clone());
        if !self.known.iter().any(|(known, _)| known == whom) {
            self.known.push_back((whom.clone(), false));
        }
        if self.known.len() > MOST {
            self.known.pop_front();
        }
    }

    /// No host was of use: who is let in when one is again isn't known.
    pub fn failed(&mut self) {
        self.passed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::{Address, ReversePath};

    fn sender(text: &str) -> ReversePath {
        Some(Address::parse(text).unwrap())
    }

    #[test]
    fn rule_q1_a_refusal_that_speaks_of_the_login_is_the_routes_until_others_pass_or_one_sender_has_it_twice() {
        let (bad, good) = (sender("bad@a.test"), sender("good@a.test"));
        let mut admission = Admission::default();
        assert!(!admission.is_of(&bad));
        admission.refused(&bad);
        admission.failed();
        assert!(admission.is_of(&bad) && !admission.is_of(&good) && !admission.is_of(&None));
        admission.refused(&good);
        assert!(!admission.is_of(&bad), "several are refused: it is the route");
        admission.passed(&good);
        for _ in 0..3 {
            assert!(admission.is_of(&bad) && admission.is_of(&good));
            admission.refused(&bad);
        }
        admission.failed();
        assert!(!admission.is_of(&good));
    }

    #[test]
    fn rule_q15_a_policy_is_one_senders_when_he_is_refused_again_behind_others_who_passed() {
        let (bad, good, other) = (sender("bad@a.test"), sender("good@a.test"), sender("other@a.test"));
        let mut admission = Admission::default();
        admission.passed(&good);
        assert!(!admission.is_known(&bad), "nobody has refused him");
        admission.refused(&bad);
        assert!(!admission.is_known(&bad), "nobody has passed since");
        admission.passed(&good);
        assert!(admission.is_known(&bad) && !admission.is_known(&good));
        admission.refused(&bad);
        assert!(admission.is_known(&bad));
        // Now everybody is.
        admission.refused(&other);
        assert!(!admission.is_known(&bad) && !admission.is_known(&other));
        admission.refused(&bad);
        assert!(!admission.is_known(&bad));
        admission.passed(&bad);
        assert!(!admission.is_known(&bad) && admission.is_known(&other));
        for number in 0..MOST {
            admission.refused(&sender(&format!("{number}@a.test")));
        }
        admission.passed(&good);
        assert!(!admission.is_known(&other), "only so many are remembered");
    }
}
