//! What is a header and what is none, cut at every octet and with every length.

use proptest::prelude::*;

use super::*;

/// The parser as a reader uses it: it gets as many octets as it asks for, or fewer. Gives how many it took.
fn fed(octets: &[u8], mut portion: impl FnMut(usize) -> usize) -> Result<(Option<SocketAddr>, usize), Malformed> {
    let mut read = 0;
    loop {
        match super::read(&octets[..read])? {
            Step::Whole(client) => return Ok((client, read)),
            Step::More(0) => panic!("nothing to read, and no end"),
            Step::More(_) if read == octets.len() => return Err(Malformed("cut off")),
            Step::More(wanted) => read = (read + portion(wanted).clamp(1, wanted)).min(octets.len()),
        }
    }
}

/// What a header says, whether it comes at once or octet by octet, and that nothing behind it is read.
fn whole(header: &[u8]) -> Result<Option<SocketAddr>, Malformed> {
    let more = [header, b"EHLO client.example\r\n\x16\x03\x01"].concat();
    let (at_once, slowly) = (fed(&more, |wanted| wanted), fed(&more, |_| 1));
    assert_eq!(at_once, slowly);
    let (client, read) = at_once?;
    assert_eq!(read, header.len());
    for cut in 0..header.len() {
        assert_eq!(fed(&header[..cut], |wanted| wanted), Err(Malformed("cut off")), "{cut}");
    }
    Ok(client)
}

fn client(text: &str) -> Result<Option<SocketAddr>, Malformed> {
    Ok(Some(text.parse().unwrap()))
}

fn block(command: u8, kind: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [&block::SIGNATURE[..], &[command, kind], &length, rest].concat()
}

fn value(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind][..], &u16::try_from(value.len()).unwrap().to_be_bytes(), value].concat()
}

const V4: [u8; 12] = [192, 0, 2, 7, 10, 0, 0, 1, 0x9c, 0x40, 0x02, 0x4b];

fn v6(source: &str) -> Vec<u8> {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    [&octets(source)[..], &octets("2001:db8::1"), &[0x9c, 0x40, 0x02, 0x4b]].concat()
}

#[test]
fn rule_l16_a_line_names_the_client() {
    for (line, expected) in [
        ("PROXY TCP4 192.0.2.7 10.0.0.1 40000 587\r\n", "192.0.2.7:40000"),
        ("PROXY TCP4 1.1.1.1 1.1.1.1 0 0\r\n", "1.1.1.1:0"),
        ("PROXY TCP4 255.255.255.254 255.255.255.255 65535 65535\r\n", "255.255.255.254:65535"),
        ("PROXY TCP6 2001:DB8::7 ::1 40000 587\r\n", "[2001:db8::7]:40000"),
        ("PROXY TCP6 ::1 ::1 1 1\r\n", "[::1]:1"),
        ("PROXY TCP6 ::ffff:192.0.2.7 ::1 40000 587\r\n", "192.0.2.7:40000"),
    ] {
        assert_eq!(whole(line.as_bytes()), client(expected), "{line:?}");
    }
    let longest = "2001:0db8:aaaa:bbbb:cccc:dddd:eeee:ffff";
    let longest = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
    assert_eq!((longest.len(), whole(longest.as_bytes()).is_ok()), (104, true));
}

#[test]
fn rule_l16_a_line_that_knows_nobody_names_nobody_whatever_else_it_says() {
    for rest in ["", " ", " TCP4 192.0.2.7 10.0.0.1 1 1", " \0\x7f\u{e9}", &format!(" {}", "x".repeat(91))] {
        assert_eq!(whole(format!("PROXY UNKNOWN{rest}\r\n").as_bytes()), Ok(None), "{rest:?}");
    }
}

#[test]
fn vector_v23_a_line_of_108_octets_is_none() {
    let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16));
    assert_eq!((line(107).len(), whole(line(107).as_bytes())), (107, Ok(None)));
    for length in [108, 109, 300] {
        let line = line(length);
        assert_eq!(whole(line.as_bytes()), Err(Malformed("the line is longer than 107 octets")), "{length}");
        // It is known before the 108th octet is read.
        assert!(read(&line.as_bytes()[..106]).is_err());
    }
}

