//! A name server on loopback that has the records of a test, and no such name otherwise.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;

/// A name, `TXT` or `MX`, and what it publishes: a text, or the host that takes mail (`.` for none).
pub type Record = (&'static str, &'static str, &'static str);

/// Answers as long as the test runs; a thread of a process that ends needs no end of its own.
pub fn serve(records: &'static [Record]) -> SocketAddr {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let _ = socket.send_to(&answer(&question[..length], records), from);
        }
    });
    address
}

fn answer(question: &[u8], records: &[Record]) -> Vec<u8> {
    let (mut labels, mut at) = (Vec::new(), 12);
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).to_lowercase());
        at = end;
    }
    let (name, kind) = (labels.join("."), u16::from_be_bytes([question[at + 1], question[at + 2]]));
    let word = match kind {
        15 => "MX",
        16 => "TXT",
        _ => "",
    };
    let found: Vec<_> = records.iter().filter(|(own, of, _)| *own == name && *of == word).collect();
    let mut answer = question[..at + 5].to_vec();
    // A response that recursion was asked for and is had; NXDOMAIN when the name has nothing at all.
    let known = records.iter().any(|(own, ..)| *own == name);
    answer[2..4].copy_from_slice(&(0x8180 | if known { 0 } else { 3_u16 }).to_be_bytes());
    answer[6..8].copy_from_slice(&u16::try_from(found.len()).unwrap().to_be_bytes());
    answer[8..12].fill(0);
    for (.., value) in found {
        let data = if word == "MX" { [&[0, 10], encoded(value).as_slice()].concat() } else { text(value) };
        answer.extend([0xc0, 12]);
        answer.extend(kind.to_be_bytes());
        answer.extend([0, 1, 0, 0, 0, 60]);
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    answer
}

fn encoded(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut octets: Vec<u8> =
        labels.flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat()).collect();
    octets.push(0);
    octets
}

fn text(value: &str) -> Vec<u8> {
    value.as_bytes().chunks(255).flat_map(|part| [&[u8::try_from(part.len()).unwrap()], part].concat()).collect()
}
