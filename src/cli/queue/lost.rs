//! Mail that a restore lost: acknowledged, or taken in from an archive, after the backup was made, and not delivered before the
//! disaster. Nobody but its sender, or that archive, can bring it back, so they must be told.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::before::{Before, each_recipient};
use super::entries::{IMPORT, message};
use super::pairs::{Mention, Mentions, pairs};
use super::told::ENDS;
use crate::mail::id::MessageId;
use crate::vault::audit::query::{self, Filter, Found};
use crate::vault::audit::visible::visible;

/// Messages named on a terminal; all are in what `--json` prints.
const NAMED: usize = 50;
const ACCEPT: &str = "msg.accept";

#[derive(Default)]
struct Fate {
    time: String,
    account: String,
    /// It came by an archive.
    is_import: bool,
    accepted: Mentions,
    ended: Mentions,
    /// Who came in again since, by the present log.
    back: Mentions,
}

impl Fate {
    fn begin(&mut self, found: &Found, is_import: bool) {
        self.time = found.get("time").unwrap_or_default().to_owned();
        self.account = found.get("account").unwrap_or_default().to_owned();
        self.is_import = is_import;
    }

    /// How many of them have an end.
    fn ended(&self) -> usize {
        pairs(&self.accepted, &self.ended).len()
    }

    /// Those who neither have an end nor came in again.
    fn lost(&self) -> Vec<&str> {
        let (ended, mut left) = (pairs(&self.accepted, &self.ended), self.accepted.clone());
        left.retain(|mark, _| !ended.contains_key(mark));
        let back = pairs(&left, &self.back);
        left.retain(|mark, _| !back.contains_key(mark));
        self.accepted.iter().filter(|(mark, _)| left.contains_key(*mark)).map(|(_, mention)| mention.text()).collect()
    }
}

/// What was accepted or came back behind the point where the present log parts from those of before.
#[derive(Default)]
pub struct Lost {
    fates: BTreeMap<MessageId, Fate>,
}

impl Lost {
    /// Looks for it in one log more.
    ///
    /// Errors: a log can't be read.
    pub fn add(&mut self, before: &mut Before, present: &Path) -> Result<(), String> {
        let parts_from = before.parts_from(present)?;
        let from = Some(parts_from);
        before.recipients(ACCEPT, from, |found, mark, shown, clear| {
            let Some(id) = message(found) else { return };
            let fate = self.fates.entry(id).or_default();
            fate.begin(found, false);
            fate.accepted.insert(mark, Mention::of(shown, clear));
        })?;
        let mut back = BTreeSet::new();
        before.recipients(IMPORT, from, |found, _, _, _| back.extend(message(found)))?;
        let entries = before.entries(|id| self.fates.contains_key(id) || back.contains(id))?;
        before.recipients(IMPORT, from, |found, mark, shown, clear| {
            // Who had left behind that point is counted already, or is in what was restored.
            let Some(id) = message(found).filter(|id| !entries.left_from(*id, &mark, parts_from)) else { return };
            let fate = self.fates.entry(id).or_default();
            if fate.accepted.is_empty() {
                fate.begin(found, true);
            }
            fate.accepted.insert(mark, Mention::of(shown, clear));
        })?;
        for event in ENDS {
            before.recipients(event, from, |found, mark, shown, clear| {
                // Somebody got it, or never will.
                if let Some(fate) = entries.ended(found, &mark).and_then(|id| self.fates.get_mut(&id)) {
                    fate.ended.insert(mark, Mention::of(shown, clear));
                }
            })?;
        }
        self.learn(present, parts_from)
    }

    /// Who came in again, by the log that there is now.
    fn learn(&mut self, present: &Path, parts_from: u64) -> Result<(), String> {
        let filter = Filter { event: Some(IMPORT.to_owned()), from: Some(parts_from), ..Filter::default() };
        query::query(present, &filter, |found| {
            let Some(fate) = message(&found).and_then(|id| self.fates.get_mut(&id)) else { return };
            each_recipient(&found, |mark, _, shown| {
                let mention = Mention { is_foreign: true, ..Mention::of(shown, None) };
                fate.back.insert(mark, mention);
            });
        })
    }

    /// With those who are lost of each.
    fn messages(&self) -> impl Iterator<Item = (&MessageId, &Fate, Vec<&str>)> {
        let all = self.fates.iter().map(|(id, fate)| (id, fate, fate.lost()));
        all.filter(|(_, _, lost)| !lost.is_empty())
    }

    /// For a program.
    pub fn json(&self) -> Value {
        let one = |(id, fate, lost): (&MessageId, &Fate, Vec<&str>)| {
            json!({
                "message": id.to_string(), "time": fate.time, "account": fate.account,
                "recipients": lost, "ended": fate.ended(), "imported": fate.is_import,
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
        let imported = self.messages().filter(|(_, fate, _)| fate.is_import).count();
        let how = match imported {
            0 => "acknowledged",
            all if all == count => "taken in by queue import",
            _ => "acknowledged, or taken in by queue import,",
        };
        let mut told = format!(
            "\n{count} messages were {how} after the backup and are lost: the log shows no end of them, and this database \
             does not have them. "
        );
        told += match imported {
            0 => "Their senders must send them again:",
            _ => "What came from an archive can be taken in from it again; of all else the senders must send it again:",
        };
        for (id, fate, lost) in self.messages().take(NAMED) {
            let from = if fate.is_import { ", from an archive" } else { "" };
            let line = format!("{} {id} of {} to {}{from}", fate.time, fate.account, lost.join(", "));
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
    fn who_came_in_again_is_lost_no_more_and_the_others_of_the_message_are() {
        let mention = |seq: u64, n: u32, shown: &str, is_foreign| {
            ((seq, (seq * 100).to_string(), n), Mention { is_foreign, ..Mention::of(shown, None) })
        };
        let id = MessageId::now();
        let mut lost = Lost::default();
        let fate = lost.fates.entry(id).or_default();
        fate.accepted = Mentions::from([mention(1, 0, "a@example.org", false), mention(1, 1, "b@example.org", false)]);
        let named = |lost: &Lost| {
            lost.messages().map(|(_, _, lost)| lost.into_iter().map(str::to_owned).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(named(&lost), [["a@example.org", "b@example.org"]]);
        lost.fates.get_mut(&id).unwrap().back = Mentions::from([mention(9, 0, "a@example.org", true)]);
        assert_eq!(named(&lost), [["b@example.org"]]);
        lost.fates.get_mut(&id).unwrap().ended = Mentions::from([mention(2, 0, "b@example.org", false)]);
        assert!(named(&lost).is_empty());
    }
}
