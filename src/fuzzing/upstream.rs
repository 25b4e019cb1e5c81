//! What the courier says of a kept message, and upstreams that read it: a strict one, and such as other servers have been.

use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use tokio::sync::mpsc;

use crate::courier::parcel::{Content, Credit, Parcel, Teller};
use crate::courier::smtp::envelope;
use crate::courier::smtp::offers::{Limits, Mechanisms, Offers};
use crate::courier::smtp::stuffing::Stuffing;
use crate::edge::smtp::command::{self, Command, Recipient};
use crate::edge::stand_in::Kept;
use crate::ipc::channel;
use crate::ipc::delivery::{Job, Offer, Progress};
use crate::mail::address::Address;
use crate::mail::envelope::Addressee;
use crate::mail::id::MessageId;
use crate::sandbox::Sealed;

const OFFERS: Offers = Offers {
    starttls: false,
    pipelining: true,
    size: true,
    eight_bit: true,
    chunking: false,
    dsn: true,
    utf8: true,
    require_tls: true,
    mechanisms: Mechanisms::NONE,
    limits: Limits::NONE,
};

/// Where a line ends, for one who reads: its octets and what is behind it.
type Lines = fn(&[u8]) -> Option<(&[u8], &[u8])>;

fn by_crlf(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memmem::find(octets, b"\r\n")?;
    Some((&octets[..at], &octets[at + 2..]))
}

/// A bare LF is a line end, and a CR before it belongs to it.
fn by_lf(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr(b'\n', octets)?;
    let line = &octets[..at];
    Some((line.strip_suffix(b"\r").unwrap_or(line), &octets[at + 1..]))
}

/// Either is, and both together are one.
fn by_either(octets: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = memchr::memchr2(b'\r', b'\n', octets)?;
    let length = if octets[at..].starts_with(b"\r\n") { 2 } else { 1 };
    Some((&octets[..at], &octets[at + length..]))
}

/// Whoever reads what goes out finds one envelope, one message, the content that was kept, and no command but ours.
pub fn assert_one(kept: &Kept, cut: usize) {
    let commands = commands(kept);
    let recipients = kept.recipients.len();
    assert_eq!(commands.len(), recipients + 2);
    let mut sent: Vec<u8> = commands.concat().into_bytes();
    let mut stuffing = Stuffing::new(true);
    for part in kept.octets.chunks(cut.max(1)) {
        stuffing.push(part, &mut sent).expect("what was kept can be sent");
    }
    stuffing.finish(&mut sent).expect("what was kept can be ended");
    sent.extend_from_slice(b"QUIT\r\n");
    for (reader, lines) in [("a strict", by_crlf as Lines), ("an old", by_lf), ("a lenient", by_either)] {
        let (said, content) = read(&sent, lines);
        assert_eq!(said.len(), recipients + 3, "{reader} upstream reads {said:?}");
        assert!(said.iter().zip(&commands).all(|(said, ours)| **said == *ours.trim_end().as_bytes()));
        assert_eq!(content, std::slice::from_ref(&kept.octets), "{reader} upstream reads another message");
    }
}

/// The commands that an upstream hears, and the messages.
fn read(mut rest: &[u8], lines: Lines) -> (Vec<&[u8]>, Vec<Vec<u8>>) {
    let (mut said, mut messages) = (Vec::new(), Vec::new());
    let mut open: Option<Vec<u8>> = None;
    while let Some((line, behind)) = lines(rest) {
        rest = behind;
        match &mut open {
            Some(content) if line == b"." => messages.push(std::mem::take(content)),
            Some(content) => {
                content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
                content.extend_from_slice(b"\r\n");
                continue;
            }
            None => {
                said.push(line);
                open = line.eq_ignore_ascii_case(b"DATA").then(Vec::new);
                continue;
            }
        }
        open = None;
    }
    assert!(rest.is_empty() && open.is_none(), "an upstream waits for more");
    (said, messages)
}

/// MAIL, RCPT and DATA as the courier says them. Read back, they mean what was kept.
fn commands(kept: &Kept) -> Vec<String> {
    let address = |text: &String| Address::parse_international(text).expect("what was kept is an address");
    let sender = Some(&kept.sender).filter(|sender| !sender.is_empty()).map(address);
    let both = kept.recipients.iter().zip(&kept.wishes);
    let addressees = both.map(|(to, wish)| Addressee { address: address(to), wish: wish.clone() });
    let addressees: Vec<Addressee> = addressees.collect();
    let (ours, _theirs) = socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC).unwrap();
    let (vault, _) = channel::open::<Progress, Offer>(ours, &Sealed::for_tests()).unwrap();
    let (_, feed) = mpsc::unbounded_channel();
    let parcel = Parcel {
        message: MessageId::now(),
        sender: sender.clone(),
        manner: kept.manner.clone(),
        size: Some(kept.octets.len() as u64),
        recipients: (0..).zip(addressees.clone()).collect(),
        content: Content::new(Job(1), Some(kept.octets.len() as u64), vault.clone(), feed, Credit::default()),
        teller: Teller::new(Job(1), vault),
        key: None,
    };
    let lines: Vec<String> = envelope::envelope(&parcel, &OFFERS).into_iter().map(|command| command.line).collect();
    let mut meant = lines.iter().map(|line| command::parse(line.strip_suffix("\r\n").unwrap().as_bytes()).unwrap());
    match meant.next() {
        Some(Command::Mail(mail)) => {
            assert_eq!((&mail.from, &mail.manner.report), (&sender, &kept.manner.report));
            assert_eq!(mail.size, Some(kept.octets.len() as u64));
        }
        other => panic!("{other:?}"),
    }
    for to in &addressees {
        match meant.next() {
            Some(Command::Rcpt(rcpt)) => {
                assert_eq!((&rcpt.recipient, &rcpt.wish), (&Recipient::Mailbox(to.address.clone()), &to.wish));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((meant.next(), meant.next()), (Some(Command::Data), None));
    lines
}
