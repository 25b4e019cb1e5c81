//! What a credential did, by the audit log: from where it was used, what was refused, and who already got what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::clear::Recipients;
use super::now::Now;
use crate::cli::queue::time;
use crate::ipc::admin::queue::listing::Standing;
use crate::mail::id::MessageId;
use crate::vault::audit::query::Found;
use crate::vault::digest::counts::{Intended, summed};

/// Lines of one kind on a screen; `--json` has all.
const SHOWN: usize = 20;

/// Somebody who got a message, or never will.
#[derive(Debug)]
struct End {
    seq: u64,
    time: String,
    message: String,
    recipient: String,
    upstream: String,
    host: String,
    code: String,
}

#[derive(Debug, Default)]
pub struct Report {
    credential: String,
    /// It stands in the configuration file.
    pub is_declared: bool,
    /// What the running service says of it.
    pub now: Now,
    since_us: u64,
    /// The first and the last event, and how many there are.
    first: Option<u64>,
    last: u64,
    events: u64,
    intended: Intended,
    sessions: BTreeSet<String>,
    networks: BTreeMap<String, u64>,
    logins: u64,
    failed_logins: u64,
    messages: u64,
    recipients: u64,
    octets: u64,
    refused: BTreeMap<String, u64>,
    delivered: Vec<End>,
    failed: Vec<End>,
    /// The same as addresses, where that was asked for.
    clear: Option<Vec<(MessageId, String)>>,
}

impl Report {
    pub fn new(credential: &str, since_us: u64) -> Self {
        Self { credential: credential.to_owned(), since_us, ..Self::default() }
    }

    /// One event of that credential.
    pub fn add(&mut self, found: &Found) {
        self.first.get_or_insert(found.seq());
        (self.last, self.events) = (found.seq(), self.events + 1);
        let number = |column| found.get(column).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        if let Some(session) = found.get("session_id") {
            self.sessions.insert(session.to_owned());
        }
        if let Some(network) = found.get("client_ip") {
            *self.networks.entry(network.to_owned()).or_default() += 1;
        }
        match (found.get("event").unwrap_or_default(), found.get("outcome")) {
            ("auth.success", _) => self.logins += 1,
            ("auth.failure" | "auth.locked", _) => self.failed_logins += summed(found).unwrap_or(1),
            ("msg.accept" | "msg.intent", Some("success")) if self.intended.is_new(found) => {
                self.messages += 1;
                self.recipients += number("rcpt_count").max(1);
                self.octets = self.octets.saturating_add(number("bytes"));
            }
            ("msg.reject" | "rate.limited" | "quota.exceeded", _) => {
                let reason = found.get("reason").unwrap_or("-").to_owned();
                *self.refused.entry(reason).or_default() += summed(found).unwrap_or(1);
            }
            ("deliver.success", _) => self.delivered.push(End::of(found)),
            ("deliver.bounce" | "deliver.expire", _) => self.failed.push(End::of(found)),
            _ => {}
        }
    }

    /// The log has nothing of it.
    pub const fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The messages that somebody got.
    pub fn messages(&self) -> Vec<MessageId> {
        let all: BTreeSet<MessageId> = self.delivered.iter().filter_map(|end| end.message.parse().ok()).collect();
        all.into_iter().collect()
    }

    /// Who got them, in full.
    pub fn clear(&mut self, known: &Recipients) {
        let got = |(message, all): (&MessageId, &Vec<(String, Standing)>)| {
            let got = all.iter().filter(|(_, standing)| *standing == Standing::Delivered);
            got.map(|(address, _)| (*message, address.clone())).collect::<Vec<_>>()
        };
        self.clear = Some(known.iter().flat_map(got).collect());
    }

