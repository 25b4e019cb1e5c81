//! Everything that is ever said to an SMTP client. Nothing that a client sent is ever said back to it, but its own nonce of SCRAM,
//! inside base64.

use std::borrow::Cow;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::command::Fault;
use crate::ipc::session::Denial;
use crate::mail::flaw::Flaw;
use crate::mail::id::MessageId;
use crate::mail::spoken::Spoken;
use crate::policy::refusal::Refusal;

/// Characters of an upstream's words: a line has 512 octets (RFC 5321 section 4.5.3.1.5).
const MAX_SPOKEN: usize = 480;

/// One reply line: code, enhanced status code (RFC 3463; empty for greetings, HELO, EHLO and 3yz, RFC 2034 section 4),
/// and text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    status: Cow<'static, str>,
    text: Cow<'static, str>,
}

const fn says(code: u16, status: &'static str, text: &'static str) -> Reply {
    Reply { code, status: Cow::Borrowed(status), text: Cow::Borrowed(text) }
}

pub const CLOSING: Reply = says(221, "2.0.0", "goodbye");
pub const READY_FOR_TLS: Reply = says(220, "2.0.0", "go ahead");
pub const LOGGED_IN: Reply = says(235, "2.7.0", "welcome");
pub const SENDER_OK: Reply = says(250, "2.1.0", "sender ok");
pub const RECIPIENT_OK: Reply = says(250, "2.1.5", "recipient ok");
pub const CHUNK_OK: Reply = says(250, "2.0.0", "chunk taken");
pub const RESET: Reply = says(250, "2.0.0", "forgotten");
pub const OK: Reply = says(250, "2.0.0", "ok");
pub const NOT_VERIFIED: Reply = says(252, "2.1.5", "send it and see");
pub const HELP: Reply = says(214, "2.0.0", "EHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT");
pub const HELP_OF_LMTP: Reply = says(214, "2.0.0", "LHLO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP QUIT");
pub const GO_AHEAD: Reply = says(354, "", "end with a line that is a single dot");
pub const ASK_USER: Reply = says(334, "", "VXNlcm5hbWU6");
pub const ASK_PASSWORD: Reply = says(334, "", "UGFzc3dvcmQ6");
pub const ASK_RESPONSE: Reply = says(334, "", "");
/// `{"status":"invalid_token"}`
pub const OAUTHBEARER_ERROR: Reply = says(334, "", "eyJzdGF0dXMiOiJpbnZhbGlkX3Rva2VuIn0=");
/// `{"status":"401","schemes":"bearer"}`
pub const XOAUTH2_ERROR: Reply = says(334, "", "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0=");

pub const SHUTTING_DOWN: Reply = says(421, "4.3.2", "this service is restarting, connect again");
pub const CONNECT_AGAIN: Reply = says(421, "4.3.2", "what this address may send was changed, connect again");
pub const VAULT_AWAY: Reply = says(421, "4.3.2", "this service is not available now, try again later");
pub const BROKEN: Reply = says(421, "4.3.0", "an error of ours, this session is over");
pub const CROWDED: Reply = says(421, "4.3.2", "too many sessions from there, try again later");
pub const MAKES_ROOM: Reply = says(421, "4.3.2", "too many clients without a login, try again later");
pub const TOO_SLOW: Reply = says(421, "4.4.2", "nothing came for too long");
pub const STAYS_A_STRANGER: Reply = says(421, "4.4.2", "no login came for too long");
pub const CONTENT_TOO_SLOW: Reply = says(421, "4.4.2", "the content comes too slowly");
pub const TOO_MANY_ERRORS: Reply = says(421, "4.7.0", "too many errors");
pub const TOO_MANY_COMMANDS: Reply = says(421, "4.7.0", "too many commands without mail");
pub const TOO_MANY_GUESSES: Reply = says(421, "4.7.0", "too many failed logins");
pub const AFTER_BAD_CONTENT: Reply = says(421, "4.7.0", "closing after content that can't be trusted");

pub const LOST_AFTER_DOT: Reply = says(451, "4.3.0", "whether the message was kept is not known, send it again");
pub const LOST_AT_THE_END: Reply = says(451, "4.4.2", "whether it was delivered is not known");
pub const NO_TLS_NOW: Reply = says(454, "4.7.0", "TLS is not available now");
pub const CHECKS_BUSY: Reply = says(454, "4.7.0", "too many logins at once, try again later");
pub const PROVIDER_AWAY: Reply =
    says(454, "4.7.0", "the provider that knows this login can't be asked now, try again later");

