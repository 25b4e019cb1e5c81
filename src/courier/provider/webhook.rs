//! Standard Webhooks 1.0.0: the message and its envelope as JSON, signed by HMAC-SHA256.
//!
//! The envelope stands in the body and not in headers, because the signature covers the body alone: in headers, whoever ends TLS for
//! the receiver could name other recipients. What isn't ASCII needs no second encoding there, and nothing in an address can become
//! a header. The message is base64, so that its octets arrive as they are, whatever they are.

use std::time::SystemTime;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::{Letter, part_id};
use crate::courier::http::Request;
use crate::courier::signature::{self, Key};
use crate::mail::address::Address;
use crate::mail::outcome::Said;
use crate::secret::Secret;

pub struct Webhook {
    key: Key,
    /// Octets of a message.
    pub max_size: u64,
}

/// The body. Of one message for the same recipients it is always the same.
#[derive(Serialize)]
struct Payload<'a> {
    r#type: &'static str,
    /// When the message was taken.
    timestamp: String,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: String,
    /// None: it is from nobody, such as a report.
    from: Option<String>,
    to: Vec<String>,
    size: usize,
    /// The message as it is (RFC 5322).
    #[serde(serialize_with = "base64")]
    message: &'a [u8],
}

fn base64<S: Serializer>(octets: &&[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(octets, &STANDARD))
}

impl Webhook {
    /// Errors: the secret isn't one.
    pub fn new(secret: &Secret<String>, max_size: u64) -> Result<Self, String> {
        Ok(Self { key: Key::new(secret, "secret_file")?, max_size })
    }

    /// The request, signed now.
    pub fn request(&self, letter: &Letter<'_>, now: SystemTime) -> Result<Request, Said> {
        let body = serde_json::to_vec(&payload(letter)).map_err(|error| Said {
            enhanced: Some("5.6.0".to_owned()),
            text: format!("it can't be written as JSON: {error}"),
            ..Said::default()
        })?;
        let id = part_id(letter.message, letter.recipients);
        let now = signature::timestamp(now);
        let signature = self.key.sign(&id, &now, &body);
        let headers = vec![("webhook-id", id), ("webhook-timestamp", now), ("webhook-signature", signature)];
        Ok(Request { kind: "application/json", headers, body: Secret::new(body), ..Request::default() })
    }
}

fn payload<'a>(letter: &Letter<'a>) -> Payload<'a> {
    let taken = letter.message.time_ms().and_then(|ms| i64::try_from(ms).ok());
    let taken = taken.and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    Payload {
        r#type: "message.submitted",
        timestamp: taken.to_string(),
        data: Data {
            id: letter.message.to_string(),
            from: letter.sender.as_ref().map(Address::to_string),
            to: letter.recipients.iter().map(|(_, address)| address.to_string()).collect(),
            size: letter.content.len(),
            message: letter.content,
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use base64::Engine as _;

    use super::*;
    use crate::mail::id::MessageId;

    fn webhook() -> Webhook {
        Webhook::new(&Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into()), 1000).unwrap()
    }

    #[test]
    fn rule_u16_an_envelope_of_any_script_and_content_of_any_octets_stand_in_the_body() {
        let content = b"Subject: x\r\n\r\n\xff\0\"\r\n";
        let message = MessageId::now();
        let to = |text: &str| Address::parse_international(text).unwrap();
        let both = [(1, to("\"a \\\" b\"@example.org")), (2, to("\u{fc}ber@example.org"))];
        let letter = |recipients| Letter { message, sender: &None, recipients, content };
        let request = webhook().request(&letter(&both), SystemTime::now()).unwrap();
        let read: serde_json::Value = serde_json::from_slice(request.body.expose()).unwrap();
        assert_eq!(read["type"], "message.submitted");
        assert_eq!(read["data"]["from"], serde_json::Value::Null);
        assert_eq!(read["data"]["to"], serde_json::json!(["\"a \\\" b\"@example.org", "\u{fc}ber@example.org"]));
        assert_eq!(STANDARD.decode(read["data"]["message"].as_str().unwrap()).unwrap(), content);
        assert_eq!(read["data"]["size"], content.len());
        let again = webhook().request(&letter(&both), UNIX_EPOCH).unwrap();
        assert_eq!(again.body.expose(), request.body.expose());
        let id = |request: &Request| request.headers[0].1.clone();
        assert_eq!(id(&again), id(&request));
        assert!(!id(&request).contains('.'));
        let rest = webhook().request(&letter(&both[1..]), UNIX_EPOCH).unwrap();
        assert_ne!(id(&rest), id(&request), "another envelope is another request");
    }
}
