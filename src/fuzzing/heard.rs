//! Replies as a client reads them: whatever isn't one breaks rule L13.

/// One reply; of several lines, the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

/// Octets of a line with its CRLF (RFC 5321 section 4.5.3.1.5).
const MOST: usize = 512;

pub fn replies(said: &[u8]) -> Vec<Reply> {
    let said = std::str::from_utf8(said).expect("replies are ASCII");
    let mut replies = Vec::new();
    let mut open: Option<u16> = None;
    for line in said.split_inclusive('\n') {
        let body = line.strip_suffix("\r\n").unwrap_or_else(|| panic!("a line without its CRLF: {line:?}"));
        assert!(line.len() <= MOST && body.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line:?}");
        let (code, rest) = body.split_at(3);
        let code: u16 = code.parse().unwrap();
        assert!((200..600).contains(&code) && open.is_none_or(|open| open == code), "{line:?}");
        let (mark, text) = rest.split_at(1);
        match mark {
            "-" => open = Some(code),
            " " => {
                open = None;
                replies.push(Reply { code, text: text.to_owned() });
            }
            _ => panic!("neither the last line nor another one: {line:?}"),
        }
    }
    assert_eq!(open, None, "a reply without its last line");
    replies
}
