//! The envelope of a whole message, for fuzzing: without a client, a vault or a network.

use hyper::header::{HeaderMap, HeaderValue};

use super::{Findings, addressed, canonical, content, envelope, fixup, header, place, told};
use crate::edge::http::reply::Fault;
use crate::mail::address::Address;

/// Whom a message is from and for.
pub type Envelope = (Address, Vec<Address>);

/// By the request's fields, of which each may be absent, and the message. None: such a request has no such fields.
pub fn envelope(sender: Option<&[u8]>, recipients: Option<&[u8]>, message: &[u8]) -> Option<Result<Envelope, Fault>> {
    let mut headers = HeaderMap::new();
    for (name, value) in [("x-mail-from", sender), ("x-rcpt-to", recipients)] {
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_bytes(value).ok()?);
        }
    }
    Some(read(&headers, message))
}

fn read(headers: &HeaderMap, message: &[u8]) -> Result<Envelope, Fault> {
    let mut findings = Findings::default();
    let said = (envelope::sender(&mut findings, headers), envelope::recipients(&mut findings, headers));
    let unfit = |flaw| {
        let mut findings = Findings::default();
        findings.add(place(flaw), told(flaw));
        findings.fault()
    };
    let content = canonical(message).map_err(unfit)?;
    let end = content::header_end(&content, 0).unwrap_or(content.len());
    let mark = fixup::mark("gate.example.net", "api");
    let header = header::read(content.get(..end).unwrap_or_default(), &mark, false).map_err(unfit)?;
    let (from, to, _) = addressed(findings, headers, said, &header)?;
    Ok((from.address, to.into_iter().map(|mailbox| mailbox.address).collect()))
}
