//! Mail that a restore lost: acknowledged after the backup was made, and not delivered before the disaster. Nobody but its
//! sender can bring it back, so the sender must be told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::before::{Before, Mark};
use super::reconcile::ENDS;
use crate::mail::id::MessageId;
use crate::vault::audit::visible::visible;

/// Messages named on a terminal; all are in what `--json` prints.
const NAMED: usize = 50;

#[derive(Default)]
struct Fate {
    time: String,
    account: String,
    accepted: BTreeMap<Mark, String>,
    ended: BTreeSet<Mark>,
}

impl Fate {
    /// Somebody got it, or never will. Whom the upstream refused before the message was taken has an end in the log before that, and
    /// none of what was taken.
    fn end(&mut self, mark: Mark) {
        if self.accepted.keys().next().is_some_and(|taken| taken.0 < mark.0) {
            self.ended.insert(mark);
        }
    }

    fn is_lost(&self) -> bool {
        self.ended.len() < self.accepted.len()
    }
}

/// What was accepted behind the point where the present log parts from those of before.
#[derive(Default)]
pub struct Lost(BTreeMap<MessageId, Fate>);

impl Lost {
    /// Looks for it in one log more.
    pub fn add(&mut self, before: &mut Before, present: &Path) -> Result<(), String> {
        let from = Some(before.parts_from(present)?);
        before.recipients("msg.accept", from, |found, mark, shown, clear| {
            let Some(id) = found.get("msg_id").and_then(|id| id.parse().ok()) else { return };
            let fate = self.0.entry(id).or_default();
            fate.time = found.get("time").unwrap_or_default().to_owned();
            fate.account = found.get("account").unwrap_or_default().to_owned();
            fate.accepted.insert(mark, clear.unwrap_or_else(|| shown.to_owned()));
        })?;
        for (event, _) in ENDS {
            before.recipients(event, from, |found, mark, _, _| {
                let id = found.get("msg_id").and_then(|id| id.parse().ok());
                if let Some(fate) = id.and_then(|id: MessageId| self.0.get_mut(&id)) {
                    fate.end(mark);
                }
            })?;
        }
        Ok(())
    }

    fn messages(&self) -> impl Iterator<Item = (&MessageId, &Fate)> {
        self.0.iter().filter(|(_, fate)| fate.is_lost())
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let one = |(id, fate): (&MessageId, &Fate)| {
            json!({
                "message": id.to_string(), "time": fate.time, "account": fate.account,
                "recipients": fate.accepted.values().collect::<Vec<_>>(), "ended": fate.ended.len(),
            })
        };
        self.messages().map(one).collect()
    }

    /// For whoever has to tell the senders; nothing when nothing is lost.
    pub fn told(&self) -> String {
        let count = self.messages().count();
        if count == 0 {
            return String::new();
        }
        let mut told = format!(
            "\n{count} messages were acknowledged after the backup and are lost: the log shows no end of them, and this \
             database never had them. Their senders must send them again:"
        );
        for (id, fate) in self.messages().take(NAMED) {
            let recipients: Vec<&str> = fate.accepted.values().map(String::as_str).collect();
            let line = format!("{} {id} of {} to {}", fate.time, fate.account, recipients.join(", "));
            told += &format!("\n  {}", visible(&line));
        }
        if count > NAMED {
            told += &format!("\n  and {} more: --json names all", count - NAMED);
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_was_refused_before_it_was_taken_is_no_end_of_what_was() {
        let mark = |place| (place, String::new(), 0);
        let mut fate = Fate::default();
        fate.accepted.insert(mark(8), "ann".to_owned());
        fate.end(mark(7));
        assert!(fate.is_lost(), "bob was refused, and ann has nothing");
        fate.end(mark(9));
        assert!(!fate.is_lost());
    }
}
