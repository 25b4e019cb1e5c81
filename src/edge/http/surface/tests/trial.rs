//! What a body becomes in each dialect, for fuzzing: without a client, a vault or a network.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use hyper::body::Body;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::super::json::{Node, parse_octets};
use super::super::letter::{Letter, Mailbox};
use super::super::raw::trial as raw;
use super::super::reply::{Fault, Reply};
use super::super::{mime, v1};
use super::{Surface, bulk, gateway, postmark, resend, tree, usesend};
use crate::mail::address::Address;
use crate::mail::id::MessageId;

/// How many dialects there are, and how many kinds of batches.
pub const DIALECTS: usize = 5;
pub const BATCHES: usize = 4;

/// A message that was made, and what it was made of.
#[derive(Debug)]
pub struct Made {
    pub octets: Vec<u8>,
    pub author: Address,
    /// Those of To and Cc, which the header names.
    pub named: Vec<Address>,
    /// Those of Bcc, whom nothing names.
    pub hidden: Vec<Address>,
    pub subject: Option<String>,
    /// The texts that there are, in order.
    pub texts: Vec<String>,
    pub files: Vec<Vec<u8>>,
}

/// What the client reads instead: the reply's body, and each finding's pointer and words.
#[derive(Debug)]
pub struct Refused {
    pub body: Vec<u8>,
    pub message: String,
    pub issues: Vec<(String, String)>,
}

/// The body as a message of a dialect, for a client that has one sender.
pub fn message(dialect: usize, body: &[u8]) -> Result<Made, Refused> {
    let only = Address::parse("only@example.net").ok();
    let tree = || parse_octets(body, false);
    let (surface, letter) = match dialect {
        0 => (Surface::V1, v1::letter(body, only.as_ref())),
        1 => (Surface::Send, tree().and_then(gateway::letter)),
        2 => (Surface::Resend, tree().and_then(resend::letter)),
        3 => {
            let mut echo = postmark::Echo::default();
            (Surface::Postmark, tree().and_then(|node| postmark::letter(node, &mut echo)))
        }
        _ => (Surface::Usesend, tree().and_then(usesend::letter)),
    };
    letter.map(made).map_err(|fault| refused(surface, fault))
}

/// The body as a batch of a kind: each of its messages, or why there is none.
pub fn batch(kind: usize, body: &[u8]) -> Result<Vec<Result<Made, Refused>>, Refused> {
    let only = Address::parse("only@example.net").ok();
    let all = |most, letter: fn(Node<'_>) -> Result<Letter, Fault>| {
        let nodes = tree::batch(body, most)?;
        Ok(nodes.into_iter().map(letter).collect())
    };
    let postmark = |node: Node<'_>| postmark::letter(node, &mut postmark::Echo::default());
    let (surface, letters): (_, Result<Vec<_>, Fault>) = match kind {
        0 => (Surface::V1, bulk::letters(body, only.as_ref())),
        1 => (Surface::Resend, all(resend::MAX_BATCH, resend::letter)),
        2 => (Surface::Postmark, all(postmark::MAX_BATCH, postmark)),
        _ => (Surface::Usesend, all(usesend::MAX_BATCH, usesend::letter)),
    };
    let placed = |(at, letter): (usize, Result<Letter, Fault>)| {
        letter.map(made).map_err(|fault| refused(surface, if kind == 0 { bulk::placed(at, fault) } else { fault }))
    };
    let letters = letters.map_err(|fault| refused(surface, fault))?;
    Ok(letters.into_iter().enumerate().map(placed).collect())
}

/// The envelope of a whole message, where its request can be one.
pub fn envelope(
    sender: Option<&[u8]>,
    recipients: Option<&[u8]>,
    message: &[u8],
) -> Option<Result<raw::Envelope, Refused>> {
    let read = raw::envelope(sender, recipients, message)?;
    Some(read.map_err(|fault| refused(Surface::V1, fault)))
}

fn made(letter: Letter) -> Made {
    let all = |list: &[Mailbox]| list.iter().map(|mailbox| mailbox.address.clone()).collect::<Vec<_>>();
    Made {
        octets: mime::compose(&letter, &Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC)),
        author: letter.from.address.clone(),
        named: [all(&letter.to), all(&letter.cc)].concat(),
        hidden: all(&letter.bcc),
        subject: letter.subject.map(|subject| subject.as_str().to_owned()),
        texts: [letter.text, letter.html].into_iter().flatten().collect(),
        files: letter.attachments.into_iter().map(|file| file.content).collect(),
    }
}

fn refused(surface: Surface, fault: Fault) -> Refused {
    let id: MessageId = "01890000-0000-7000-8000-000000000000".parse().expect("an id");
    let body = octets(surface.fault(&fault, id));
    let issues = fault.issues.into_iter().map(|issue| (issue.pointer, issue.message)).collect();
    Refused { body, message: fault.message, issues }
}

/// The body of a reply is there at once, in one piece.
fn octets(reply: Reply) -> Vec<u8> {
    let mut body = reply.into_body();
    match Pin::new(&mut body).poll_frame(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().expect("octets").to_vec(),
        other => panic!("a reply without a body: {other:?}"),
    }
}
