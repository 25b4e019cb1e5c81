//! Whom an answer that speaks of the login is meant for: many say 530 or 454 at MAIL, or 403, to a sender that is not ours, and would
//! to every message of his, while they take those of others.

use crate::mail::address::ReversePath;

/// How messages were answered of late.
#[derive(Debug, Default)]
pub struct Admission {
    /// A message has passed, and nobody had no host since.
    passed: bool,
    /// Whose message was refused last, with none that passed since.
    refused: Option<ReversePath>,
}

impl Admission {
    /// Whether a refusal of this sender's would be his affair: others passed, or he was refused just before and would be again.
    /// Otherwise it is the route's.
    pub fn is_of(&self, sender: &ReversePath) -> bool {
        self.passed || self.refused.as_ref() == Some(sender)
    }

    pub fn passed(&mut self) {
        (self.passed, self.refused) = (true, None);
    }

    pub fn refused(&mut self, sender: &ReversePath) {
        self.refused = Some(sender.clone());
    }

    /// No host was of use: who is let in when one is again isn't known.
    pub fn failed(&mut self) {
        self.passed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::address::Address;

    #[test]
    fn rule_q1_a_refusal_that_speaks_of_the_login_is_the_routes_until_others_pass_or_one_sender_has_it_twice() {
        let sender = |text: &str| Some(Address::parse(text).unwrap());
        let (bad, good) = (sender("bad@a.test"), sender("good@a.test"));
        let mut admission = Admission::default();
        assert!(!admission.is_of(&bad));
        admission.refused(&bad);
        admission.failed();
        assert!(admission.is_of(&bad) && !admission.is_of(&good) && !admission.is_of(&None));
        admission.refused(&good);
        assert!(!admission.is_of(&bad), "several are refused: it is the route");
        admission.passed();
        for _ in 0..3 {
            assert!(admission.is_of(&bad) && admission.is_of(&good));
            admission.refused(&bad);
        }
        admission.failed();
        assert!(!admission.is_of(&good));
    }
}
