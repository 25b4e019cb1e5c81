//! A message's envelope as the arguments of a program, and which recipients go with one run of it.

use std::ffi::OsString;

use crate::config::slice::{MailerSlice, Understands};
use crate::jobs::parcel::Parcel;
use crate::mail::address::Address;
use crate::mail::dsn::{Notify, Ret};
use crate::mail::envelope::Addressee;

/// Recipients of one run, and octets of their addresses: a program's memory is its own affair, but a thousand of them are far below
/// what every system lets a program be told (OpenBSD 512 KiB in all, Linux 128 KiB in a word).
const MAX_RECIPIENTS: usize = 100;
const MAX_OCTETS: usize = 32 * 1024;
/// An envelope id of two characters is another option's in Postfix (-V of VERP).
const SHORTEST_ENVID: usize = 3;

/// Those who go with one run.
pub type Part = Vec<(u32, Addressee)>;

/// Parts of a message's recipients, in their order, and apart by what is to be told of them: a run says it once.
pub fn parts(recipients: &[(u32, Addressee)], understands: Understands) -> Vec<Part> {
    let wish = |to: &Addressee| to.wish.notify.filter(|_| understands.dsn);
    let mut parts: Vec<(Option<Notify>, usize, Part)> = Vec::new();
    for (number, to) in recipients {
        let octets = to.address.to_string().len();
        let has_room = |(notify, taken, part): &&mut (Option<Notify>, usize, Part)| {
            *notify == wish(to) && part.len() < MAX_RECIPIENTS && taken.saturating_add(octets) <= MAX_OCTETS
        };
        match parts.iter_mut().rev().find(has_room) {
            Some((_, taken, part)) => {
                *taken = taken.saturating_add(octets);
                part.push((*number, to.clone()));
            }
            None => parts.push((wish(to), octets, vec![(*number, to.clone())])),
        }
    }
    parts.into_iter().map(|(.., part)| part).collect()
}

/// What the program is told. Nothing that a sender wrote is read as an option: he is a word behind `-f`, which takes one, and
/// recipients stand behind `--`.
pub fn words(slice: &MailerSlice, parcel: &Parcel, part: &Part) -> Vec<OsString> {
    let mut words: Vec<String> = slice.arguments.clone();
    let mut say = |more: &[&str]| words.extend(more.iter().map(|word| (*word).to_owned()));
    // A line with a dot alone is a line.
    say(&["-i"]);
    if slice.understands.eight_bit {
        // A 7-bit message is an 8-bit one, too.
        say(&["-B8BITMIME"]);
    }
    if slice.understands.dsn {
        let report = &parcel.manner.report;
        if let Some(notify) = part.first().and_then(|(_, to)| to.wish.notify) {
            say(&["-N", &notify.to_string().to_ascii_lowercase()]);
        }
        match report.ret {
            Some(Ret::Full) => say(&["-R", "full"]),
            Some(Ret::Headers) => say(&["-R", "hdrs"]),
            None => {}
        }
        let envid = report.envid.as_ref().map(ToString::to_string);
        // What begins like an option may be taken for one: who takes `-V` without a word behind it reads it next.
        let is_said = |envid: &String| envid.len() >= SHORTEST_ENVID && !envid.starts_with('-');
        if let Some(envid) = envid.filter(is_said) {
            say(&["-V", &envid]);
        }
    }
    // Nobody is "<>": Postfix, OpenSMTPD, Exim and msmtp all take it; an empty word not all.
    let sender = parcel.sender.as_ref().map_or_else(|| "<>".to_owned(), Address::to_string);
    say(&["-f", &sender, "--"]);
    words.extend(part.iter().map(|(_, to)| to.address.to_string()));
    words.into_iter().map(OsString::from).collect()
}

#[cfg(test)]
#[path = "tests/envelope.rs"]
mod tests;
