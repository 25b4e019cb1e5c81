//! What one session may spend on errors, idle commands and guesses.

use std::time::Duration;

use tokio::time::Instant;

/// Errors (any 5yz) that are answered at once; beyond them each costs the client a wait; and the end.
const SOFT_ERRORS: u32 = 10;
const HARD_ERRORS: u32 = 20;
const ERROR_WAIT: Duration = Duration::from_millis(250);
/// Commands that do nothing (NOOP, RSET, VRFY, EHLO and so on) between two messages.
const IDLE_COMMANDS: u32 = 100;
/// RCPTs between two messages that add nobody, as a list that is named again or goes beyond the most recipients has them; as many
/// as ten times those are allowed where that is more. The next ones are commands that do nothing.
const SPARE_RECIPIENTS: u32 = 1000;
/// For a client that has logged in the allowance grows back: pools and monitors live on NOOP and RSET.
const REGAIN: Duration = Duration::from_millis(100);
/// Failed logins of one session.
const GUESSES: u32 = 3;
/// Logins of one session that could not be judged: each but the first costs the client a wait, so that asking again and
/// again takes no place from who asks once; and the end.
const UNJUDGED: u32 = 10;
const UNJUDGED_WAIT: Duration = Duration::from_secs(1);

#[derive(Debug, PartialEq, Eq)]
pub enum Charge {
    Free,
    Wait(Duration),
    Spent,
}

#[derive(Debug)]
pub struct Budget {
    errors: u32,
    idle: u32,
    regained: Instant,
    spare: u32,
    guesses: u32,
    unjudged: u32,
}

impl Budget {
    pub fn full() -> Self {
        Self { errors: 0, idle: 0, regained: Instant::now(), spare: 0, guesses: 0, unjudged: 0 }
    }

    pub fn error(&mut self) -> Charge {
        self.errors = self.errors.saturating_add(1);
        match self.errors {
            ..=SOFT_ERRORS => Charge::Free,
            HARD_ERRORS.. => Charge::Spent,
            _ => Charge::Wait(ERROR_WAIT),
        }
    }

    /// Whether one more command that does nothing is within the allowance.
    pub fn idle_command(&mut self, logged_in: bool) -> bool {
        let gained = self.regained.elapsed().as_millis() / REGAIN.as_millis();
        if logged_in && gained > 0 {
            self.idle = self.idle.saturating_sub(u32::try_from(gained).unwrap_or(u32::MAX));
            self.regained = Instant::now();
        }
        self.idle = self.idle.saturating_add(1);
        self.idle <= IDLE_COMMANDS
    }

    /// Whether one more RCPT that adds nobody is within the allowance, of a login that may name so many.
    pub fn spare_recipient(&mut self, most: u32) -> bool {
        self.spare = self.spare.saturating_add(1);
        self.spare <= most.saturating_mul(10).max(SPARE_RECIPIENTS) || self.idle_command(true)
    }

    /// A message was kept.
    pub fn served(&mut self) {
        (self.idle, self.spare) = (0, 0);
    }

    /// A login was put off: there was no room for it, or too many had failed.
    pub fn unjudged_login(&mut self) -> Charge {
        self.unjudged = self.unjudged.saturating_add(1);
        match self.unjudged {
            1 => Charge::Free,
            UNJUDGED.. => Charge::Spent,
            _ => Charge::Wait(UNJUDGED_WAIT),
        }
    }

    /// Whether the session may go on after another failed login.
    pub fn failed_login(&mut self) -> bool {
        self.guesses = self.guesses.saturating_add(1);
        self.guesses < GUESSES
    }
}