pub const LINE_TOO_LONG: Reply = says(500, "5.5.2", "line too long");
pub const RESPONSE_TOO_LONG: Reply = says(500, "5.5.6", "authentication exchange line is too long");
pub const NOT_OFFERED: Reply = says(502, "5.5.1", "not offered here");
pub const BAD_BASE64: Reply = says(501, "5.5.2", "not base64, or not a response of this mechanism");
pub const CANCELLED: Reply = says(501, "5.7.0", "cancelled");
pub const HELLO_FIRST: Reply = says(503, "5.5.1", "introduce yourself first");
pub const EHLO_FIRST: Reply = says(503, "5.5.1", "AUTH needs EHLO, say it first");
pub const ONLY_LMTP: Reply = says(500, "5.5.1", "this is LMTP, say LHLO");
pub const NESTED: Reply = says(503, "5.5.1", "a transaction is open already");
pub const NO_TRANSACTION: Reply = says(503, "5.5.1", "say MAIL first");
pub const BETWEEN_CHUNKS: Reply = says(503, "5.5.1", "the content has begun, it goes on with BDAT");
pub const NO_RECIPIENT: Reply = says(554, "5.5.1", "no valid recipient");
pub const NO_LMTP_RECIPIENT: Reply = says(503, "5.5.1", "no valid recipient");
pub const NO_LONGER: Reply = says(503, "5.5.1", "whose session it is was settled already");
pub const NO_LOGIN_BY_XCLIENT: Reply = says(550, "5.7.0", "XCLIENT never gives a login, use AUTH");
pub const TLS_IS_ON: Reply = says(503, "5.5.1", "TLS is on already");
pub const LOGIN_IS_DONE: Reply = says(503, "5.5.1", "logged in already");
pub const NOT_NOW: Reply = says(503, "5.5.1", "not in a transaction");
pub const UNKNOWN_MECHANISM: Reply = says(504, "5.5.4", "mechanism not offered");
pub const TLS_FIRST: Reply = says(530, "5.7.0", "must issue a STARTTLS command first");
pub const REQUIRETLS_NEEDS_TLS: Reply = says(530, "5.7.10", "REQUIRETLS begins with TLS here");
pub const LOGIN_FIRST: Reply = says(530, "5.7.0", "authentication required");
pub const BAD_CREDENTIALS: Reply = says(535, "5.7.8", "authentication credentials invalid");
pub const SENDER_NOT_QUALIFIED: Reply = says(550, "5.1.8", "the sender's domain is not fully qualified");
pub const RECIPIENT_NOT_QUALIFIED: Reply = says(550, "5.1.2", "the recipient's domain is not fully qualified");
pub const SPEAKS_TOO_EARLY: Reply = says(554, "5.5.0", "it was not your turn to speak");
pub const EARLY_TALKER: Reply = says(554, "", "it was not your turn to speak");
pub const TOO_BIG: Reply = says(552, "5.3.4", "the message is too big");

impl Reply {
    /// RFC 5321 section 4.2: code, blank, text. Our own texts are printable ASCII; `rule_l13` holds them to it.
    pub fn write(&self, out: &mut Vec<u8>) {
        self.write_part(out, ' ');
    }

    fn write_part(&self, out: &mut Vec<u8>, mark: char) {
        let gap = if self.status.is_empty() { "" } else { " " };
        out.extend_from_slice(format!("{}{mark}{}{gap}{}\r\n", self.code, self.status, self.text).as_bytes());
    }

    /// 220: begins with our name, and doesn't say what we are.
    pub fn greeting(hostname: &str, lmtp: bool) -> Self {
        let protocol = if lmtp { "LMTP" } else { "ESMTP" };
        Self { code: 220, status: Cow::Borrowed(""), text: Cow::Owned(format!("{hostname} {protocol}")) }
    }

    /// What a mechanism asks.
    pub fn challenge(message: &[u8]) -> Self {
        Self { code: 334, status: Cow::Borrowed(""), text: Cow::Owned(STANDARD.encode(message)) }
    }

    pub fn hello(hostname: &str) -> Self {
        Self { code: 250, status: Cow::Borrowed(""), text: Cow::Owned(hostname.to_owned()) }
    }

