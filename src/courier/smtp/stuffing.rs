//! Content on its way out: canonical lines, dots stuffed, and the one end that DATA knows (rules D3 and U7).

use memchr::memchr2;

/// The content has something that must not be sent, whatever was sent of it before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A CR without its LF or the reverse: another server could see a line end in it, and then a dot (SMTP smuggling).
    StrayLineEnd,
    /// An octet above 127, and the upstream does not offer 8BITMIME (RFC 6152 section 3).
    EightBit,
}

/// Where the content stands; it begins as if after a CRLF.
#[derive(Clone, Copy, Debug)]
pub struct Stuffing {
    eight_bit: bool,
    dots: bool,
    line_start: bool,
    /// The last octet was a CR whose LF must come next.
    after_cr: bool,
}

impl Stuffing {
    pub const fn new(eight_bit: bool) -> Self {
        Self { eight_bit, dots: true, line_start: true, after_cr: false }
    }

    /// The same lines for chunks, whose length says where they end: no dots.
    pub const fn none(eight_bit: bool) -> Self {
        Self { dots: false, ..Self::new(eight_bit) }
    }

    /// Appends the content to `out`, with a dot before each line that begins with one (RFC 5321 section 4.5.2).
    pub fn push(&mut self, mut content: &[u8], out: &mut Vec<u8>) -> Result<(), Unfit> {
        if !self.eight_bit && !content.is_ascii() {
            return Err(Unfit::EightBit);
        }
        while let Some(&first) = content.first() {
            if self.after_cr {
                if first != b'\n' {
                    return Err(Unfit::StrayLineEnd);
                }
                out.push(b'\n');
                (self.after_cr, self.line_start) = (false, true);
                content = content.get(1..).unwrap_or_default();
                continue;
            }
            if self.dots && self.line_start && first == b'.' {
                out.push(b'.');
            }
            self.line_start = false;
            let end = memchr2(b'\r', b'\n', content).unwrap_or(content.len());
            let (line, rest) = content.split_at(end);
            out.extend_from_slice(line);
            content = match rest.split_first() {
                None => rest,
                Some((b'\r', rest)) => {
                    out.push(b'\r');
                    self.after_cr = true;
                    rest
                }
                Some(_) => return Err(Unfit::StrayLineEnd),
            };
        }
        Ok(())
    }

    /// Appends the end of the message. A last line without its CRLF gets one.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        self.end(out)?;
        out.extend_from_slice(b".\r\n");
        Ok(())
    }

    /// Appends the end of the last line, if that is missing.
    pub fn end(self, out: &mut Vec<u8>) -> Result<(), Unfit> {
        if self.after_cr {
            return Err(Unfit::StrayLineEnd);
        }
        if !self.line_start {
            out.extend_from_slice(b"\r\n");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stuff(parts: &[&[u8]]) -> Result<Vec<u8>, Unfit> {
        let (mut stuffing, mut out) = (Stuffing::new(true), Vec::new());
        for part in parts {
            stuffing.push(part, &mut out)?;
        }
        stuffing.finish(&mut out)?;
        Ok(out)
    }

    #[test]
    fn rule_d3_vector_v27_every_line_that_begins_with_a_dot_gets_another_the_first_too() {
        assert_eq!(stuff(&[b".a\r\n.\r\n..b\r\nc.\r\n"]).unwrap(), b"..a\r\n..\r\n...b\r\nc.\r\n.\r\n");
        assert_eq!(stuff(&[]).unwrap(), b".\r\n");
    }

    #[test]
    fn rule_u7_a_bare_cr_or_lf_is_unfit_wherever_it_stands() {
        let bad: [&[u8]; 8] =
            [b"a\nb\r\n", b"a\rb\r\n", b"\n", b"a\r", b"a\r\r\n", b"a\r\n\r", b"a\n.\nb\r\n", b"a\r\n.\rb\r\n"];
        for text in bad {
            assert_eq!(stuff(&[text]), Err(Unfit::StrayLineEnd), "{text:?}");
            let octets: Vec<&[u8]> = text.chunks(1).collect();
            assert_eq!(stuff(&octets), Err(Unfit::StrayLineEnd), "{text:?}");
        }
    }

    #[test]
    fn rule_u7_a_last_line_without_its_end_gets_one() {
        assert_eq!(stuff(&[b"a\r\nb"]).unwrap(), b"a\r\nb\r\n.\r\n");
    }

    #[test]
    fn eight_bit_content_is_unfit_for_an_upstream_without_8bitmime() {
        let mut out = Vec::new();
        assert_eq!(Stuffing::new(false).push("ü\r\n".as_bytes(), &mut out), Err(Unfit::EightBit));
        assert_eq!(Stuffing::new(false).push(b"u\r\n", &mut out), Ok(()));
    }

    #[test]
    fn rule_u7_chunks_have_the_same_lines_and_no_dots() {
        let sent = |text: &[u8]| {
            let (mut lines, mut out) = (Stuffing::none(true), Vec::new());
            lines.push(text, &mut out).and_then(|()| lines.end(&mut out)).map(|()| out)
        };
        assert_eq!(sent(b".a\r\n.\r\n..b").unwrap(), b".a\r\n.\r\n..b\r\n");
        assert_eq!(sent(b"").unwrap(), b"");
        for text in [b"a\nb\r\n".as_slice(), b"a\rb\r\n", b"a\r"] {
            assert_eq!(sent(text), Err(Unfit::StrayLineEnd), "{text:?}");
        }
    }

    proptest! {
        /// What a server un-stuffs is what was given, and the only CRLF.CRLF is the end.
        #[test]
        fn rule_d3_stuffing_is_undone_by_unstuffing(
            lines in proptest::collection::vec("[.a]{0,4}", 0..12),
            step in 1..9usize,
        ) {
            let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
            let parts: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
            let sent = stuff(&parts).unwrap();
            let sent = String::from_utf8(sent).unwrap();
            let body = sent.strip_suffix(".\r\n").unwrap();
            let framed = ["\r\n", body].concat();
            prop_assert!(!framed.contains("\r\n.\r\n"));
            let undone: String = body.split_inclusive("\r\n").map(|line| line.strip_prefix('.').unwrap_or(line)).collect();
            prop_assert_eq!(undone, text);
        }
    }
}
