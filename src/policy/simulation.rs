//! What becomes of mail that is sent for a test: it never leaves, and the addresses it names say how it ends.

use crate::mail::address::Address;

/// The lane of such mail, and the name that its attempts have in the log. No upstream can be called that.
pub const LANE: &str = "(test)";
/// Put off so often before it is taken.
pub const DEFERRALS: u32 = 2;

/// The gate's own addresses for tests: a domain that nobody can have (RFC 2606 section 2).
const OWN: &str = "sandbox.test";
/// Those of providers whose libraries are used with the gate, so that the tests of their users pass.
const RESEND: &str = "resend.dev";
const POSTMARK: &str = "blackhole.postmarkapp.com";

/// How mail to an address for tests ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Delivered,
    /// Delivered after a while.
    Slow,
    /// Put off, and then delivered.
    Deferred,
    /// Refused for good by the upstream that there is none.
    Bounced,
    /// The same, because its list has it.
    Suppressed,
    /// Delivered, and called unwanted.
    Complained,
    /// Refused when it is submitted.
    Rejected,
}

impl End {
    /// What becomes of mail there, in words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Slow => "delivered after some seconds",
            Self::Deferred => "put off, and then delivered",
            Self::Bounced | Self::Suppressed => "refused for good",
            Self::Complained => "delivered, and then called unwanted",
            Self::Rejected => "refused when it is submitted",
        }
    }
}

/// Whether an address is for tests alone, so that no mail is to go there.
pub fn is_reserved(address: &Address) -> bool {
    [OWN, RESEND, POSTMARK].contains(&address.domain())
}

/// How mail there ends; none where no such address is known. What stands behind a plus sign is the sender's.
pub fn end(address: &Address) -> Option<End> {
    let local = address.local().to_lowercase();
    let name = local.split('+').next().unwrap_or_default();
    match (address.domain(), name) {
        (OWN | RESEND, "delivered") => Some(End::Delivered),
        (OWN | RESEND, "bounced") => Some(End::Bounced),
        (OWN | RESEND, "complained") => Some(End::Complained),
        (OWN, "deferred") => Some(End::Deferred),
        (OWN, "rejected") => Some(End::Rejected),
        (OWN, "slow") => Some(End::Slow),
        (RESEND, "suppressed") => Some(End::Suppressed),
        (POSTMARK, _) => Some(End::Delivered),
        (OWN | RESEND, _) => None,
        // Anybody else is what most are.
        _ => Some(End::Delivered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_for_tests_say_how_mail_to_them_ends() {
        for (address, reserved, expected) in [
            ("delivered@sandbox.test", true, Some(End::Delivered)),
            ("bounced@sandbox.test", true, Some(End::Bounced)),
            ("Bounced+order-17@Sandbox.TEST", true, Some(End::Bounced)),
            ("deferred@sandbox.test", true, Some(End::Deferred)),
            ("rejected@sandbox.test", true, Some(End::Rejected)),
            ("complained@sandbox.test", true, Some(End::Complained)),
            ("slow@sandbox.test", true, Some(End::Slow)),
            ("bounce@sandbox.test", true, None),
            ("delivered@resend.dev", true, Some(End::Delivered)),
            ("bounced+a@resend.dev", true, Some(End::Bounced)),
            ("complained@resend.dev", true, Some(End::Complained)),
            ("suppressed@resend.dev", true, Some(End::Suppressed)),
            ("slow@resend.dev", true, None),
            ("test@blackhole.postmarkapp.com", true, Some(End::Delivered)),
            ("bounced@example.org", false, Some(End::Delivered)),
            ("bounced@a.sandbox.test", false, Some(End::Delivered)),
        ] {
            let address = Address::parse(address).unwrap();
            assert_eq!((is_reserved(&address), end(&address)), (reserved, expected), "{address}");
        }
    }
}
