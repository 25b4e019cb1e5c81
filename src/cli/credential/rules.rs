//! The options that say what a credential may do, as a change to its policy.

use clap::Args;
use serde_json::{Map, Value, json};

#[derive(Debug, Default, Args)]
pub struct Rules {
    /// Send to these recipients only: user@domain, @domain, .suffix or "*" (may be given several times)
    #[arg(long, value_name = "RULE")]
    recipient_allow: Vec<String>,
    /// Never send to these recipients; wins over --recipient-allow
    #[arg(long, value_name = "RULE")]
    recipient_deny: Vec<String>,
    /// Messages per minute
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_minute: Option<u32>,
    /// Messages per day (UTC)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    per_day: Option<u32>,
    /// Messages at once, beside a rate; by default ten, or a sixth of --per-minute if that is more
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    burst: Option<u32>,
    /// How its messages leave: spool
    #[arg(long, value_name = "MODE")]
    delivery: Option<String>,
}

impl Rules {
    /// What is given here, as a JSON Merge Patch (RFC 7396) of a policy: what is not named stays as it is.
    pub fn patch(&self, senders: &[String]) -> Value {
        let mut patch = Map::new();
        let mut put = |path: &[&str], value: Option<Value>| {
            if let (Some(value), Some((last, tables))) = (value, path.split_last()) {
                let mut table = &mut patch;
                for name in tables {
                    let inner = table.entry(*name).or_insert_with(|| json!({}));
                    let Some(inner) = inner.as_object_mut() else { return };
                    table = inner;
                }
                table.insert((*last).to_owned(), value);
            }
        };
        put(&["senders"], list(senders));
        put(&["recipients", "allow"], list(&self.recipient_allow));
        put(&["recipients", "deny"], list(&self.recipient_deny));
        put(&["limits", "per_minute"], self.per_minute.map(Value::from));
        put(&["limits", "per_day"], self.per_day.map(Value::from));
        put(&["limits", "burst"], self.burst.map(Value::from));
        put(&["delivery"], self.delivery.clone().map(Value::from));
        Value::Object(patch)
    }
}

/// A list that was given; a list is replaced as a whole.
fn list(texts: &[String]) -> Option<Value> {
    (!texts.is_empty()).then(|| json!(texts))
}
