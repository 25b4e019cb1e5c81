//! What the logs of before say of the messages that wait here: who of them has ended since, and who may have got it.

use std::collections::{BTreeMap, BTreeSet};

use super::before::{Before, Mark};
use super::entries::{DROP, Entries};
use super::news::News;
use crate::ipc::admin::queue::{Alike, End, Told};
use crate::mail::address::Address;
use crate::mail::id::MessageId;
use crate::vault::audit::mask;
use crate::vault::audit::query::Found;

/// The events after which a recipient waits no more.
pub const ENDS: [&str; 4] = ["deliver.success", "deliver.bounce", "deliver.expire", DROP];
/// Those after which nobody knows whether he got it: none, or only for this reason.
const DOUBTS: [(&str, Option<&str>); 2] = [("deliver.unknown", None), ("queue.hold", Some("unknown-outcome"))];

/// Of one whose address is known.
#[derive(Default)]
struct One {
    end: Option<End>,
    doubt: bool,
}

/// Of those whom one log shows alike.
#[derive(Default)]
struct Crowd {
    alike: Alike,
    /// Who ended of those whose addresses are known.
    known: BTreeSet<String>,
}

/// Of one message.
#[derive(Default)]
struct Fate {
    seen: BTreeSet<Mark>,
    ones: BTreeMap<String, One>,
    /// Each log by itself: what a later one has of before it has, too, and what it ended by the word of an earlier one it has again.
    crowds: BTreeMap<String, BTreeMap<usize, Crowd>>,
}

/// The messages that wait.
#[derive(Default)]
pub struct Waiting {
    fates: BTreeMap<MessageId, Fate>,
    /// How many logs were heard.
    logs: usize,
}

impl Waiting {
    pub fn add(&mut self, message: MessageId) {
        self.fates.insert(message, Fate::default());
    }

    pub fn has(&self, message: &MessageId) -> bool {
        self.fates.contains_key(message)
    }

    /// Hears one log more, a later one than those before.
    ///
    /// Errors: it can't be read.
    pub fn hear(&mut self, log: &mut Before, entries: &Entries, news: &News) -> Result<(), String> {
        let at = self.logs;
        self.logs += 1;
        for event in ENDS {
            log.recipients(event, None, |found, mark, shown, clear| {
                let Some(fate) = entries.ended(found, &mark).and_then(|id| self.fates.get_mut(&id)) else { return };
                let is_new = news.has(found.seq());
                let address = clear.map(|clear| Address::canonical(&clear));
                let (end, doubt) = end(found);
                fate.crowd(shown, at).end(address.as_deref(), is_new.then_some((end, doubt)));
                // What a restored log says itself about it is no news.
                if let Some(address) = address.filter(|_| is_new) {
                    fate.end(address, mark, end, doubt);
                }
            })?;
        }
        for (event, reason) in DOUBTS {
            log.recipients(event, None, |found, _, shown, clear| {
                let is_meant = news.has(found.seq()) && reason.is_none_or(|reason| found.get("reason") == Some(reason));
                let fate = entries.waited(found).filter(|_| is_meant).and_then(|id| self.fates.get_mut(&id));
                let Some(fate) = fate else { return };
                match clear.map(|clear| Address::canonical(&clear)) {
                    Some(address) => fate.ones.entry(address).or_default().doubt = true,
                    None => fate.crowd(shown, at).alike.doubt = true,
                }
            })?;
        }
        Ok(())
    }

    /// What there is to tell of each: first of those who are known, who don't count among the others then.
    pub fn told(self) -> impl Iterator<Item = (MessageId, Vec<Told>)> {
        self.fates.into_iter().map(|(message, fate)| (message, fate.told())).filter(|(_, told)| !told.is_empty())
    }
}

impl Fate {
    fn crowd(&mut self, shown: &str, at: usize) -> &mut Crowd {
        self.crowds.entry(shown.to_owned()).or_default().entry(at).or_default()
    }

    /// Whoever got it by one of them has it.
    fn end(&mut self, address: String, mark: Mark, end: End, doubt: bool) {
        // A log that was restored, and moved aside in its turn, has the events of the one before.
        if !self.seen.insert(mark) {
            return;
        }
        let one = self.ones.entry(address).or_default();
        one.doubt |= doubt;
        if one.end != Some(End::Delivered) {
            one.end = Some(end);
        }
    }

    fn told(self) -> Vec<Told> {
        let ones = self.ones.into_iter().map(|(address, One { end, doubt })| Told::One { address, end, doubt });
        let mut told: Vec<Told> = ones.collect();
        let of_one = |(shown, crowds): (String, BTreeMap<usize, Crowd>)| {
            Some(Alike { shown, ..of_logs(crowds.into_values().collect())? })
        };
        let mut crowds: Vec<Alike> = self.crowds.into_iter().filter_map(of_one).collect();
        // It is everybody.
        crowds.sort_by_key(|alike| alike.shown == mask::HIDDEN);
        told.extend(crowds.into_iter().map(Told::Alike));
        told
    }
}

impl Crowd {
    /// One of them ended; `new`: how, if that is news.
    fn end(&mut self, address: Option<&str>, new: Option<(End, bool)>) {
        if address.is_none_or(|address| self.known.insert(address.to_owned())) {
            self.alike.ended += 1;
        }
        let Some((end, doubt)) = new.filter(|_| address.is_none()) else { return };
        self.alike.doubt |= doubt;
        match end {
            End::Delivered => self.alike.delivered += 1,
            End::Failed => self.alike.failed += 1,
            End::Exported => self.alike.exported += 1,
        }
    }
}

/// The log that knows most of them; nothing, where there is no news of any.
fn of_logs(crowds: Vec<Crowd>) -> Option<Alike> {
    let doubt = crowds.iter().any(|crowd| crowd.alike.doubt);
    let all = crowds.into_iter().map(|crowd| crowd.alike);
    let news = |alike: &Alike| alike.delivered + alike.failed + alike.exported;
    let most = all.filter(|alike| news(alike) > 0).max_by_key(|alike| alike.ended);
    most.map(|most| Alike { doubt, ..most }).or_else(|| doubt.then(|| Alike { doubt, ..Alike::default() }))
}

/// How somebody ended by that event, and whether an attempt may have delivered to him all the same.
fn end(event: &Found) -> (End, bool) {
    let text = |column| event.get(column).unwrap_or_default();
    let data = serde_json::from_str::<serde_json::Value>(text("data")).unwrap_or_default();
    let doubt = data["may_be_delivered"] == true;
    match (text("event"), text("reason")) {
        ("deliver.success", _) => (End::Delivered, false),
        (DROP, "exported") => (End::Exported, doubt),
        // By the word of a log before that one.
        (DROP, "reconciled") => match [data["delivered"].as_u64(), data["failed"].as_u64()] {
            [Some(1..), Some(0)] => (End::Delivered, false),
            [Some(1..), Some(1..)] => (End::Failed, true),
            _ => (End::Failed, doubt),
        },
        _ => (End::Failed, doubt),
    }
}
