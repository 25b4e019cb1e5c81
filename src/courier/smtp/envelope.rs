//! MAIL, RCPT and DATA as command lines, and how many of them go out in one write.

use super::offers::Offers;
use crate::courier::parcel::Parcel;
use crate::mail::address::ReversePath;
use crate::mail::dsn::{Report, Wish};
use crate::mail::envelope::{Addressee, Utf8};

/// Octets of commands in one write (rule U8). The kernel takes that much at once whatever the other side does (16 KiB is the
/// smallest send buffer of the systems we run on), so we are never stuck writing while the upstream is stuck answering.
const GROUP: usize = 8 * 1024;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Mail,
    /// By position in the parcel.
    Rcpt(usize),
    Data,
}

impl Step {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mail => "MAIL",
            Self::Rcpt(_) => "RCPT",
            Self::Data => "DATA",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    pub step: Step,
    pub line: String,
}

/// Puts a parcel's envelope into words, with what the upstream offers and nothing else (rule U12). Addresses are written
/// anew from their parsed form (rule U6), which has no control character; one with letters beyond ASCII is
/// said to who takes it (rule X3).
pub fn envelope(parcel: &Parcel, offers: &Offers) -> Vec<Command> {
    let mail = Command { step: Step::Mail, line: mail(parcel, offers) };
    // Chunks come when it is known that somebody is to get them.
    let data = (!offers.chunking).then(data);
    std::iter::once(mail).chain(recipients(parcel, offers, 0)).chain(data).collect()
}

/// The same of a live message, as far as it has come: its recipients from that position on, and MAIL if that was not said.
pub fn so_far(parcel: &Parcel, offers: &Offers, from: usize, is_begun: bool) -> Vec<Command> {
    let mail = (!is_begun).then(|| Command { step: Step::Mail, line: mail(parcel, offers) });
    mail.into_iter().chain(recipients(parcel, offers, from)).collect()
}

pub fn data() -> Command {
    Command { step: Step::Data, line: "DATA\r\n".to_owned() }
}

fn mail(parcel: &Parcel, offers: &Offers) -> String {
    let mut line = format!("MAIL FROM:{}", reverse(&parcel.sender));
    if let Some(size) = parcel.size.filter(|_| offers.size) {
        line.push_str(&format!(" SIZE={size}"));
    }
    if offers.eight_bit {
        // What the content is shows only when it has gone out, and a 7-bit message is an 8-bit one, too.
        line.push_str(" BODY=8BITMIME");
    }
    if offers.utf8 && parcel.manner.utf8 != Utf8::None {
        line.push_str(" SMTPUTF8");
    }
    if parcel.manner.require_tls {
        // A host that doesn't offer it was passed over.
        line.push_str(" REQUIRETLS");
    }
    if offers.dsn {
        line.push_str(&report(&parcel.manner.report));
    }
    line.push_str("\r\n");
    line
}

/// Whether MAIL says something of this message that it doesn't say of each: what that is refused for, another one need not be. The
/// size is said of each, and BODY.
pub fn has_own_parameters(parcel: &Parcel, offers: &Offers) -> bool {
    let manner = &parcel.manner;
    (offers.utf8 && manner.utf8 != Utf8::None)
        || manner.require_tls
        || (offers.dsn && (manner.report.ret.is_some() || manner.report.envid.is_some()))
}

fn recipients(parcel: &Parcel, offers: &Offers, from: usize) -> impl Iterator<Item = Command> {
    let said = |to: &Addressee| offers.utf8 || !to.address.is_international();
    let recipients = parcel.recipients.iter().enumerate().skip(from).filter(move |(_, (_, to))| said(to));
    recipients.map(|(at, (_, to))| {
        let parameters = if offers.dsn { wish(&to.wish) } else { String::new() };
        let line = format!("RCPT TO:<{}>{parameters}\r\n", to.address);
        Command { step: Step::Rcpt(at), line }
    })
}

pub fn reverse(path: &ReversePath) -> String {
    path.as_ref().map_or_else(|| "<>".to_owned(), |address| format!("<{address}>"))
}

/// RFC 3461 section 5.2.1: what was asked for is asked for, unchanged.
fn report(report: &Report) -> String {
    let ret = report.ret.map(|ret| format!(" RET={}", ret.word())).unwrap_or_default();
    let envid = report.envid.as_ref().map(|envid| format!(" ENVID={envid}")).unwrap_or_default();
    ret + &envid
}

fn wish(wish: &Wish) -> String {
    let notify = wish.notify.map(|notify| format!(" NOTIFY={notify}")).unwrap_or_default();
    let orcpt = wish.orcpt.as_ref().map(|orcpt| format!(" ORCPT={orcpt}")).unwrap_or_default();
    notify + &orcpt
}

/// Splits the commands into groups that each go out in one write: one by one, unless the upstream offers PIPELINING.
pub fn groups(commands: Vec<Command>, pipelining: bool) -> Vec<Vec<Command>> {
    let mut groups: Vec<Vec<Command>> = Vec::new();
    let mut octets = 0;
    for command in commands {
        let length = command.line.len();
        match groups.last_mut() {
            Some(group) if pipelining && octets + length <= GROUP => {
                group.push(command);
                octets += length;
            }
            _ => {
                groups.push(vec![command]);
                octets = length;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_u8_groups_are_single_commands_without_pipelining_and_small_with_it() {
        let commands: Vec<Command> =
            (0..1000).map(|at| Command { step: Step::Rcpt(at), line: format!("{at:>98}\r\n") }).collect();
        assert_eq!(groups(commands.clone(), false).len(), 1000);
        let groups = groups(commands.clone(), true);
        assert_eq!(groups.concat(), commands);
        assert_eq!(groups.len(), 1000usize.div_ceil(GROUP / 100));
        assert!(groups.iter().all(|group| group.iter().map(|command| command.line.len()).sum::<usize>() <= GROUP));
    }
}
