//! Where a credential's mail really goes: to whom a message names, or to one mailbox instead of them all; and copies beside.

use super::Policy;
use super::simulation::{self, End};
use crate::mail::address::Address;
use crate::mail::dsn::{Notify, Wish};
use crate::mail::envelope::Addressee;

/// Mailboxes that get a copy of each message: each is one more delivery of all mail.
pub const MOST: usize = 8;

impl Policy {
    /// Who gets a message that names these. Nobody is told what became of a copy: its address is the operator's, and the
    /// sender need not know that there is one. Where all mail is redirected nobody else gets any, also no copy.
    pub fn destinations(&self, named: Vec<Addressee>) -> Vec<Addressee> {
        if let Some(to) = &self.redirect {
            let notify = named.iter().map(|one| one.wish.notify).reduce(Notify::both).flatten();
            return vec![Addressee { address: to.clone(), wish: Wish { notify, orcpt: None } }];
        }
        let copies: Vec<Addressee> = self.copies(named.iter().map(|one| &one.address)).map(silent).collect();
        named.into_iter().chain(copies).collect()
    }

    /// Those whom a message to these goes to beside them.
    pub fn copies<'a>(&'a self, named: impl Iterator<Item = &'a Address> + Clone) -> impl Iterator<Item = &'a Address> {
        let copies = if self.redirect.is_some() { &[] } else { self.always_bcc.as_slice() };
        copies.iter().filter(move |copy| !named.clone().any(|one| one == *copy))
    }

    /// What is wrong with them; in words.
    pub fn check_destinations(&self) -> Result<(), String> {
        if self.always_bcc.len() > MOST {
            return Err(format!("always_bcc: at most {MOST}"));
        }
        let redirect = self.redirect.iter().map(|to| ("redirect", to));
        for (key, to) in redirect.chain(self.always_bcc.iter().map(|to| ("always_bcc", to))) {
            if to.is_international() || !to.is_qualified() {
                return Err(format!(
                    "{key}: {to}: write an address in ASCII with a full domain, such as \"test@example.net\""
                ));
            }
            if simulation::is_reserved(to) && !self.test {
                return Err(format!(
                    "{key}: {to} is an address for tests, and only mail of test credentials may go there"
                ));
            }
            // Nobody is there at the submission to whom a refusal could be said.
            if matches!(simulation::end(to), None | Some(End::Rejected)) {
                return Err(format!(
                    "{key}: {to}: mail doesn't end there: see docs/test-keys.md for addresses where it does"
                ));
            }
        }
        let twice =
            self.always_bcc.iter().enumerate().find(|(at, to)| self.always_bcc.iter().take(*at).any(|one| one == *to));
        twice.map_or(Ok(()), |(_, to)| Err(format!("always_bcc: {to} stands there twice")))
    }
}

/// One of whose delivery nobody is told.
fn silent(address: &Address) -> Addressee {
    Addressee { address: address.clone(), wish: Wish { notify: Some(Notify::never()), orcpt: None } }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn named(texts: &[&str]) -> Vec<Addressee> {
        texts.iter().map(|text| address(text).into()).collect()
    }

    fn who(list: &[Addressee]) -> Vec<String> {
        list.iter().map(|one| one.address.to_string()).collect()
    }

    #[test]
    fn everybody_or_one_instead_of_all_and_copies_beside() {
        let mut policy =
            Policy { always_bcc: vec![address("archive@example.net"), address("b@example.org")], ..Policy::default() };
        let both = policy.destinations(named(&["a@example.org", "b@example.org"]));
        assert_eq!(who(&both), ["a@example.org", "b@example.org", "archive@example.net"], "who is named gets one");
        assert!(both[0].wish.notify.is_none() && both[2].wish.notify == Notify::parse("NEVER").ok());
        policy.redirect = Some(address("test@example.net"));
        let mut all = named(&["a@example.org", "b@example.org"]);
        all[0].wish.notify = Notify::parse("SUCCESS").ok();
        let one = policy.destinations(all);
        assert_eq!(who(&one), ["test@example.net"]);
        assert!(one[0].wish.notify.is_some_and(Notify::on_success));
        for (wishes, expected) in [
            ([None, None], None),
            ([Some("NEVER"), Some("NEVER")], Some("NEVER")),
            ([Some("NEVER"), Some("SUCCESS,FAILURE")], Some("SUCCESS,FAILURE")),
            ([Some("SUCCESS"), None], Some("SUCCESS,FAILURE")),
            ([Some("NEVER"), None], Some("FAILURE")),
        ] {
            let mut all = named(&["a@example.org", "b@example.org"]);
            all.iter_mut()
                .zip(wishes)
                .for_each(|(one, wish)| one.wish.notify = wish.and_then(|wish| Notify::parse(wish).ok()));
            let notify = policy.destinations(all)[0].wish.notify;
            assert_eq!(notify.map(|notify| notify.to_string()).as_deref(), expected, "{wishes:?}");
        }
        assert_eq!(who(&Policy::default().destinations(named(&["a@example.org"]))), ["a@example.org"]);
    }

    #[test]
    fn what_can_be_no_destination_is_refused() {
        let check = |redirect: Option<&str>, bcc: &[&str]| {
            let parse = |text: &&str| Address::parse_international(text).unwrap();
            let policy = Policy {
                redirect: redirect.as_ref().map(parse),
                always_bcc: bcc.iter().map(parse).collect(),
                ..Policy::default()
            };
            policy.check_destinations()
        };
        assert_eq!(check(Some("a@example.net"), &["b@example.net", "c@example.net"]), Ok(()));
        for (redirect, bcc, why) in [
            (Some("a@localhost"), &[][..], "full domain"),
            (Some("ü@example.net"), &[], "ASCII"),
            (None, &["a@localhost"], "always_bcc"),
            (None, &["a@example.net", "A@example.net", "a@Example.net"], "twice"),
            (None, &["1@x.example"; 9], "at most 8"),
        ] {
            assert!(check(redirect, bcc).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn addresses_for_tests_are_for_test_credentials_alone() {
        let check = |test, to: &str| {
            let redirected = Policy { test, redirect: Some(address(to)), ..Policy::default() };
            let copied = Policy { test, always_bcc: vec![address(to)], ..Policy::default() };
            (redirected.check(), copied.check())
        };
        for to in ["bounced@sandbox.test", "delivered@resend.dev", "a@blackhole.postmarkapp.com"] {
            assert_eq!(check(true, to), (Ok(()), Ok(())), "{to}");
            let (redirected, copied) = check(false, to);
            let (redirected, copied) = (redirected.unwrap_err(), copied.unwrap_err());
            assert!(redirected.starts_with(&format!("redirect: {to} is an address for tests")), "{redirected}");
            assert!(copied.starts_with(&format!("always_bcc: {to} is an address for tests")), "{copied}");
        }
        for to in ["rejected@sandbox.test", "bounce@sandbox.test"] {
            let (redirected, copied) = check(true, to);
            assert!(redirected.unwrap_err().contains("doesn't end there") && copied.is_err(), "{to}");
        }
    }
}
