//! Replies of an upstream, which is a stranger: bounded while they arrive (rule U1), plain text afterwards (rule U2).

use std::fmt;

use crate::courier::secrets::{HIDDEN, Secrets};
use crate::mail::outcome::{MAX_TEXT, Said};

/// RFC 5321 section 4.5.3.1.5 allows 512 octets; some servers put more into one line.
const MAX_LINE: usize = 4096;
/// The longest honest reply is an EHLO's, with some 20 lines.
const MAX_LINES: usize = 128;
const MAX_OCTETS: usize = 64 * 1024;

/// One whole reply. Its lines have no code and no control characters any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub lines: Vec<String>,
}

/// Not a reply of RFC 5321 section 4.2, or beyond the bounds above. Nothing that follows on the connection can be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

/// The lines of a reply that is still arriving.
#[derive(Debug, Default)]
pub struct Collector {
    code: Option<u16>,
    lines: Vec<String>,
    octets: usize,
}

impl Collector {
    /// Takes whole lines from the front of `input` up to the end of a reply; what comes behind it stays there.
    pub fn take(&mut self, input: &mut Vec<u8>) -> Result<Option<Reply>, Malformed> {
        loop {
            let Some(end) = memchr::memchr(b'\n', input) else {
                return if input.len() < MAX_LINE { Ok(None) } else { Err(Malformed("a line is too long")) };
            };
            if end >= MAX_LINE {
                return Err(Malformed("a line is too long"));
            }
            let line: Vec<u8> = input.drain(..=end).collect();
            if let Some(code) = self.add(&line)? {
                let Self { lines, .. } = std::mem::take(self);
                return Ok(Some(Reply { code, lines }));
            }
        }
    }

    /// Adds one line, its end included; gives the code when it was the last.
    fn add(&mut self, line: &[u8]) -> Result<Option<u16>, Malformed> {
        self.octets += line.len();
        if self.octets > MAX_OCTETS || self.lines.len() >= MAX_LINES {
            return Err(Malformed("it is too long"));
        }
        let line = line.strip_suffix(b"\r\n").ok_or(Malformed("a line does not end in CRLF"))?;
        let (digits, rest) = line.split_first_chunk::<3>().ok_or(Malformed("a line has no code"))?;
        let code = code(*digits).ok_or(Malformed("a line has no code"))?;
        if self.code.is_some_and(|first| first != code) {
            return Err(Malformed("its lines differ in their codes"));
        }
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(Malformed("a code is not followed by a space or hyphen")),
        };
        self.code = Some(code);
        self.lines.push(plain(text));
        Ok(last.then_some(code))
    }
}

fn code(digits: [u8; 3]) -> Option<u16> {
    let [first, second, third] = digits;
    if !(b'2'..=b'5').contains(&first) || !second.is_ascii_digit() || !third.is_ascii_digit() {
        return None;
    }
    Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
}

