//! The content of DATA: its end and its octets are the same however it is cut, and as the RFC has them.

use smtp_proto::request::receiver::DataReceiver;

use super::{reference, segments};
use crate::edge::smtp::data::Scanner;
use crate::edge::smtp::tally::Fault;

/// What the scanner made of all segments.
#[derive(Debug, PartialEq, Eq)]
struct Read {
    kept: Vec<u8>,
    /// Octets up to the end, the end included.
    end: Option<usize>,
    fault: Option<Fault>,
    octets: u64,
}

fn read<'a>(segments: impl Iterator<Item = &'a [u8]>, repairs: bool) -> Read {
    let (mut scanner, mut kept, mut taken) = (Scanner::new(repairs), Vec::new(), 0);
    let mut end = None;
    for segment in segments {
        let scanned = scanner.scan(segment, &mut kept);
        assert!(scanned.ended || scanned.consumed == segment.len(), "content was left lying");
        taken += scanned.consumed;
        if scanned.ended {
            end = Some(taken);
            break;
        }
    }
    Read { kept, end, fault: scanner.tally().fault(), octets: scanner.tally().octets() }
}

pub fn run(input: &[u8]) {
    let segments = segments::of(input);
    let whole = segments.concat();
    for repairs in [false, true] {
        held(&segments, &whole, repairs);
    }
    beside_smtp_proto(&whole, &read(std::iter::once(whole.as_slice()), false));
}

fn held(segments: &[Vec<u8>], whole: &[u8], repairs: bool) {
    let as_cut = read(segments.iter().map(Vec::as_slice), repairs);
    let by_octet = read(whole.chunks(1), repairs);
    assert_eq!((as_cut.end, as_cut.fault), (by_octet.end, by_octet.fault), "cuts change what is read");
    if as_cut.fault.is_none() {
        assert_eq!(as_cut.kept, by_octet.kept, "cuts change what is kept");
    }
    let expected = reference::content(whole);
    assert_eq!(as_cut.end, expected.as_ref().map(|(_, end)| *end), "it ends elsewhere");
    if let (Some((content, _)), None) = (expected, as_cut.fault) {
        let content = if repairs { reference::repaired(&content) } else { content };
        assert!(!reference::is_stray(&content) && !content.contains(&0), "{content:?}");
        assert_eq!((as_cut.octets, as_cut.kept), (content.len() as u64, content));
    }
}

/// Another receiver of DATA agrees wherever the content has CRLF and no other CR or LF. Where it has, ours refuses it, and
/// theirs may see an end (`CR LF . CR CR LF`) where there is none.
fn beside_smtp_proto(whole: &[u8], ours: &Read) {
    // Theirs doesn't know that it begins behind the CRLF of the command: it is given one to read.
    let framed = [b"\r\n", whole].concat();
    let (mut rest, mut kept) = (framed.iter(), Vec::new());
    let ended = DataReceiver::new().ingest(&mut rest, &mut kept);
    let end = ended.then(|| whole.len() - rest.as_slice().len());
    match ours.fault {
        Some(Fault::Framing) => {
            let false_end = |end: usize| framed.get(..end + 2).is_some_and(|head| head.ends_with(b"\r\r\n"));
            assert!(end == ours.end || end.is_some_and(false_end), "ends at {end:?}, ours at {:?}", ours.end);
        }
        Some(Fault::LineTooLong) => assert_eq!(end, ours.end),
        None if ended => assert_eq!((end, &kept[2..]), (ours.end, &ours.kept[..])),
        None => assert_eq!(ours.end, None),
    }
}
