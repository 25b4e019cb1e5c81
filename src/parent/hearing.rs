//! Which word is believed from whom, and when. A child that was taken over speaks, too.

use std::time::{Duration, Instant};

use super::child::Standing;
use crate::ipc::control::Report;
use crate::role::Role;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hearing {
    Heed,
    /// Last words of one that was told to go.
    Ignore,
    /// It has no say in that, or not now: it is ended and replaced.
    Condemn,
}

pub fn hear(role: Role, standing: Standing, report: &Report) -> Hearing {
    use Standing::{Draining, Ready, Starting};
    match (report, standing) {
        (Report::Hello { role: said, .. }, Starting { .. }) if *said == role => Hearing::Heed,
        (Report::Ready { .. } | Report::Failed { .. }, Starting { .. }) => Hearing::Heed,
        // The vault may refuse a new configuration, and hands on an administrator's wish for one.
        (Report::Failed { .. } | Report::Reload { .. } | Report::NextMasterKey | Report::LetGo(_), Ready { .. })
            if role == Role::Vault =>
        {
            Hearing::Heed
        }
        (Report::Switched(_), Ready { .. }) if matches!(role, Role::Vault | Role::Listener) => Hearing::Heed,
        (Report::Alive, Ready { .. } | Draining { .. }) if role == Role::Vault => Hearing::Heed,
        (_, Draining { .. }) => Hearing::Ignore,
        _ => Hearing::Condemn,
    }
}

/// Why a child fell by its own word. Its last words are believed as its earlier ones are: what serves strangers can't say.
pub fn last_words(role: Role, standing: Standing, report: Report) -> Option<String> {
    match (hear(role, standing, &report), report) {
        (Hearing::Heed, Report::Failed { reason }) => Some(reason),
        _ => None,
    }
}

/// Whose end the vault may ask for: those that it serves.
pub fn may_be_let_go(role: Role) -> bool {
    matches!(role, Role::EdgeSmtp | Role::EdgeHttp | Role::Courier | Role::Mailer)
}

/// What a child says within a time. One that was taken over could fill our log, and hold us up, by talking.
#[derive(Debug)]
pub struct Talk {
    since: Instant,
    words: u32,
}

/// More than any has to say within the time: a vault says that it is alive twelve times, and little else.
const WORDS: u32 = 600;
const WITHIN: Duration = Duration::from_secs(60);

impl Talk {
    pub fn new(now: Instant) -> Self {
        Self { since: now, words: 0 }
    }

    /// Counts one word; whether it was one too many.
    pub fn is_too_much(&mut self, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= WITHIN {
            *self = Self::new(now);
        }
        self.words = self.words.saturating_add(1);
        self.words > WORDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::reload::Ticket;
    use crate::role::{Generation, Instance, TABLE};

    #[test]
    fn each_word_is_believed_only_from_who_has_a_say_and_in_its_moment() {
        let now = Instant::now();
        let starting = Standing::Starting { until: now };
        let ready = Standing::Ready { since: now };
        let draining = Standing::Draining { until: now };
        let words = |role| {
            [
                Report::Hello { role, build: String::new() },
                Report::Ready { missing: vec![] },
                Report::Failed { reason: String::new() },
                Report::Switched(Generation(2)),
                Report::Reload { ticket: Ticket(1), by: String::new() },
                Report::Alive,
                Report::NextMasterKey,
                Report::LetGo(Instance(1)),
            ]
        };
        let heeded = |role, standing| -> Vec<usize> {
            let words = words(role);
            (0..words.len()).filter(|at| hear(role, standing, &words[*at]) == Hearing::Heed).collect()
        };
        for role in TABLE.iter().map(|row| row.role) {
            assert_eq!(heeded(role, starting), [0, 1, 2], "{role}");
            let (while_ready, while_draining): (&[usize], &[usize]) = match role {
                Role::Vault => (&[2, 3, 4, 5, 6, 7], &[5]),
                Role::Listener => (&[3], &[]),
                _ => (&[], &[]),
            };
            assert_eq!(heeded(role, ready), while_ready, "{role}");
            assert_eq!(heeded(role, draining), while_draining, "{role}");
            assert_eq!(hear(role, ready, &Report::Ready { missing: vec![] }), Hearing::Condemn, "{role}: ready twice");
            assert_eq!(
                hear(role, draining, &Report::Ready { missing: vec![] }),
                Hearing::Ignore,
                "{role}: no reprieve"
            );
        }
        let lie = Report::Hello { role: Role::Vault, build: String::new() };
        assert_eq!(hear(Role::EdgeSmtp, starting, &lie), Hearing::Condemn);
    }
    #[test]
    fn nobody_that_serves_can_say_why_it_fell_but_the_vault() {
        let now = Instant::now();
        let said = |role, standing| {
            let report = Report::Failed { reason: "all was well".into() };
            last_words(role, standing, report).is_some()
        };
        for role in TABLE.iter().map(|row| row.role) {
            assert!(said(role, Standing::Starting { until: now }), "{role}");
            assert_eq!(said(role, Standing::Ready { since: now }), role == Role::Vault, "{role}");
            assert!(!said(role, Standing::Draining { until: now }), "{role}");
        }
        let reload = Report::Reload { ticket: Ticket(1), by: String::new() };
        assert_eq!(last_words(Role::Vault, Standing::Ready { since: now }, reload), None);
    }

    #[test]
    fn the_vault_may_have_those_replaced_that_it_serves_and_no_others() {
        let roles = TABLE.iter().map(|row| row.role).filter(|role| may_be_let_go(*role));
        let mut names: Vec<&str> = roles.map(Role::name).collect();
        names.sort_unstable();
        assert_eq!(names, ["courier", "edge-http", "edge-smtp", "mailer"]);
    }

    #[test]
    fn a_child_that_talks_without_end_is_noticed_and_one_that_lives_long_is_not() {
        let begun = Instant::now();
        let mut alive = Talk::new(begun);
        assert!((0..10_000).all(|n| !alive.is_too_much(begun + Duration::from_secs(5 * n))));
        let mut flood = Talk::new(begun);
        assert!((0..WORDS).all(|_| !flood.is_too_much(begun)));
        assert!(flood.is_too_much(begun + WITHIN / 2));
    }
}
