//! The ways that are counted, each as often as it is asked for.

use std::hint::black_box;

use gatepost::edge::smtp::command;
use gatepost::edge::smtp::data::Scanner;
use gatepost::ipc::frame::{decode, encode};
use gatepost::ipc::session::{Ask, Slot};
use gatepost::mail::envelope::Manner;

use crate::support::ledger::address;
use crate::support::units::with_store;

pub struct Way {
    pub name: &'static str,
    /// The rounds of the two runs: enough that what grows by steps (pages, tiles) is spread over them.
    pub rounds: [u32; 2],
    pub go: fn(u32),
}

pub const WAYS: [Way; 4] = [
    Way { name: "commands", rounds: [100, 1100], go: commands },
    Way { name: "content", rounds: [20, 220], go: content },
    Way { name: "frames", rounds: [100, 1100], go: frames },
    Way { name: "store", rounds: [64, 576], go: store },
];

/// What one client says for one message.
fn commands(rounds: u32) {
    let lines: [&[u8]; 5] = [
        b"EHLO client.example.net",
        b"MAIL FROM:<billing@example.net> SIZE=4096 BODY=8BITMIME",
        b"RCPT TO:<person@example.org>",
        b"DATA",
        b"QUIT",
    ];
    for _ in 0..rounds {
        for line in lines {
            assert!(black_box(command::parse(black_box(line))).is_ok());
        }
    }
}

/// 4 KiB of lines, of which some begin with a dot.
fn text() -> Vec<u8> {
    let lines = (0..).map(|n| {
        if n % 16 == 0 {
            "..dots begin this line, as some do\r\n"
        } else {
            "a line of what somebody wrote to somebody else, of usual length\r\n"
        }
    });
    let mut text = Vec::new();
    lines
        .take_while(|line| {
            text.extend_from_slice(line.as_bytes());
            text.len() < 4096
        })
        .for_each(drop);
    text
}

/// The content of DATA as it comes, up to its end.
fn content(rounds: u32) {
    let text = [text(), b".\r\n".to_vec()].concat();
    let mut out = Vec::new();
    for _ in 0..rounds {
        out.clear();
        let scanned = Scanner::new(false).scan(black_box(&text), &mut out);
        assert!(scanned.ended && scanned.consumed == text.len());
    }
}

/// A question of an edge, written and read.
fn frames(rounds: u32) {
    let (sender, manner) = (Some(address("billing@example.net")), Manner::default());
    let helo = "client.example.net".to_owned();
    let ask = Ask::Mail { slot: Slot(1), sender, size: Some(4096), manner, helo, tls: None, once: None };
    for _ in 0..rounds {
        let octets = encode(black_box(&ask)).expect("it fits");
        let read: Ask = decode(black_box(&octets)).expect("it was written so");
        assert!(matches!(black_box(read), Ask::Mail { .. }));
    }
}

/// A message in the store from its acceptance to its delivery, with its events, its key and its use of the limits, 64 in a transaction.
fn store(rounds: u32) {
    const GROUP: u32 = 64;
    let home = std::env::temp_dir().join(format!("gatepost-instructions-{}", std::process::id()));
    std::fs::create_dir(&home).expect("a folder");
    with_store(&home, |units| {
        for first in (0..rounds).step_by(GROUP as usize) {
            let group = GROUP.min(rounds - first);
            units.keep(group);
            units.deliver(u64::from(first), group);
        }
    });
    std::fs::remove_dir_all(home).expect("the folder goes");
}
