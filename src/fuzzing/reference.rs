//! What a client said and what it heard, followed by somebody who knows nothing of the session's code: which octets were
//! commands, which content, and what was acknowledged.

use super::heard::Reply;

/// The content that begins here, dots taken off, and where its end ends.
pub fn content(octets: &[u8]) -> Option<(Vec<u8>, usize)> {
    let framed = [b"\r\n", octets].concat();
    let at = framed.windows(5).position(|five| five == b"\r\n.\r\n")?;
    let mut content = Vec::new();
    let mut rest = &octets[..at];
    while !rest.is_empty() {
        let end = rest.windows(2).position(|two| two == b"\r\n").map_or(rest.len(), |end| end + 2);
        let (line, behind) = rest.split_at(end);
        content.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
        rest = behind;
    }
    Some((content, at + 3))
}

/// Rule L5: every LF without its CR becomes a line end, and a dot behind it that isn't all of its line is taken off.
pub fn repaired(content: &[u8]) -> Vec<u8> {
    let (mut before, mut is_behind_repaired) = (0, false);
    let mut repaired = Vec::new();
    for (octet, next) in content.iter().zip(content.iter().skip(1).map(Some).chain([None])) {
        let is_stuffed = is_behind_repaired && *octet == b'.' && !matches!(next, Some(b'\r' | b'\n'));
        let is_bare = *octet == b'\n' && before != b'\r';
        if is_bare {
            repaired.push(b'\r');
        }
        if !is_stuffed {
            repaired.push(*octet);
        }
        (before, is_behind_repaired) = (*octet, is_bare);
    }
    repaired
}

/// Whether there is a CR without its LF or the reverse.
pub fn is_stray(octets: &[u8]) -> bool {
    let mut before = 0;
    for octet in octets.iter().chain(b" ") {
        if (before == b'\r') != (*octet == b'\n') {
            return true;
        }
        before = *octet;
    }
    false
}

/// A line that announces octets: how many, and whether they are the last.
fn announced(line: &[u8]) -> Option<(u64, bool)> {
    let line = std::str::from_utf8(line).ok()?.to_ascii_uppercase();
    let mut words = line.trim_end_matches(' ').split(' ');
    let (verb, digits) = (words.next()?, words.next()?);
    let is_number = !digits.is_empty() && digits.len() <= 20 && digits.bytes().all(|octet| octet.is_ascii_digit());
    match (words.next(), words.next()) {
        (None, None) | (Some("LAST"), None) if verb == "BDAT" && is_number => {
            Some((digits.parse().ok()?, line.contains("LAST")))
        }
        _ => None,
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    replies: std::slice::Iter<'a, Reply>,
    /// What came in chunks and is not acknowledged yet.
    chunks: Vec<u8>,
    repairs: bool,
    kept: Vec<Vec<u8>>,
}

/// Follows a session from its greeting: one command, one reply. Gives the content of each message that was acknowledged,
/// as the client sent it, or with its line ends repaired.
pub fn follow(said: &[u8], heard: &[Reply], repairs: bool) -> Vec<Vec<u8>> {
    let mut walk = Walk { rest: said, replies: heard.iter(), chunks: Vec::new(), repairs, kept: Vec::new() };
    if walk.replies.next().is_some_and(|greeting| greeting.code == 220) {
        while walk.step().is_some() {}
    }
    // The word of farewell to a client that is in the middle of a line, a chunk or a message, or ahead of its turn.
    let left = walk.replies.as_slice();
    assert!(
        left.is_empty() || left.len() == 1 && matches!(left[0].code, 421 | 500 | 552 | 554),
        "{left:?} answers nothing"
    );
    walk.kept
}

impl<'a> Walk<'a> {
    fn line(&mut self) -> Option<&'a [u8]> {
        let end = self.rest.windows(2).position(|two| two == b"\r\n")?;
        let line = &self.rest[..end];
        self.rest = &self.rest[end + 2..];
        Some(line)
    }

    /// One command and what belongs to it; none at the end of what was said or heard.
    fn step(&mut self) -> Option<()> {
        let line = self.line()?;
        let chunk = announced(line);
        let mut octets: &[u8] = &[];
        if let Some((length, _)) = chunk {
            // Fewer have come: there is no answer yet.
            (octets, self.rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        }
        let mut reply = self.replies.next()?;
        while reply.code == 334 {
            self.line()?;
            reply = self.replies.next()?;
        }
        if reply.code == 354 {
            let (content, end) = content(self.rest)?;
            self.rest = &self.rest[end..];
            let verdict = self.replies.next().expect("content has its answer");
            if is_kept(verdict) {
                self.kept.push(if self.repairs { repaired(&content) } else { content });
            }
            return Some(());
        }
        let begins_anew = ["RSET", "EHLO", "HELO", "MAIL"].iter().any(|verb| verb_is(line, verb));
        if let Some((_, last)) = chunk.filter(|_| reply.code == 250) {
            self.chunks.extend_from_slice(octets);
            assert_eq!(last, is_kept(reply), "{reply:?} to a chunk");
            if last {
                self.kept.push(ended(std::mem::take(&mut self.chunks)));
            }
        } else if chunk.is_some() || begins_anew && reply.code == 250 {
            self.chunks.clear();
        }
        Some(())
    }
}

fn is_kept(reply: &Reply) -> bool {
    reply.code == 250 && reply.text.starts_with("2.0.0 kept as ")
}

fn verb_is(line: &[u8], verb: &str) -> bool {
    line.split(|octet| *octet == b' ').next().is_some_and(|word| word.eq_ignore_ascii_case(verb.as_bytes()))
}

/// Rule D4: a last line without its end gets one.
fn ended(mut content: Vec<u8>) -> Vec<u8> {
    if !content.is_empty() && !content.ends_with(b"\r\n") {
        content.extend_from_slice(b"\r\n");
    }
    content
}

/// What was kept is what was sent, save one Received on top, fields that must not go out, and Date and Message-ID.
pub fn assert_same(sent: &[u8], kept: &[u8]) {
    let (sent, sent_body) = sent.split_at(header_end(sent));
    let (kept, kept_body) = kept.split_at(header_end(kept));
    assert_eq!(String::from_utf8_lossy(sent_body), String::from_utf8_lossy(kept_body), "the body has changed");
    let lines = |header: &[u8]| -> Vec<Vec<u8>> {
        header.split_inclusive(|octet| *octet == b'\n').map(<[u8]>::to_vec).collect()
    };
    let (sent, kept) = (lines(sent), lines(kept));
    let mut kept = kept.iter().peekable();
    assert!(kept.next().is_some_and(|line| line.starts_with(b"Received: from ")));
    while kept.next_if(|line| line.starts_with(b"\t")).is_some() {}
    // Without those that were taken out the client's stand as they stood; behind them what was missing.
    for line in sent {
        kept.next_if(|kept| **kept == line);
    }
    let added: Vec<_> = kept.collect();
    let ours = |line: &[u8]| line.starts_with(b"Date: ") || line.starts_with(b"Message-ID: <");
    assert!(added.len() <= 2 && added.iter().all(|line| ours(line)), "{added:?} stands in the header");
}

fn header_end(message: &[u8]) -> usize {
    if message.starts_with(b"\r\n") {
        return 0;
    }
    message.windows(4).position(|four| four == b"\r\n\r\n").map_or(message.len(), |at| at + 2)
}