/// A stranger's octets as one line of text.
fn plain(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Reply {
    pub fn is_positive(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// Takes secrets out of it; all of its text where they are there over several lines.
    pub fn conceal(&mut self, secrets: &Secrets) {
        self.lines.iter_mut().for_each(|line| *line = secrets.hide(line));
        let code = self.code;
        let text: String = self.lines.iter().map(|line| split_enhanced(line, code).1.trim()).collect();
        if secrets.hide(&text) == text {
            return;
        }
        for line in &mut self.lines {
            let enhanced = split_enhanced(line, code).0;
            *line = enhanced.map_or_else(|| HIDDEN.to_owned(), |enhanced| format!("{enhanced} {HIDDEN}"));
        }
    }

    pub fn is_temporary(&self) -> bool {
        (400..500).contains(&self.code)
    }

    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code)
    }

    /// What is kept of it: code, enhanced code, and the text in one line and cut.
    pub fn said(&self, host: &str, tls: Option<&str>) -> Said {
        let mut found = None;
        let mut text = String::new();
        for line in &self.lines {
            let (enhanced, rest) = split_enhanced(line, self.code);
            found = found.or(enhanced);
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(rest.trim());
        }
        let (enhanced, text) = (found.map(str::to_owned), cut(text));
        Said {
            code: Some(self.code),
            enhanced,
            text,
            host: host.to_owned(),
            tls: tls.map(str::to_owned),
            reports: false,
            of_recipient: false,
            reference: None,
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let said = self.said("", None);
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = said.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", said.text)
    }
}

/// Cuts a text to what is kept of an upstream's words.
pub fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

/// An enhanced status code (RFC 2034 section 4) of the same class as the reply's, and what follows it.
fn split_enhanced(line: &str, code: u16) -> (Option<&str>, &str) {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let mut parts = word.split('.');
    let (class, subject, detail) = (parts.next(), parts.next(), parts.next());
    let number = |part: Option<&str>| {
        part.is_some_and(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let same_class = class.is_some_and(|class| class == (code / 100).to_string());
    if same_class && number(subject) && number(detail) && parts.next().is_none() {
        (Some(word), rest)
    } else {
        (None, line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Result<Option<Reply>, Malformed> {
        Collector::default().take(&mut text.to_vec())
    }

    #[test]
    fn a_reply_survives_any_segmentation_and_leaves_what_follows() {
        let text = b"250-first\r\n250-2.1.0 second\r\n250 third\r\n354 go\r\n";
        for step in 1..text.len() {
            let (mut collector, mut input, mut seen) = (Collector::default(), Vec::new(), Vec::new());
            for part in text.chunks(step) {
                input.extend_from_slice(part);
                while let Some(reply) = collector.take(&mut input).unwrap() {
                    seen.push((reply.code, reply.lines.len()));
                }
            }
            assert_eq!(seen, [(250, 3), (354, 1)]);
        }
    }

    #[test]
    fn rule_u1_a_line_needs_a_code_from_2_to_5_and_a_space_or_hyphen() {
        for text in
            ["2500 ok\r\n", "25 ok\r\n", "150 ok\r\n", "650 ok\r\n", "2x0 ok\r\n", "250_ok\r\n", "ok\r\n", "\r\n"]
        {
            assert!(read(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(read(b"250\r\n").unwrap().unwrap().code, 250);
    }

    #[test]
    fn rule_u1_each_line_has_the_same_code() {
        assert!(read(b"250-a\r\n251 b\r\n").is_err());
        assert!(read(b"250-a\r\n550 b\r\n").is_err());
    }

    #[test]
    fn rule_u1_only_crlf_ends_a_line() {
        assert!(read(b"250 ok\n").is_err());
    }

    #[test]
    fn rule_u1_vector_v24_lines_and_their_number_are_bounded() {
        assert!(read("250-x\r\n".repeat(10_000).as_bytes()).is_err());
        assert!(read(&vec![b'2'; 1024 * 1024]).is_err());
        assert!(read(format!("250 {}\r\n", "x".repeat(4092)).as_bytes()).is_err());
        assert!(read(format!("250 {}\r\n", "x".repeat(4000)).as_bytes()).unwrap().is_some());
        assert!(read(format!("250-{}\r\n", "x".repeat(4000)).repeat(17).as_bytes()).is_err());
        assert!(read(format!("{}250 x\r\n", "250-x\r\n".repeat(127)).as_bytes()).unwrap().is_some());
        assert!(read(format!("{}250 x\r\n", "250-x\r\n".repeat(128)).as_bytes()).is_err());
    }

    #[test]
    fn a_secret_is_hidden_in_a_line_and_over_several() {
        let concealed = |text: &str| {
            let mut reply = read(text.as_bytes()).unwrap().unwrap();
            reply.conceal(&Secrets::of("sesame"));
            (reply.said("mx", None).enhanced, reply.said("mx", None).text)
        };
        let code = Some("5.7.8".to_owned());
        assert_eq!(concealed("535-5.7.8 no\r\n535 5.7.8 sesame!\r\n"), (code.clone(), "no [hidden]!".to_owned()));
        assert_eq!(
            concealed("535-5.7.8 no ses\r\n535-5.7.8 a\r\n535 me\r\n"),
            (code, "[hidden] [hidden] [hidden]".to_owned())
        );
    }

    #[test]
    fn rule_u2_text_has_no_control_characters_and_is_cut_between_characters() {
        let said = read("550 5.1.1 a\rb\x00\x1b[31m\u{85}c\r\n".as_bytes()).unwrap().unwrap().said("mx", None);
        assert_eq!(said.text, "a b  [31m c");
        assert_eq!(said.enhanced.as_deref(), Some("5.1.1"));
        let said = read(format!("550 x{}\r\n", "ü".repeat(1000)).as_bytes()).unwrap().unwrap().said("mx", None);
        assert_eq!(said.text.len(), 511);
        assert_eq!(read(b"250 \xff\xfe\r\n").unwrap().unwrap().lines, ["\u{fffd}\u{fffd}"]);
    }

    #[test]
    fn an_enhanced_code_of_another_class_is_text() {
        let said = read(b"250-2.0.0 Ok:\r\n250 2.0.0 queued as 4F\r\n").unwrap().unwrap().said("mx", None);
        assert_eq!((said.enhanced.as_deref(), said.text.as_str()), (Some("2.0.0"), "Ok: queued as 4F"));
        let said = read(b"450 5.1.1 odd\r\n").unwrap().unwrap().said("mx", None);
        assert_eq!((said.enhanced, said.text.as_str()), (None, "5.1.1 odd"));
    }
}
