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
        let entries = before.entries(|id| self.0.contains_key(id))?;
        for (event, _) in ENDS {
            before.recipients(event, from, |found, mark, _, _| {
                // Somebody got it, or never will.
                if let Some(fate) = entries.ended(found).and_then(|id| self.0.get_mut(&id)) {
                    fate.ended.insert(mark);
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