#[test]
fn rule_l16_a_line_that_is_not_exactly_one_is_none() {
    let good = "PROXY TCP4 192.0.2.7 10.0.0.1 40000 587\r\n";
    for (from, to) in [
        ("PROXY ", "PROXY  "),
        ("PROXY ", "proxy "),
        ("PROXY ", " PROXY "),
        ("PROXY ", "PROXY\t"),
        ("PROXY ", ""),
        ("TCP4", "TCP5"),
        ("TCP4", "TCP6"),
        ("TCP4", "UDP4"),
        ("TCP4", "UNKNOWNX"),
        ("TCP4", "tcp4"),
        (" 10.0.0.1", ""),
        (" 10.0.0.1", "  10.0.0.1"),
        ("192.0.2.7", "192.0.2.07"),
        ("192.0.2.7", "192.0.2"),
        ("192.0.2.7", "192.0.2.256"),
        ("192.0.2.7", "0xc0.0.2.7"),
        ("192.0.2.7", "::1"),
        ("192.0.2.7", "0.0.0.0"),
        ("192.0.2.7", "224.0.0.1"),
        ("192.0.2.7", "255.255.255.255"),
        ("192.0.2.7", "192.0.2.7\0"),
        ("10.0.0.1", "10.0.0.300"),
        ("40000", "040000"),
        ("40000", "00"),
        ("40000", "+4000"),
        ("40000", "-1"),
        ("40000", "65536"),
        ("40000", ""),
        ("587", "65536"),
        ("587", "587 "),
        ("587", "587 x"),
        ("587", "5\u{e9}7"),
        ("\r\n", "\n"),
        ("\r\n", "\r"),
        ("\r\n", "\r\r\n"),
        ("\r\n", "\0\r\n"),
        ("\r\n", ""),
    ] {
        let line = good.replacen(from, to, 1);
        assert!(whole(line.as_bytes()).is_err(), "{line:?}");
    }
    for address in ["1:2:3:4:5:6:7", "::1%eth0", "1::2::3", "12345::", "::", "ff02::1", "[::1]", "192.0.2.7"] {
        assert!(whole(format!("PROXY TCP6 {address} ::1 1 1\r\n").as_bytes()).is_err(), "{address}");
    }
}

#[test]
fn rule_l16_other_protocols_are_known_by_their_first_octets() {
    for begin in ["EHLO", "GET /", "\x16\x03\x01", "\r\n\r\n\r\n", "PROXX", "\n", "\0"] {
        assert!(read(begin.as_bytes()).is_err(), "{begin:?}");
    }
}

#[test]
fn rule_l16_a_block_names_the_client() {
    assert_eq!(whole(&block(0x21, 0x11, &V4)), client("192.0.2.7:40000"));
    assert_eq!(whole(&block(0x21, 0x21, &v6("2001:db8::7"))), client("[2001:db8::7]:40000"));
    assert_eq!(whole(&block(0x21, 0x21, &v6("::ffff:192.0.2.7"))), client("192.0.2.7:40000"));
    for nowhere in ["::", "ff02::1", "::ffff:255.255.255.255"] {
        assert!(whole(&block(0x21, 0x21, &v6(nowhere))).is_err(), "{nowhere}");
    }
    assert!(whole(&block(0x21, 0x11, &[0; 12])).is_err());
}

#[test]
fn rule_l16_a_block_without_a_client_names_nobody() {
    // The proxy's own connection, whatever it says.
    for (kind, rest) in [(0, &[][..]), (0x11, &V4), (0x11, &V4[..7]), (0xff, b"anything")] {
        assert_eq!(whole(&block(0x20, kind, rest)), Ok(None), "{kind:x}");
    }
    // No TCP connection, or one that is not specified.
    for (kind, rest) in [(0, &[][..]), (0, b"xy"), (0x01, &V4), (0x10, &V4), (0x12, &V4), (0x20, &[0; 36])] {
        assert_eq!(whole(&block(0x21, kind, rest)), Ok(None), "{kind:x}");
    }
    for kind in [0x22, 0x31, 0x32] {
        assert_eq!(
            whole(&block(0x21, kind, &[b'/'; 216][..if kind == 0x22 { 36 } else { 216 }])),
            Ok(None),
            "{kind:x}"
        );
    }
}

#[test]
fn rule_l16_a_block_of_an_unknown_kind_is_none() {
    for command in (0..=0xff).filter(|command| ![0x20, 0x21].contains(command)) {
        assert!(whole(&block(command, 0x11, &V4)).is_err(), "{command:x}");
    }
    let known = [0x00, 0x01, 0x02, 0x10, 0x11, 0x12, 0x20, 0x21, 0x22, 0x30, 0x31, 0x32];
    for kind in 0..=0xff {
        let addresses = [V4.to_vec(), V4.to_vec(), v6("2001:db8::7"), vec![b'/'; 216]];
        let rest = addresses.get(usize::from(kind >> 4)).unwrap_or(&addresses[0]);
        assert_eq!(whole(&block(0x21, kind, rest)).is_ok(), known.contains(&kind), "{kind:x}");
    }
    for short in [0, 4, 11] {
        assert!(whole(&block(0x21, 0x11, &V4[..short])).is_err(), "{short}");
    }
    assert!(whole(&block(0x21, 0x21, &v6("::1")[..35])).is_err());
    assert!(whole(&block(0x21, 0x31, &[1; 215])).is_err());
}

