//! What an upstream offers in its answer to EHLO, as far as this client uses it.

use super::reply::Reply;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    pub starttls: bool,
    pub pipelining: bool,
    pub size: bool,
    pub eight_bit: bool,
    pub chunking: bool,
    pub dsn: bool,
    pub utf8: bool,
    pub require_tls: bool,
    pub mechanisms: Mechanisms,
    pub limits: Limits,
}

/// What it takes at most (RFC 9422 section 4); none: it does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Transactions in one session.
    pub mails: Option<u32>,
    /// Recipients of one transaction, and domains among them.
    pub recipients: Option<u32>,
    pub domains: Option<u32>,
}

impl Limits {
    pub const NONE: Self = Self { mails: None, recipients: None, domains: None };

    fn add(&mut self, word: &str) {
        let Some((name, most)) = word.split_once('=') else { return };
        // Section 3: up to six digits, the first of which is no zero.
        let digits = most.len() <= 6 && !most.starts_with('0') && most.bytes().all(|octet| octet.is_ascii_digit());
        let most = most.parse().ok().filter(|_| digits);
        match name.to_ascii_uppercase().as_str() {
            "MAILMAX" => self.mails = most,
            "RCPTMAX" => self.recipients = most,
            "RCPTDOMAINMAX" => self.domains = most,
            _ => {}
        }
    }
}

/// The mechanisms of SASL that are offered, of those that this client has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    pub scram_plus: bool,
    pub scram: bool,
    pub plain: bool,
    pub login: bool,
    pub xoauth2: bool,
    pub oauthbearer: bool,
}

impl Mechanisms {
    pub const NONE: Self =
        Self { scram_plus: false, scram: false, plain: false, login: false, xoauth2: false, oauthbearer: false };

    fn add(&mut self, name: &str) {
        match name.to_ascii_uppercase().as_str() {
            "SCRAM-SHA-256-PLUS" => self.scram_plus = true,
            "SCRAM-SHA-256" => self.scram = true,
            "PLAIN" => self.plain = true,
            "LOGIN" => self.login = true,
            "XOAUTH2" => self.xoauth2 = true,
            "OAUTHBEARER" => self.oauthbearer = true,
            _ => {}
        }
    }
}

impl Default for Mechanisms {
    fn default() -> Self {
        Self::NONE
    }
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
                "CHUNKING" => offers.chunking = true,
                "SMTPUTF8" => offers.utf8 = true,
                "REQUIRETLS" => offers.require_tls = true,
                "DSN" => offers.dsn = true,
                "LIMITS" => words.for_each(|word| offers.limits.add(word)),
                "AUTH" => words.for_each(|name| offers.mechanisms.add(name)),
                _ => {}
            }
        }
        offers
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::NONE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_whole_numbers_and_others_are_none() {
        let read = |line: &str| {
            let lines = vec!["mx".to_owned(), line.to_owned()];
            Offers::read(&Reply { code: 250, lines }).limits
        };
        let all = Limits { mails: Some(20), recipients: Some(100), domains: Some(999_999) };
        assert_eq!(read("LIMITS MAILMAX=20 rcptmax=100 RCPTDOMAINMAX=999999 OTHER=1"), all);
        for strange in ["LIMITS", "LIMITS RCPTMAX", "LIMITS RCPTMAX=0", "LIMITS RCPTMAX=-1", "LIMITS RCPTMAX=1000000"] {
            assert_eq!(read(strange), Limits::NONE, "{strange}");
        }
    }

    #[test]
    fn keywords_are_read_whatever_their_case_and_the_greeting_is_none() {
        let lines = [
            "PIPELINING mx",
            "starttls",
            "SIZE 1000",
            "auth SCRAM-SHA-1 scram-sha-256 plain",
            "X-AUTH LOGIN",
            "8bitmime",
        ];
        let reply = Reply { code: 250, lines: lines.map(str::to_owned).to_vec() };
        let mechanisms = Mechanisms { scram: true, plain: true, ..Mechanisms::NONE };
        let expected = Offers { starttls: true, size: true, mechanisms, eight_bit: true, ..Offers::default() };
        assert_eq!(Offers::read(&reply), expected);
    }
}
