//! `PATCH /emails/{id}`: the time that an email is to leave at instead of the one it waits for.

use jiff::Timestamp;

use super::super::tree::{Object, invalid};
use super::from_now;
use crate::edge::http::json::{Node, parse_octets};
use crate::edge::http::reply::Fault;
use crate::edge::http::schedule::{self, POINTER};

/// The time, said as where an email is sent. Other members are passed over.
pub fn time(octets: &[u8]) -> Result<Timestamp, Fault> {
    match Object::of(parse_octets(octets, false)?)?.take("scheduled_at") {
        Some(Node::Text(text)) => match schedule::ahead(&text).and_then(from_now) {
            Some(time) => Ok(time),
            None => schedule::time(&text).map_err(|flaw| invalid(flaw.code, POINTER, flaw.message)),
        },
        Some(other) => Err(invalid("wrong_type", POINTER, format!("must be a string and is {}", other.kind()))),
        None => Err(invalid("required", POINTER, "is missing".into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_said_as_where_an_email_is_sent_and_is_needed() {
        let exact = time(br#"{"scheduled_at":"2030-01-01T00:00:00Z","subject":"x"}"#).unwrap();
        assert_eq!(exact, "2030-01-01T00:00:00Z".parse().unwrap());
        let before = Timestamp::now();
        let ahead = time(br#"{"scheduled_at":"in 5 min"}"#).unwrap();
        let wait = Duration::from_secs(300);
        assert!((before + wait..=Timestamp::now() + wait).contains(&ahead), "{ahead}");
        for (body, code) in [
            ("{}", "required"),
            (r#"{"scheduled_at":null}"#, "required"),
            (r#"{"scheduledAt":"2030-01-01T00:00:00Z"}"#, "required"),
            (r#"{"scheduled_at":1893456000}"#, "wrong_type"),
            (r#"{"scheduled_at":"tomorrow at 9am"}"#, "invalid_time"),
            (r#"{"scheduled_at":""}"#, "invalid_time"),
        ] {
            let fault = time(body.as_bytes()).unwrap_err();
            assert_eq!((fault.issues[0].code, fault.issues[0].pointer.as_str()), (code, POINTER), "{body}");
        }
        assert_eq!(time(b"[]").unwrap_err().issues[0].code, "wrong_type");
    }
}
