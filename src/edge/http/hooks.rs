//! `POST /hooks/{name}`: a provider tells what became of mail. Its signature is the authentication, and the vault alone can look at
//! that: here the head's few fields and the octets of the body are taken, within bounds, and nothing of them is read.

use std::time::Duration;

use hyper::Method;
use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::StatusCode;
use hyper::http::request::Parts;
use serde::Serialize;
use tokio::time::Instant;

use super::Session;
use super::body::{self, Bounds};
use super::login::{VAULT_AGAIN, away};
use super::reply::{self, Code, Fault, Reply};
use super::room::Room;
use crate::config::slice::Serve;
use crate::ipc::hook::{MOST_OCTETS, MOST_TEXT, Posted, Verdict};
use crate::mail::id::MessageId;
use crate::policy::presence;

/// How it is told of, and what stands before the name.
pub const PATH: (&str, &[Method], &str, Serve) = ("/hooks/{name}", &[Method::POST], "POST", Serve::Hooks);
const BELOW: &str = "/hooks/";
/// The fields of ByteSend, and those of useSend, of which it is a fork: when it was signed, and the signature.
const FIELDS: [(&str, &str); 2] =
    [("x-bytesend-timestamp", "x-bytesend-signature"), ("x-usesend-timestamp", "x-usesend-signature")];
/// Octets of all bodies that are taken here at a time: whoever it is may post, so that they take nothing of what clients send in. A
/// provider waits for ten seconds in all.
/// Whoever posts from one network has one body in any case, however many there are of others.
static ROOM: Room = Room::new(4 * 1024 * 1024, MOST_OCTETS);
const BOUNDS: Bounds = Bounds { most: MOST_OCTETS, room: &ROOM, total: Duration::from_secs(10) };

#[derive(Serialize)]
struct Taken {
    status: &'static str,
}

/// Whether a path is a hook's; which, the vault says.
pub fn is_below(path: &str) -> bool {
    path.strip_prefix(BELOW).is_some_and(|name| !name.is_empty() && !name.contains('/'))
}

pub async fn post(
    session: &Session,
    head: &Parts,
    body: Incoming,
    unread: &mut bool,
    id: MessageId,
    until: Instant,
) -> Result<Reply, Fault> {
    // Whoever floods it floods those of its own network.
    let poster = presence::near(session.origin(&head.headers)).to_string();
    let whole = body::read_within(head, body, &poster, &BOUNDS).await?;
    *unread = false;
    let mut seat = session.seat.lock().await;
    seat.visit.turn_until(until);
    seat.stand(session, &head.headers).await?;
    let length = u32::try_from(whole.octets.len()).unwrap_or(u32::MAX);
    let posted = posted(head.uri.path(), &head.headers, length);
    match seat.visit.hook(posted, &whole.octets).await.map_err(away)? {
        Verdict::Taken => Ok(reply::json(StatusCode::OK, &Taken { status: "taken" }, id)),
        // Whoever guesses needs a connection for each guess.
        Verdict::Unsigned => Err(Fault::new(Code::Unauthorized, "this is not signed as it must be here").closing()),
        Verdict::Unreadable => Err(Fault::new(Code::BadRequest, "the body is no event that can be read here")),
        Verdict::Wait(seconds) => {
            let message = "too many requests from this address were not signed; wait";
            Err(Fault::new(Code::RateLimited, message).after(seconds).closing())
        }
        Verdict::Busy => {
            Err(Fault::new(Code::StoreUnavailable, "there is no room for this event now; send it again")
                .after(VAULT_AGAIN))
        }
    }
}

/// What is shown to the vault beside the body. What no provider sends is left out, and so signs nothing.
fn posted(path: &str, headers: &HeaderMap, length: u32) -> Posted {
    let path = if path.starts_with("//") { path.get(1..).unwrap_or_default() } else { path };
    let bounded = |text: &str| if text.len() <= MOST_TEXT { text.to_owned() } else { String::new() };
    let field = |name: &str| {
        let mut all = headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none());
        only.and_then(|value| value.to_str().ok()).map(bounded).unwrap_or_default()
    };
    let (timestamp, signature) = FIELDS.iter().find(|(_, name)| headers.contains_key(*name)).unwrap_or(&FIELDS[0]);
    Posted {
        hook: bounded(path.strip_prefix(BELOW).unwrap_or_default()),
        timestamp: field(timestamp),
        signature: field(signature),
        length,
    }
}

/// What a network has of the room here.
#[cfg(test)]
pub fn held(network: &str) -> usize {
    ROOM.held(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_both_families_are_shown_and_what_is_odd_is_none() {
        let shown = |fields: &[(&'static str, String)]| {
            let mut headers = HeaderMap::new();
            fields.iter().for_each(|(name, value)| _ = headers.append(*name, value.parse().unwrap()));
            let posted = posted("/hooks/b", &headers, 7);
            (posted.timestamp, posted.signature)
        };
        let of = |family: &str| match family {
            "bytesend" => [("x-bytesend-timestamp", "1".to_owned()), ("x-bytesend-signature", "v1=a".to_owned())],
            _ => [("x-usesend-timestamp", "1".to_owned()), ("x-usesend-signature", "v1=a".to_owned())],
        };
        for family in ["bytesend", "usesend"] {
            assert_eq!(shown(&of(family)), ("1".to_owned(), "v1=a".to_owned()), "{family}");
        }
        assert_eq!(shown(&[]), (String::new(), String::new()));
        let twice = [of("bytesend"), of("bytesend")].concat();
        assert_eq!(shown(&twice), (String::new(), String::new()), "which of them was meant?");
        let long = [("x-bytesend-signature", "x".repeat(MOST_TEXT + 1))];
        assert_eq!(shown(&long).1, "");
        let mixed = [of("bytesend")[1].clone(), of("usesend")[0].clone()];
        assert_eq!(shown(&mixed), (String::new(), "v1=a".to_owned()), "of two families");
        assert!(is_below("/hooks/b") && !is_below("/hooks/") && !is_below("/hooks/b/c") && !is_below("/hook/b"));
    }
}
