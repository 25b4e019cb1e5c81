//! All that the log has of a message or a session, in the order of time.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::clear::Recipients;
use crate::cli::audit::format::object;
use crate::vault::audit::query::Found;

/// What of an event is told on its line, behind its time and its name.
const TOLD: [(&str, &str); 14] = [
    ("account", "account"),
    ("actor", "actor"),
    ("client", "client_ip"),
    ("auth_user", "auth_user"),
    ("listener", "listener"),
    ("from", "mail_from"),
    ("to", "rcpt_to"),
    ("reason", "reason"),
    ("code", "smtp_code"),
    ("upstream", "upstream"),
    ("host", "mx"),
    ("attempt", "attempt"),
    ("bytes", "bytes"),
    ("data", "data"),
];

#[derive(Debug)]
pub struct Trail {
    kind: &'static str,
    id: String,
    events: Vec<Found>,
    /// In full, where that was asked for.
    pub recipients: Recipients,
}

impl Trail {
    pub fn new(kind: &'static str, id: String) -> Self {
        Self { kind, id, events: Vec::new(), recipients: Recipients::new() }
    }

    pub fn add(&mut self, found: Found) {
        self.events.push(found);
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// All that stand in a column, once.
    fn all(&self, column: &str) -> BTreeSet<&str> {
        self.events.iter().filter_map(|found| found.get(column)).collect()
    }

    pub fn lines(&self) -> Vec<String> {
        let joined = |column| self.all(column).into_iter().collect::<Vec<_>>().join(", ");
        let mut lines = vec![format!("{:<11} {}", self.kind, self.id)];
        for (word, column) in [("credential", "account"), ("session", "session_id"), ("message", "msg_id")] {
            if word != self.kind && !self.all(column).is_empty() {
                lines.push(format!("{word:<11} {}", joined(column)));
            }
        }
        for found in &self.events {
            let told = TOLD.iter().filter_map(|(word, column)| Some(format!("{word}={}", found.get(column)?)));
            let (time, name) = (found.get("time").unwrap_or("-"), found.get("event").unwrap_or("-"));
            let told: Vec<String> = told.collect();
            lines.push(format!("{time} {name:<16} {:<8} {}", found.get("outcome").unwrap_or("-"), told.join(" ")));
        }
        let stops = self.recipients.values().flatten();
        lines.extend(stops.map(|(address, standing)| format!("recipient   {address} {}", standing.word())));
        if let Some(first) = self.events.first() {
            lines.push(format!("proof       gatepost audit verify; gatepost audit prove {}", first.seq()));
        }
        for account in self.all("account").into_iter().filter(|_| self.kind == "message") {
            lines.push(format!("stop it     gatepost incident {account}"));
        }
        lines
    }

    pub fn object(&self) -> Value {
        let all = |column| self.all(column).into_iter().collect::<Vec<_>>();
        let stops = self.recipients.values().flatten();
        let stops = stops.map(|(to, standing)| json!({ "recipient": to, "state": standing.word() }));
        json!({
            "kind": self.kind,
            "id": self.id,
            "credentials": all("account"),
            "sessions": all("session_id"),
            "messages": all("msg_id"),
            "events": self.events.iter().map(object).collect::<Vec<_>>(),
            "recipients": stops.collect::<Vec<_>>(),
        })
    }
}