#[test]
fn rule_l16_a_block_is_bounded_before_it_is_read() {
    let longest = [&V4[..], &value(4, &vec![0; 4096 - 16 - 12 - 3])].concat();
    assert_eq!(whole(&block(0x21, 0x11, &longest)), client("192.0.2.7:40000"));
    for length in [4081u16, u16::MAX] {
        let head = [&block::SIGNATURE[..], &[0x20, 0], &length.to_be_bytes()].concat();
        assert_eq!(read(&head), Err(Malformed("the block is longer than 4096 octets")), "{length}");
    }
}

#[test]
fn rule_l16_values_in_a_block_are_passed_over_when_they_are_whole() {
    let values = [value(1, b"smtp"), value(2, b"gate.example.net"), value(0x20, &[7, 0, 0, 0, 0]), value(0xee, b"")];
    let with = |values: &[u8]| whole(&block(0x21, 0x11, &[&V4[..], values].concat()));
    assert_eq!(with(&values.concat()), client("192.0.2.7:40000"));
    for cut in [&[1][..], &[1, 0], &[1, 0, 5, b's', b'm'], &[1, 0xff, 0xff]] {
        assert_eq!(
            with(&[&values.concat(), cut].concat()),
            Err(Malformed("a value in the block is cut off")),
            "{cut:?}"
        );
    }
}

/// A block with a checksum, between two other values.
fn summed(sum: Option<[u8; 4]>) -> Vec<u8> {
    let rest = |sum: [u8; 4]| [V4.to_vec(), value(1, b"smtp"), value(3, &sum), value(4, b"\0\0")].concat();
    let right = crc32c::crc32c(&[&block(0x21, 0x11, &rest([0; 4]))]).to_be_bytes();
    block(0x21, 0x11, &rest(sum.unwrap_or(right)))
}

#[test]
fn rule_l16_a_checksum_must_be_right_when_there_is_one() {
    let good = summed(None);
    assert_eq!(whole(&good), client("192.0.2.7:40000"));
    for at in 16..good.len() {
        for bit in 0..8 {
            let mut bad = good.clone();
            bad[at] ^= 1 << bit;
            // A bit of the checksum's own kind makes another value of it, which is passed over.
            let is_kind = at == 16 + 12 + 7;
            assert_eq!(whole(&bad).is_err(), !is_kind, "octet {at}, bit {bit}");
        }
    }
    assert!(whole(&summed(Some([0; 4]))).is_err());
    for odd in [value(3, b""), value(3, b"123"), value(3, b"12345")] {
        assert!(whole(&block(0x21, 0x11, &[&V4[..], &odd].concat())).is_err(), "{odd:?}");
    }
    let twice = [&V4[..], &value(3, &[0; 4]), &value(3, &[0; 4])].concat();
    assert!(whole(&block(0x21, 0x11, &twice)).is_err());
}

proptest! {
    /// Whatever comes, in whatever portions: an end is found within the bound, the portions change nothing, and what is
    /// behind the header is never asked for.
    #[test]
    fn rule_l16_any_octets_come_to_one_end(
        form in 0..4,
        noise in proptest::collection::vec(any::<u8>(), 0..300),
        flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..3),
        portions in proptest::collection::vec(1usize..40, 1..20),
    ) {
        let mut octets = match form {
            0 => noise.clone(),
            1 => [b"PROXY TCP4 192.0.2.7 10.0.0.1 40000 587\r\n", &noise[..]].concat(),
            2 => [&summed(None)[..], &noise].concat(),
            _ => [&block::SIGNATURE[..], &noise].concat(),
        };
        for (at, octet) in flips {
            let length = octets.len().max(1);
            if let Some(place) = octets.get_mut(at % length) {
                *place = octet;
            }
        }
        let mut next = portions.iter().cycle();
        let (at_once, cut) = (fed(&octets, |wanted| wanted), fed(&octets, |_| *next.next().unwrap()));
        prop_assert_eq!(at_once, cut);
        if let Ok((_, read)) = at_once {
            prop_assert!((15..=4096).contains(&read));
            prop_assert_eq!(super::read(&octets[..read]).map(|_| ()), Ok(()));
            prop_assert!(octets.get(read).is_none_or(|_| super::read(&octets[..=read]).is_err()));
        }
    }
}