    /// The answer to EHLO.
    pub fn write_extensions(hostname: &str, extensions: &[String], out: &mut Vec<u8>) {
        let mut lines = std::iter::once(hostname.to_owned()).chain(extensions.iter().cloned()).peekable();
        while let Some(line) = lines.next() {
            let mark = if lines.peek().is_some() { '-' } else { ' ' };
            Self { code: 250, status: Cow::Borrowed(""), text: Cow::Owned(line) }.write_part(out, mark);
        }
    }

    pub fn kept(message: MessageId) -> Self {
        Self { code: 250, status: Cow::Borrowed("2.0.0"), text: Cow::Owned(format!("kept as {message}")) }
    }

    /// What an upstream said, on one line of ours: what is no plain ASCII is not said on (rule L13), nor a code that no reply has.
    pub fn spoken(spoken: &Spoken) -> Self {
        let code = if (200..600).contains(&spoken.code) { spoken.code } else { 451 };
        let [_, subject, detail] = spoken.status;
        let plain = |c: char| if c == ' ' || c.is_ascii_graphic() { c } else { '?' };
        let text = spoken.text.chars().take(MAX_SPOKEN).map(plain).collect();
        Self { code, status: Cow::Owned(format!("{}.{subject}.{detail}", code / 100)), text: Cow::Owned(text) }
    }

    /// To be tried again later.
    pub fn is_put_off(&self) -> bool {
        (400..500).contains(&self.code)
    }

    pub fn is_error(&self) -> bool {
        self.code >= 500
    }

    fn wait(code: u16, status: &'static str, what: &str, seconds: u32) -> Self {
        Self {
            code,
            status: Cow::Borrowed(status),
            text: Cow::Owned(format!("{what}, try again in {seconds} seconds")),
        }
    }
}

/// On one line, for the log.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gap = if self.status.is_empty() { "" } else { " " };
        write!(f, "{} {}{gap}{}", self.code, self.status, self.text)
    }
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Octets => says(500, "5.5.2", "an octet that no command may have"),
            Fault::UnknownVerb => says(500, "5.5.2", "unknown command"),
            Fault::NotOffered => NOT_OFFERED,
            Fault::Chunk => says(501, "5.5.4", "it is not said how many octets follow"),
            Fault::Hello => says(501, "", "that is not the name of a host"),
            Fault::Argument => says(501, "5.5.4", "wrong arguments"),
            Fault::Sender => says(501, "5.1.7", "that is not a sender's address"),
            Fault::Recipient => says(501, "5.1.3", "that is not a recipient's address"),
            Fault::SenderLiteral => says(550, "5.1.8", "a sender at an address literal is not taken"),
            Fault::RecipientLiteral => says(550, "5.1.2", "a recipient at an address literal is not taken"),
            Fault::SenderUtf8 => says(550, "5.6.7", "a sender in UTF-8 needs SMTPUTF8"),
            Fault::RecipientUtf8 => says(553, "5.6.7", "a recipient in UTF-8 needs SMTPUTF8"),
            Fault::UnknownParameter => says(555, "5.5.4", "parameter not offered"),
            Fault::Parameter(name) => {
                let text = format!("{name} has no such value, or was said twice");
                Self { code: 501, status: Cow::Borrowed("5.5.4"), text: Cow::Owned(text) }
            }
        }
    }
}

