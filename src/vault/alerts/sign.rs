//! What can be wrong with the gate: a closed list of words, from when on each is told, and what to do about it.

use std::time::Duration;

use crate::config::slice::Alerts;

/// What passes by itself when a process or a disk was slow for a moment.
const MOMENT: Duration = Duration::from_secs(30);
/// It is over when it was not seen for so long: what comes and goes is one alert.
const CALM: Duration = Duration::from_secs(300);
/// A limit gives back a little all the time, and whoever is at it takes that at once, or in a batch some minutes later.
const CALM_LIMIT: Duration = Duration::from_secs(3600);
/// As `GatepostNotReady` of the rules for Prometheus.
const WHILE: Duration = Duration::from_secs(120);

macro_rules! kinds {
    ($($name:ident $word:literal $advice:literal)*) => {
        /// What is wrong. A word's meaning is never changed: receivers of webhooks go by it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Kind { $($name),* }

        impl Kind {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }

            /// What to do first; the runbook has the rest under the word.
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice),* }
            }
        }
    };
}

kinds! {
    Disk "disk" "df -h; gatepost status; docs/runbook.md, the disk is full"
    NotReady "not-ready" "gatepost status says what keeps mail out"
    Unsealed "unsealed" "look for the sealer in the log; gatepost audit verify; mail goes on meanwhile"
    Integrity "integrity" "gatepost audit verify, and keep the log and a copy of the state before anything else"
    Anchor "anchor" "gatepost audit anchor; a witness that contradicts the log means that it was set back or forked"
    Upstream "upstream" "gatepost route status; what is for it waits, and nothing is lost"
    UpstreamLogin "upstream-login" "mend the password or token, then gatepost check --connect and gatepost reload"
    QueueAge "queue-age" "gatepost queue stats; gatepost route status"
    QueueMessages "queue-messages" "gatepost queue stats says whose it is"
    Bounces "bounce-rate" "gatepost audit query --event deliver.bounce --limit 50 says whose mail and why"
    Certificate "certificate" "renew it; the new files are taken by themselves"
    FailedLogins "failed-logins" "gatepost audit query --event auth.failure --limit 50 says from where"
    Suspended "suspended" "is it its own mail? if not: gatepost incident CREDENTIAL"
    Limit "limit" "gatepost credential show CREDENTIAL; is it its own mail? if not: gatepost incident CREDENTIAL"
    Processes "processes" "a bug, or an attack on it: keep the log, and report it (SECURITY.md)"
    Clock "clock" "clock.step in the audit log says whether it was set, slept or stood still; is time synchronised?"
}

impl Kind {
    pub fn of(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.word() == word)
    }

    /// How long it must go on before it is told.
    pub fn hold(self, alerts: &Alerts) -> Duration {
        match self {
            Self::Upstream => alerts.upstream_down,
            Self::NotReady | Self::Unsealed => WHILE,
            // One that was scheduled for now, or a batch that has just come, is on its way.
            Self::Disk | Self::UpstreamLogin | Self::QueueAge | Self::QueueMessages => MOMENT,
            // What has happened has happened.
            Self::Integrity
            | Self::Anchor
            | Self::Bounces
            | Self::Certificate
            | Self::FailedLogins
            | Self::Suspended
            | Self::Limit
            | Self::Processes
            | Self::Clock => Duration::ZERO,
        }
    }
}

impl Kind {
    /// How long it must be away to be over.
    pub const fn calm(self) -> Duration {
        match self {
            Self::Limit => CALM_LIMIT,
            _ => CALM,
        }
    }
}

/// Something is wrong now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    pub kind: Kind,
    /// With what: an upstream, a credential, an anchor, listeners; empty where there is one.
    pub subject: String,
    /// In words, for people.
    pub text: String,
}

impl Sign {
    pub fn new(kind: Kind, subject: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind, subject: subject.into(), text: text.into() }
    }
}
