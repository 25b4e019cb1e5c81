//! Which word is believed from whom, and when. A child that was taken over speaks, too.

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
        (Report::Failed { .. } | Report::Reload | Report::NextMasterKey, Ready { .. }) if role == Role::Vault => {
            Hearing::Heed
        }
        (Report::Switched(_), Ready { .. }) if matches!(role, Role::Vault | Role::Listener) => Hearing::Heed,
        (Report::Alive, Ready { .. } | Draining { .. }) if role == Role::Vault => Hearing::Heed,
        (_, Draining { .. }) => Hearing::Ignore,
        _ => Hearing::Condemn,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::role::{Generation, TABLE};

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
                Report::Reload,
                Report::Alive,
                Report::NextMasterKey,
            ]
        };
        let heeded = |role, standing| -> Vec<usize> {
            let words = words(role);
            (0..words.len()).filter(|at| hear(role, standing, &words[*at]) == Hearing::Heed).collect()
        };
        for role in TABLE.iter().map(|row| row.role) {
            assert_eq!(heeded(role, starting), [0, 1, 2], "{role}");
            let (while_ready, while_draining): (&[usize], &[usize]) = match role {
                Role::Vault => (&[2, 3, 4, 5, 6], &[5]),
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
}
