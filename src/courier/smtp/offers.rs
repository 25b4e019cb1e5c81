//! What an upstream offers in its answer to EHLO, as far as this client uses it.

use super::reply::Reply;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub starttls: bool,
    pub pipelining: bool,
    pub size: bool,
    pub eight_bit: bool,
    pub dsn: bool,
    pub utf8: bool,
    pub require_tls: bool,
    pub plain: bool,
    pub login: bool,
}

impl Offers {
    /// Reads the keywords (RFC 5321 section 4.1.1.1); the first line is the greeting. Unknown ones are passed over.
    pub fn read(reply: &Reply) -> Self {
        let mut offers = Self::default();
        for line in reply.lines.iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
                "STARTTLS" => offers.starttls = true,
                "PIPELINING" => offers.pipelining = true,
                "SIZE" => offers.size = true,
                "8BITMIME" => offers.eight_bit = true,
                "SMTPUTF8" => offers.utf8 = true,
                "REQUIRETLS" => offers.require_tls = true,
                "DSN" => offers.dsn = true,
                "AUTH" => {
                    for mechanism in words {
                        offers.plain |= mechanism.eq_ignore_ascii_case("PLAIN");
                        offers.login |= mechanism.eq_ignore_ascii_case("LOGIN");
                    }
                }
                _ => {}
            }
        }
        offers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_read_whatever_their_case_and_the_greeting_is_none() {
        let lines = ["PIPELINING mx", "starttls", "SIZE 1000", "auth CRAM-MD5 plain", "X-AUTH LOGIN", "8bitmime"];
        let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
        let expected = Offers { starttls: true, size: true, plain: true, eight_bit: true, ..Offers::default() };
        assert_eq!(Offers::read(&reply), expected);
    }
}