impl From<Denial> for Reply {
    /// One text whatever was wrong: 535 tells nothing of which names exist.
    fn from(denial: Denial) -> Self {
        match denial {
            Denial::Invalid => BAD_CREDENTIALS,
            Denial::Busy => CHECKS_BUSY,
            Denial::Away => PROVIDER_AWAY,
            Denial::Wait(seconds) => Self::wait(454, "4.7.0", "too many failed logins", seconds),
        }
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::SenderNotAllowed => says(550, "5.7.1", "this sender is not allowed for this login"),
            Refusal::AuthorNotAllowed => says(550, "5.7.1", "an author in the header is not allowed for this login"),
            Refusal::RecipientNotAllowed => says(550, "5.7.1", "this recipient is not allowed for this login"),
            Refusal::NoRoute => says(550, "5.7.1", "there is no route for this recipient"),
            Refusal::Suppressed => says(550, "5.7.1", "suppressed: nothing is sent to these addresses from here"),
            Refusal::TestAddress => says(
                550,
                "5.7.1",
                "an address for tests: only logins for tests send there, and only to those there are",
            ),
            Refusal::TestRejected => says(550, "5.7.1", "a test: this address asks to be refused"),
            Refusal::TurnstileMissing
            | Refusal::TurnstileRefused
            | Refusal::TurnstileHostname
            | Refusal::TurnstileAction
            | Refusal::FormOrigin => says(550, "5.7.1", "this login sends by web pages alone"),
            Refusal::TurnstileUnavailable => says(451, "4.7.0", "whether a person wrote it can't be found out now"),
            Refusal::TooManyRecipients => says(452, "4.5.3", "too many recipients"),
            Refusal::TooBig => TOO_BIG,
            Refusal::Header => says(550, "5.6.0", "the header can't be trusted to mean one thing"),
            Refusal::Framing => says(550, "5.5.2", "a bare CR, bare LF or NUL in the message"),
            Refusal::Loop => says(554, "5.4.6", "the message goes in circles"),
            Refusal::RateLimited(seconds) => Self::wait(451, "4.7.1", "over the rate", seconds),
            Refusal::QuotaExceeded(seconds) => Self::wait(452, "4.7.1", "over the quota", seconds),
            Refusal::BackedUp(seconds) => Self::wait(452, "4.3.1", "too much waits to go there", seconds),
            Refusal::Overloaded(seconds) => Self::wait(452, "4.3.1", "too much mail waits here", seconds),
            Refusal::StoreFull => says(452, "4.3.1", "no room to keep it"),
            Refusal::CopyNoRoute => says(451, "4.3.5", "a copy that the gate is to keep has no way to leave"),
            Refusal::StoreUnavailable => says(451, "4.3.1", "it can't be kept now"),
            Refusal::Revoked => says(550, "5.7.1", "the login was revoked"),
            Refusal::Suspended(seconds) => Self::wait(451, "4.7.1", "sending is suspended for this login", seconds),
            Refusal::Changed => says(451, "4.7.0", "the login was changed, log in again"),
            Refusal::Utf8 => says(550, "5.6.7", "octets above 127 need SMTPUTF8"),
            Refusal::RequireTls => says(550, "5.7.30", "no way to there has REQUIRETLS"),
            Refusal::UnderWay => says(451, "4.3.0", "the same is under way"),
            Refusal::KeyReused => says(554, "5.5.0", "its key was used for something else"),
            Refusal::HeldTooLong => says(501, "5.5.4", "it can't be held for so long"),
            Refusal::UnknownNetwork => says(550, "5.7.1", "this address may not send here"),
            Refusal::Scope | Refusal::OnlySmtp => says(550, "5.7.1", "this login is not for this"),
        }
    }
}

impl From<Flaw> for Reply {
    fn from(flaw: Flaw) -> Self {
        let (code, status) = match flaw {
            Flaw::Loop | Flaw::BareOctet => return flaw.refusal().into(),
            Flaw::LineTooLong => (554, "5.6.0"),
            Flaw::EightBit | Flaw::NotUtf8 => (550, "5.6.7"),
            _ => (550, "5.6.0"),
        };
        Self { code, status: Cow::Borrowed(status), text: Cow::Owned(flaw.said()) }
    }
}

#[cfg(test)]
#[path = "reply/codes.rs"]
mod codes;

#[cfg(test)]
mod tests {
    use super::super::command::parameters;
    use super::*;
    use crate::ipc::handover::NO_ROOM;
    use crate::policy::derived::Salt;
    use crate::sasl::scram;

