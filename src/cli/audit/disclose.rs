//! `gatepost audit disclose`: one personal value in clear, with what proves it, and a mark in the log that it was shown.

use clap::Args;
use serde_json::json;

use super::running::{Running, field};
use crate::cli::control::strange;
use crate::cli::out::say;
use crate::ipc::admin::audit::{Command, Response};
use crate::vault::audit::month_file::hex;
use crate::vault::audit::visible::{visible, visible_json};

#[derive(Debug, Args)]
pub struct Disclose {
    /// The event, by its place in the log
    #[arg(long, value_name = "N")]
    seq: u64,
    /// The field, such as mail_from or rcpt_to[0]
    #[arg(long, value_name = "FIELD")]
    field: String,
    /// Why: it stays in the log for ever, so name no person in it
    #[arg(long, value_name = "TEXT")]
    ground: Option<String>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    running: Running,
}

impl Disclose {
    pub fn run(&self) -> Result<(), String> {
        let command = Command::Disclose { event: self.seq, field: field(&self.field), ground: self.ground.clone() };
        let Response::Disclosed { event, key, salt, value, commitment, logged } = self.running.ask(command)? else {
            return Err(strange());
        };
        let (salt, commitment) = (hex(&salt), hex(&commitment));
        if self.json {
            let shown = json!({
                "event": event, "field": key, "value": value.expose(), "salt": salt, "commitment": commitment,
                "logged": logged,
            });
            say!("{}", visible_json(&shown.to_string()));
            return Ok(());
        }
        say!("event       {event}\nfield       {key}\nvalue       {}", visible(value.expose()));
        say!("salt        {salt}\ncommitment  {commitment}");
        say!("event {logged} says that this was shown. The commitment is in the event's leaf, and is the SHA-256 of");
        say!(
            "\"audit-field/1\\n\", the salt, the event as 8 octets, the field's length as 1 octet, the field, the value"
        );
        Ok(())
    }
}
