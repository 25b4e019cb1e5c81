//! The content of BDAT: the same in whatever chunks and segments it comes, and never changed.

use super::{reference, segments};
use crate::edge::smtp::chunk::Scanner;
use crate::edge::smtp::command::{self, Command};
use crate::edge::smtp::tally::Fault;

fn read<'a>(segments: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, Option<Fault>, u64) {
    let (mut scanner, mut kept) = (Scanner::default(), Vec::new());
    for segment in segments {
        scanner.scan(segment, &mut kept);
    }
    scanner.finish(&mut kept);
    (kept, scanner.tally().fault(), scanner.tally().octets())
}

pub fn run(input: &[u8]) {
    let segments = segments::of(input);
    let whole = segments.concat();
    let as_cut = read(segments.iter().map(Vec::as_slice));
    let by_octet = read(whole.chunks(1));
    assert_eq!((as_cut.1, as_cut.2), (by_octet.1, by_octet.2), "cuts change what is read");
    let expected = match whole.ends_with(b"\r\n") || whole.is_empty() {
        true => whole.clone(),
        false => [&whole[..], b"\r\n"].concat(),
    };
    let is_unfit = reference::is_stray(&whole) || whole.contains(&0);
    assert_eq!(as_cut.1 == Some(Fault::Framing), is_unfit, "{whole:?}");
    if as_cut.1.is_none() {
        assert_eq!((&as_cut.0, &by_octet.0), (&expected, &expected));
    }
    announced(&whole);
}

/// The line that announces a chunk: a number is read as it is written, or not at all.
fn announced(words: &[u8]) {
    let line = [b"BDAT ", words].concat();
    if let Ok(Command::Bdat(chunk)) = command::parse(&line) {
        let said = String::from_utf8(words.to_vec()).unwrap();
        let mut words = said.trim_end_matches(' ').split(' ');
        let digits = words.next().unwrap();
        assert_eq!(digits.parse::<u128>().unwrap(), u128::from(chunk.octets));
        assert!(digits.bytes().all(|octet| octet.is_ascii_digit()));
        assert_eq!(words.next().is_some_and(|word| word.eq_ignore_ascii_case("LAST")), chunk.last);
        assert_eq!(words.next(), None);
    }
}