    fn text(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    /// Each of them, with the most seconds that there are.
    pub fn every<T: serde::de::DeserializeOwned>() -> Vec<T> {
        let decode = |n: u8| Some(postcard::take_from_bytes(&[n, 0xff, 0xff, 0xff, 0xff, 0x0f]).ok()?.0);
        (0..u8::MAX).map_while(decode).collect()
    }

    fn refusals() -> Vec<Refusal> {
        let refusals = every();
        assert!(refusals.len() > 20, "{refusals:?}");
        refusals
    }

    /// What of this file a client is told as it stands here: code, status and text of each.
    pub fn written_down() -> Vec<(u16, &'static str, &'static str)> {
        let source = include_str!("reply.rs").split("#[cfg(test)]").next().unwrap();
        let told = source.split("says(").filter_map(|rest| {
            let (code, rest) = rest.split_once(", \"")?;
            let (status, rest) = rest.split_once("\", \"")?;
            let (text, _) = rest.split_once("\")")?;
            Some((code.parse().ok()?, status, text))
        });
        told.collect()
    }

    fn is_a_line(line: &str) {
        let body = line.strip_suffix("\r\n").unwrap();
        assert!(line.len() <= 512 && body.bytes().all(|octet| (b' '..=b'~').contains(&octet)), "{line:?}");
    }

    #[test]
    fn rule_l13_replies_are_short_printable_lines() {
        let fixed = written_down();
        assert!(fixed.len() > 80, "every one is found: {}", fixed.len());
        let mut all: Vec<Reply> = fixed.into_iter().map(|(code, status, text)| says(code, status, text)).collect();
        all.extend(refusals().into_iter().map(Reply::from));
        all.extend(every::<Denial>().into_iter().map(Reply::from));
        all.extend(Flaw::every().into_iter().map(Reply::from));
        let named = parameters::OF_MAIL.iter().chain(&parameters::OF_RCPT).chain([&parameters::NONE]);
        all.extend(named.map(|name| Fault::Parameter(name).into()));
        let nonce = scram::challenge(&"n".repeat(scram::MOST_NONCE), &"n".repeat(24), &Salt::default(), u32::MAX);
        all.extend([
            Reply::greeting(&"h".repeat(255), false),
            Reply::greeting(&"h".repeat(255), true),
            Reply::hello(&"h".repeat(255)),
            Reply::kept(MessageId::now()),
            Reply::challenge(nonce.as_bytes()),
            Reply::challenge(scram::verdict(&[7; 32]).as_bytes()),
            Reply::spoken(&Spoken::new(550, [5, 999, 999], "\u{2603}\r\n\0\u{7f}\u{9b}x".repeat(1000))),
            Reply::spoken(&Spoken::new(9, [7, 1, 1], "")),
        ]);
        all.iter().for_each(|reply| is_a_line(&text(reply)));
        is_a_line(std::str::from_utf8(NO_ROOM).unwrap());
    }

    #[test]
    fn rule_c14_the_class_of_the_status_is_that_of_the_code() {
        let flaws = Flaw::every().into_iter().map(Reply::from);
        let made =
            refusals().into_iter().map(Reply::from).chain(flaws).map(|reply| (reply.code, reply.status.into_owned()));
        for (code, status) in made.chain(written_down().into_iter().map(|(code, status, _)| (code, status.to_owned())))
        {
            match status.as_str() {
                // Greetings and HELO have none, nor has what asks for more (RFC 2034 section 4).
                "" => assert!(matches!(code, 334 | 354 | 501 | 554), "{code}"),
                status => assert_eq!(code / 100, u16::from(status.as_bytes()[0] - b'0'), "{code} {status}"),
            }
        }
    }

    #[test]
    fn rule_p18_temporary_refusals_have_temporary_codes_and_say_how_long() {
        for refusal in refusals() {
            assert_eq!(Reply::from(refusal).code < 500, refusal.is_temporary(), "{refusal:?}");
        }
        assert_eq!(text(&Refusal::RateLimited(7).into()), "451 4.7.1 over the rate, try again in 7 seconds\r\n");
    }

    #[test]
    fn rule_h10_a_client_is_told_what_to_do_about_octets_above_127() {
        let said = text(&Flaw::EightBit.into());
        assert!(said.starts_with("550 5.6.7 ") && said.contains("RFC 2047") && said.contains("SMTPUTF8"), "{said}");
        let said = text(&Fault::Parameter("SIZE").into());
        assert_eq!(said, "501 5.5.4 SIZE has no such value, or was said twice\r\n");
    }

    #[test]
    fn rule_a4_the_blank_behind_334_is_there_even_when_nothing_follows() {
        assert_eq!(text(&ASK_RESPONSE), "334 \r\n");
    }

    #[test]
    fn an_answer_to_ehlo_ends_with_its_last_line() {
        let mut out = Vec::new();
        Reply::write_extensions("gate.example.net", &["PIPELINING".into(), "SIZE 10".into()], &mut out);
        assert_eq!(out, b"250-gate.example.net\r\n250-PIPELINING\r\n250 SIZE 10\r\n");
    }
}
