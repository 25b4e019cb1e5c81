//! A reload that a command asked for, and what became of it: what the parent tells the vault, and the vault the command.

use serde::{Deserialize, Serialize};

use super::frame::MAX_CONTENT;

/// Characters of a setting's name: an id in it has at most a quarter of that.
const KEY: usize = 400;

/// Which of the vault's askers is meant: each has a number, and a verdict is for all up to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Ticket(pub u64);

/// A setting that is another one than before, or there in one of the two files only. Secrets are counted, not shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub key: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It serves. `more` are changes that had no room here.
    Done { generation: u64, changes: Vec<Change>, more: u64 },
    /// Nothing was changed, and why.
    Refused { reason: String },
}

impl Verdict {
    /// With as many changes as fit into one packet.
    pub fn done(generation: u64, changes: Vec<Change>) -> Self {
        let all = changes.len();
        let mut room = MAX_CONTENT;
        let size = |text: &Option<String>| text.as_ref().map_or(0, String::len);
        // Octets that go with each text, to say how long it is.
        const FRAME: usize = 16;
        let fits = |change: &Change| {
            let needed = change.key.len() + size(&change.before) + size(&change.after) + FRAME;
            room = room.saturating_sub(needed);
            room > 0
        };
        let cut = |change: Change| Change { key: change.key.chars().take(KEY).collect(), ..change };
        let changes: Vec<Change> = changes.into_iter().map(cut).take_while(fits).collect();
        let more = u64::try_from(all - changes.len()).unwrap_or(u64::MAX);
        Self::Done { generation, changes, more }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ipc::control::Order;
    use crate::ipc::frame;

    #[test]
    fn however_much_changed_its_verdict_fits_into_a_packet_and_says_how_much_is_left_out() {
        let change = |at: usize| Change {
            key: format!("credential[{at}{}].senders", "\u{1f4a3}".repeat(1000)),
            before: Some("\u{e9}".repeat(200)),
            after: None,
        };
        for count in [0, 1, 5, 1000] {
            let verdict = Verdict::done(7, (0..count).map(change).collect());
            let Verdict::Done { changes, more, .. } = &verdict else { panic!("{verdict:?}") };
            assert_eq!(changes.len() + usize::try_from(*more).unwrap(), count);
            assert!(count == 0 || !changes.is_empty());
            assert!(frame::encode(&Order::Reloaded { through: Ticket(u64::MAX), verdict }).is_ok(), "{count}");
        }
    }
}
