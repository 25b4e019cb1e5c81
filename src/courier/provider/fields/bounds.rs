//! What a message may have of parts before it is read: the reader goes as deep as it is told to, and looks for the end of each part
//! to the end of the message. Whoever may send mail could end the courier otherwise, or keep it from everybody else's.

use memchr::{memchr_iter, memmem};

/// Parts that hold parts: a message within a digest within a message has a few. The reader's stack bears some thousands.
const MAX_CONTAINERS: usize = 100;
/// Lines that may begin a part. A message of many attachments has some dozens, and a patch some hundreds that look so.
const MAX_BOUNDARIES: usize = 2000;

/// Errors: what it has too many of. Words of the text that look so count, too.
pub fn keep_to(content: &[u8]) -> Result<(), &'static str> {
    let boundaries = memmem::find_iter(content, b"\n--").count() + usize::from(content.starts_with(b"--"));
    if boundaries > MAX_BOUNDARIES {
        return Err("so many parts");
    }
    // The subtypes of the two types that are containers; each level needs one, whatever stands between type and subtype.
    let count = |word: &[u8]| {
        let first = word.first().copied().unwrap_or_default();
        let is_there =
            |at: &usize| content.get(*at..at + word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word));
        memchr_iter(first, content).filter(is_there).count()
            + memchr_iter(first.to_ascii_uppercase(), content).filter(is_there).count()
    };
    let containers = count(b"multipart") + count(b"rfc822") + globals(content);
    if containers > MAX_CONTAINERS { Err("parts so deep within parts") } else { Ok(()) }
}

/// `message/global`, whatever stands between the two: the second is a word of many texts.
fn globals(content: &[u8]) -> usize {
    const FAR: usize = 64;
    let is_word = |at: usize, word: &[u8]| {
        content.get(at..at.saturating_add(word.len())).is_some_and(|text| text.eq_ignore_ascii_case(word))
    };
    let slashes = memchr_iter(b'/', content);
    slashes
        .filter(|slash| {
            let before = content.get(slash.saturating_sub(FAR)..*slash).unwrap_or_default().trim_ascii_end();
            let after = content.get(slash + 1..).unwrap_or_default();
            let blanks = after.iter().take(FAR).take_while(|octet| octet.is_ascii_whitespace()).count();
            before.len() >= 7
                && before.get(before.len() - 7..).is_some_and(|text| text.eq_ignore_ascii_case(b"message"))
                && is_word(slash + 1 + blanks, b"global")
        })
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_the_reader_is_refused_before_it_reads() {
        let deep = |line: &str, count: usize| format!("{line}\r\n\r\n--o\r\n").repeat(count);
        for line in [
            "Content-Type: multipart/mixed; boundary=o",
            "content-type:\r\n MULTIPART / mixed; boundary=o",
            "Content-Type: Message/RFC822",
            "Content-Type: message /\tGlobal",
        ] {
            assert_eq!(keep_to(deep(line, 100).as_bytes()), Ok(()), "{line}");
            assert_eq!(keep_to(deep(line, 101).as_bytes()), Err("parts so deep within parts"), "{line}");
        }
        assert_eq!(keep_to("--o\r\n\r\n".repeat(2000).as_bytes()), Ok(()));
        assert_eq!(keep_to("--o\r\n\r\n".repeat(2001).as_bytes()), Err("so many parts"));
        let text = "a message to global readers, and a message / to all; messages -- many\r\n".repeat(5000);
        assert_eq!(keep_to(text.as_bytes()), Ok(()));
    }
}
