//! Events that no webhook took: the audit log says so, and of which message where nothing else tells of it.

use std::collections::BTreeMap;

use serde_json::json;

use crate::vault::audit::event::{Event, Name, Outcome};
use crate::vault::store::outbox::Lost;

/// One for each that was to be told in the place of a sender, and one for all the others of a webhook.
pub fn events(lost: &[Lost], reason: &str) -> Vec<Event> {
    let mut others: BTreeMap<&str, usize> = BTreeMap::new();
    let mut events = Vec::new();
    for Lost { id: _, webhook, message, kind, instead } in lost {
        tracing::debug!(webhook, %message, kind, reason, "a webhook is not told of an event any more");
        if *instead {
            tracing::error!(webhook, %message, kind, reason, "nobody could be told that a message failed");
            let data = json!({ "webhook": webhook, "type": kind, "events": 1, "report": "webhook" });
            events.push(Event { message: Some(*message), severity: 3, ..event(reason, data) });
        } else {
            *others.entry(webhook).or_default() += 1;
        }
    }
    for (webhook, count) in others {
        tracing::warn!(webhook, count, reason, "events for a webhook are dropped");
        events.push(event(reason, json!({ "webhook": webhook, "events": count })));
    }
    events
}

fn event(reason: &str, data: serde_json::Value) -> Event {
    let (reason, data) = (Some(reason.to_owned()), Some(data.to_string()));
    Event { reason, data, ..Event::new(Name::WebhookDrop, Outcome::Failure) }
}
