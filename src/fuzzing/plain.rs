//! Command lines that nobody disputes: the narrowest forms of each, known by somebody who knows neither reader. Where a line is
//! of such a form, no difference between the two is excused.

/// MAIL or RCPT, taken apart at its first brackets, which may stand in quotes.
#[derive(Debug)]
pub struct Parts<'a> {
    /// Blanks before the path.
    pub blanks: usize,
    pub path: &'a str,
    /// What follows the path.
    pub parameters: &'a str,
    pub is_mail: bool,
}

pub fn parts(line: &[u8]) -> Option<Parts<'_>> {
    let text = std::str::from_utf8(line).ok()?.trim_end_matches(' ');
    let (is_mail, rest) = match (behind(text, "MAIL FROM:"), behind(text, "RCPT TO:")) {
        (Some(rest), _) => (true, rest),
        (None, rest) => (false, rest?),
    };
    let path = rest.trim_start_matches(' ');
    let blanks = rest.len() - path.len();
    let (path, parameters) = path.strip_prefix('<')?.split_once('>')?;
    Some(Parts { blanks, path, parameters, is_mail })
}

fn behind<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(begin.len())?;
    head.eq_ignore_ascii_case(begin).then_some(rest)
}

impl Parts<'_> {
    /// One blank at most before the path, and one before what follows it.
    pub fn is_shaped(&self) -> bool {
        self.blanks <= 1 && (self.parameters.is_empty() || self.parameters.starts_with(' '))
    }

    /// Dot-string, letters and digits and hyphens, in ASCII; of a sender, or nobody.
    pub fn has_plain_path(&self) -> bool {
        is_address(self.path) || self.is_mail && self.path.is_empty()
    }

    /// Each is known to both, stands once, and has a value that it can have.
    pub fn has_plain_parameters(&self) -> bool {
        if self.parameters.is_empty() {
            return true;
        }
        let Some(all) = self.parameters.strip_prefix(' ') else { return false };
        let mut seen = Vec::new();
        all.split(' ').all(|one| {
            let (keyword, value) = one.split_once('=').map_or((one, None), |(keyword, value)| (keyword, Some(value)));
            let keyword = keyword.to_ascii_uppercase();
            // One of the two that hold it.
            let family = if keyword.starts_with("HOLD") { "HOLD".to_owned() } else { keyword.clone() };
            let is_first = !seen.contains(&family);
            seen.push(family);
            is_first && is_parameter(self.is_mail, &keyword, value)
        })
    }
}

fn is_address(path: &str) -> bool {
    let Some((local, domain)) = path.split_once('@') else { return false };
    let atom = |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&octet);
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_local = local.len() <= 64 && local.split('.').all(|part| !part.is_empty() && part.bytes().all(atom));
    is_local && path.len() <= 254 && domain.contains('.') && domain.split('.').all(is_label)
}

fn is_parameter(is_mail: bool, keyword: &str, value: Option<&str>) -> bool {
    let one_of = |value: &str, words: &[&str]| words.iter().any(|word| word.eq_ignore_ascii_case(value));
    let is_word = |value: &str, more: &[u8]| {
        (1..=100).contains(&value.len())
            && value.bytes().all(|octet| octet.is_ascii_alphanumeric() || more.contains(&octet))
    };
    match (is_mail, keyword, value) {
        (true, "SMTPUTF8" | "REQUIRETLS", None) => true,
        (true, "SIZE", Some(value)) => value.len() <= 18 && is_digits(value),
        (true, "BODY", Some(value)) => one_of(value, &["7BIT", "8BITMIME"]),
        (true, "RET", Some(value)) => one_of(value, &["FULL", "HDRS"]),
        (true, "ENVID", Some(value)) => is_word(value, b"-._@"),
        (true, "AUTH", Some(value)) => value == "<>" || is_word(value, b"-._@"),
        (true, "HOLDFOR", Some(value)) => {
            value.len() <= 9 && is_digits(value) && value.bytes().any(|digit| digit != b'0')
        }
        (false, "NOTIFY", Some(value)) => {
            one_of(value, &["NEVER"]) || value.split(',').all(|word| one_of(word, &["SUCCESS", "FAILURE", "DELAY"]))
        }
        (false, "ORCPT", Some(value)) => behind(value, "rfc822;").is_some_and(|address| is_word(address, b"-._@")),
        _ => false,
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|octet| octet.is_ascii_digit())
}

/// `BDAT`, a number that fits and is not the largest, and `LAST` or nothing; one blank between words.
pub fn is_chunk(line: &[u8]) -> bool {
    let Some(words) = words(line) else { return false };
    let number = |text: &str| text.len() <= 20 && is_digits(text) && text.parse::<u64>().is_ok_and(|n| n < u64::MAX);
    match words[..] {
        [verb, digits] => verb.eq_ignore_ascii_case("BDAT") && number(digits),
        [verb, digits, last] => {
            verb.eq_ignore_ascii_case("BDAT") && number(digits) && last.eq_ignore_ascii_case("LAST")
        }
        _ => false,
    }
}

/// A verb and the name of a host: letters, digits and hyphens, with single dots between them.
pub fn is_hello(line: &[u8]) -> bool {
    let label =
        |label: &str| !label.is_empty() && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
    words(line).is_some_and(|words| words.len() == 2 && words[1].len() <= 255 && words[1].split('.').all(label))
}

/// How many words a line has, when one blank stands between them and none before them.
pub fn word_count(line: &[u8]) -> Option<usize> {
    words(line).filter(|words| words.iter().all(|word| !word.is_empty())).map(|words| words.len())
}

fn words(line: &[u8]) -> Option<Vec<&str>> {
    Some(std::str::from_utf8(line).ok()?.trim_end_matches(' ').split(' ').collect())
}