    pub fn lines(&self) -> Vec<String> {
        let id = &self.credential;
        let mut lines = vec![
            format!("credential  {id}, since {}", time(self.since_us)),
            format!(
                "used        {} sessions; {} logins, and {} that failed",
                self.sessions.len(),
                self.logins,
                self.failed_logins
            ),
        ];
        let mut networks: Vec<_> = self.networks.iter().collect();
        networks.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let from = |(network, count): &(&String, &u64)| format!("  from      {network} ({count} events)");
        some(&mut lines, networks.len(), networks.iter().map(from));
        lines.push(format!(
            "accepted    {} messages to {} recipients, {} octets",
            self.messages, self.recipients, self.octets
        ));
        let refused: u64 = self.refused.values().sum();
        lines.push(format!("refused     {refused}"));
        some(&mut lines, self.refused.len(), self.refused.iter().map(|(why, count)| format!("  {why:<24} {count}")));
        lines.push(format!("failed      {} recipients", self.failed.len()));
        lines.push(format!("got it      {} recipients", self.delivered.len()));
        match &self.clear {
            Some(clear) => {
                some(&mut lines, clear.len(), clear.iter().map(|(message, address)| format!("  {message} {address}")));
            }
            None => some(&mut lines, self.delivered.len(), self.delivered.iter().map(End::line)),
        }
        let range = match self.first {
            Some(first) => format!("events {first} to {}, {} of them", self.last, self.events),
            None => "no event: is it the right name, and the right time (--since)?".to_owned(),
        };
        lines.push(format!("log         {range}"));
        lines
            .extend(self.first.map(|first| format!("  proof     gatepost audit verify; gatepost audit prove {first}")));
        lines.extend(self.next().into_iter().map(|next| format!("next        {next}")));
        lines
    }

    fn next(&self) -> Vec<String> {
        let id = &self.credential;
        let held = || {
            format!(
                "what is held: gatepost queue list --credential {id}; what is good goes by gatepost queue release --message ID, the \
                 rest by gatepost queue drop --credential {id} --held"
            )
        };
        let secret = match self.is_declared {
            true => format!("a new secret: another hash for {id} in the configuration file, then gatepost reload"),
            // The old one must end before anybody may log in again.
            false => format!(
                "a new secret: gatepost credential rotate {id} && gatepost credential rotate {id} --finish && \
                 gatepost credential enable {id}"
            ),
        };
        // Where nobody says that there is nothing, there may be something.
        let held = self.now.holds.unwrap_or(true).then(held);
        held.into_iter().chain(self.now.unknown.is_none().then_some(secret)).collect()
    }

    pub fn object(&self) -> Value {
        let networks = self.networks.iter().map(|(network, events)| json!({ "network": network, "events": events }));
        let clear = self.clear.as_ref().map(|all| {
            let one = |(message, to): &(MessageId, String)| json!({ "message": message.to_string(), "recipient": to });
            all.iter().map(one).collect::<Vec<_>>()
        });
        json!({
            "credential": self.credential,
            "since": time(self.since_us),
            "sessions": self.sessions.len(),
            "networks": networks.collect::<Vec<_>>(),
            "logins": { "accepted": self.logins, "failed": self.failed_logins },
            "accepted": { "messages": self.messages, "recipients": self.recipients, "octets": self.octets },
            "refused": self.refused,
            "delivered": self.delivered.iter().map(End::object).collect::<Vec<_>>(),
            "failed": self.failed.iter().map(End::object).collect::<Vec<_>>(),
            "clear": clear,
            "events": { "first": self.first, "last": self.first.map(|_| self.last), "count": self.events },
            "next": self.next(),
        })
    }
}

/// Some of so many.
fn some(lines: &mut Vec<String>, count: usize, all: impl Iterator<Item = String>) {
    lines.extend(all.take(SHOWN));
    if let Some(more) = count.checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("  and {more} more: --json has all"));
    }
}

impl End {
    fn of(found: &Found) -> Self {
        let text = |column| found.get(column).unwrap_or("-").to_owned();
        Self {
            seq: found.seq(),
            time: text("time"),
            message: text("msg_id"),
            recipient: text("rcpt_to"),
            upstream: text("upstream"),
            host: text("mx"),
            code: text("smtp_code"),
        }
    }

    fn line(&self) -> String {
        format!("  {} {} {} by {}", self.time, self.message, self.recipient, self.upstream)
    }

    fn object(&self) -> Value {
        let Self { seq, time, message, recipient, upstream, host, code } = self;
        json!({
            "seq": seq, "time": time, "message": message, "recipient": recipient, "upstream": upstream, "host": host,
            "code": code,
        })
    }
}
