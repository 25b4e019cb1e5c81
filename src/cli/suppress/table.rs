//! A list of addresses as CSV (RFC 4180): an address, and the reason behind it.

use crate::mail::address::Address;
use crate::policy::suppression::Reason;

/// Lines with which something is wrong that are told; how many there are besides is counted.
const TOLD: usize = 10;

/// Reads all of it. A first line that says what stands below it, and empty lines, are none.
///
/// Errors: each line that is wrong, and why.
pub fn read(text: &str, otherwise: Reason) -> Result<Vec<(Address, Reason)>, String> {
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end_matches('\r');
        let is_heading = number == 1 && fields(line).first().is_some_and(|first| first == "address");
        if line.trim().is_empty() || is_heading {
            continue;
        }
        match entry(line, otherwise) {
            Ok(entry) => found.push(entry),
            Err(why) => wrong.push(format!("line {number}: {why}")),
        }
    }
    if wrong.is_empty() {
        return Ok(found);
    }
    let more = wrong.len().saturating_sub(TOLD);
    wrong.truncate(TOLD);
    let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
    Err(format!("{}{more}", wrong.join("\n")))
}

fn entry(line: &str, otherwise: Reason) -> Result<(Address, Reason), String> {
    let fields = fields(line);
    let mut fields = fields.iter().map(|field| field.trim());
    let address = fields.next().unwrap_or_default();
    let address = Address::parse_international(address).map_err(|why| format!("{address:?} is no address: {why}"))?;
    let reason = match fields.next().filter(|reason| !reason.is_empty()) {
        Some(reason) => reason.parse()?,
        None => otherwise,
    };
    // What other columns say is not asked.
    Ok((address, reason))
}

/// The fields of a line. Within quotes a comma is none, and a quote stands twice.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut quoted, mut begun) = (vec![String::new()], false, false);
    let mut rest = line.chars().peekable();
    while let Some(next) = rest.next() {
        let Some(field) = fields.last_mut() else { break };
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => {
                rest.next();
                field.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if !begun && field.is_empty() => (quoted, begun) = (true, true),
            ',' if !quoted => {
                fields.push(String::new());
                begun = false;
            }
            other => field.push(other),
        }
    }
    fields
}

/// One line of it.
pub fn line(address: &str, reason: Reason) -> String {
    let needs_quotes = address.contains([',', '"']);
    let address = if needs_quotes { format!("\"{}\"", address.replace('"', "\"\"")) } else { address.to_owned() };
    format!("{address},{}", reason.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_a_line_that_is_wrong_is_told() {
        let address = |text: &str| Address::parse_international(text).unwrap();
        let all = [
            (address("ann@example.org"), Reason::Bounce),
            (address("\"a,\\\"b\"@example.org"), Reason::Manual),
            (address("bü@example.org"), Reason::Complaint),
        ];
        let text: String = all.iter().map(|(one, why)| line(&one.to_string(), *why) + "\r\n").collect();
        assert_eq!(read(&format!("\u{feff}address,reason\r\n\r\n{text}"), Reason::Manual).unwrap(), all);
        let plain = read("ann@example.org\nAnn@Example.org,,x,y\n", Reason::Complaint).unwrap();
        assert_eq!(
            plain,
            [(address("ann@example.org"), Reason::Complaint), (address("Ann@example.org"), Reason::Complaint)]
        );
        let wrong = read("ann@example.org\nnobody\nbob@example.org,because\n", Reason::Manual).unwrap_err();
        assert!(wrong.contains("line 2: \"nobody\"") && wrong.contains("line 3: \"because\""), "{wrong}");
        let many = read(&"nobody\n".repeat(TOLD + 5), Reason::Manual).unwrap_err();
        assert!(many.ends_with("and 5 more") && many.lines().count() == TOLD + 1, "{many}");
    }
}
