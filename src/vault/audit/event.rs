//! Events: a closed list of names, and what can be said of one.

use std::net::IpAddr;

use uuid::Uuid;

use super::mask;
use crate::mail::address::{Address, ReversePath};
use crate::mail::id::MessageId;
use crate::policy::mask::Mask;
use crate::policy::refusal::Refusal;
use crate::role::Role;

/// Recipients in one event; a message with more makes several, so that no leaf passes the 65,535 octets of C2SP
/// tlog-tiles.
pub const MAX_RECIPIENTS: usize = 100;
/// The null reverse-path: RFC 5321 section 4.5.5.
const NULL_SENDER: &str = "<>";

macro_rules! names {
    ($($name:ident $word:literal)*) => {
        /// What happened. A name's meaning is never changed; new ones are added at the end.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Name { $($name),* }

        impl Name {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The word for it in the log.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word),* }
            }
        }
    };
}

names! {
    DaemonStart "daemon.start"
    DaemonStop "daemon.stop"
    DaemonCrash "daemon.crash"
    ClockStep "clock.step"
    SessionOpen "session.open"
    SessionClose "session.close"
    TlsFailure "tls.failure"
    AuthSuccess "auth.success"
    AuthFailure "auth.failure"
    AuthLocked "auth.locked"
    MsgAccept "msg.accept"
    MsgRecipients "msg.recipients"
    MsgReject "msg.reject"
    MsgDiscard "msg.discard"
    MsgExpire "msg.expire"
    RateLimited "rate.limited"
    QuotaExceeded "quota.exceeded"
    AnomalyVolume "anomaly.volume"
    DeliverAttempt "deliver.attempt"
    DeliverSuccess "deliver.success"
    DeliverDefer "deliver.defer"
    DeliverBounce "deliver.bounce"
    DeliverExpire "deliver.expire"
    DeliverUnknown "deliver.unknown"
    DsnSent "dsn.sent"
    QueueHold "queue.hold"
    QueueRelease "queue.release"
    QueueDrop "queue.drop"
    RoutePause "route.pause"
    RouteResume "route.resume"
    ConfigLoad "config.load"
    ConfigChange "config.change"
    ConfigReject "config.reject"
    CredentialCreate "credential.create"
    CredentialRotate "credential.rotate"
    CredentialRevoke "credential.revoke"
    CredentialExpire "credential.expire"
    CredentialDisable "credential.disable"
    CredentialEnable "credential.enable"
    SandboxApplied "sandbox.applied"
    SandboxViolation "sandbox.violation"
    ProcExit "proc.exit"
    IntegrityFailure "integrity.failure"
    IpcViolation "ipc.violation"
    StoreFull "store.full"
    StoreIoerror "store.ioerror"
    StoreRecovered "store.recovered"
    SealerRefused "sealer.refused"
    AuditHeartbeat "audit.heartbeat"
    AuditEpoch "audit.epoch"
    AuditCheckpoint "audit.checkpoint"
    AuditAnchor "audit.anchor"
    AnchorOverdue "anchor.overdue"
    AuditRedact "audit.redact"
    AuditPrune "audit.prune"
    AuditDisclose "audit.disclose"
    AuditExport "audit.export"
    AuditVerify "audit.verify"
    AuditResume "audit.resume"
    AuditPublishBlocked "audit.publish.blocked"
    BackupMade "backup.made"
    FeedbackReceived "feedback.received"
    IncidentOpened "incident.opened"
    StoreRekey "store.rekey"
    CredentialChange "credential.change"
    TraceBegin "trace.begin"
    TraceEnd "trace.end"
    QueueRetry "queue.retry"
    QueueView "queue.view"
    RouteTest "route.test"
    QueueExport "queue.export"
    QueueImport "queue.import"
    ShedBegin "shed.begin"
    ShedEnd "shed.end"
    SuppressAdd "suppress.add"
    SuppressRemove "suppress.remove"
    SuppressView "suppress.view"
    WebhookPause "webhook.pause"
    WebhookResume "webhook.resume"
    WebhookDrop "webhook.drop"
    WebhookTest "webhook.test"
    MsgIntent "msg.intent"
    CredentialView "credential.view"
    AlertBegin "alert.begin"
    AlertEnd "alert.end"
    AlertTest "alert.test"
    StoreDowngrade "store.downgrade"
    QueueReschedule "queue.reschedule"
}

/// How it ended, in five words that never become six.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Success,
    Failure,
    Deferred,
    Denied,
    Info,
}

impl Outcome {
    pub const fn word(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Deferred => "deferred",
            Self::Denied => "denied",
            Self::Info => "info",
        }
    }

    /// The syslog severity it has unless the event says otherwise: RFC 5424 section 6.2.1.
    const fn severity(self) -> u8 {
        match self {
            Self::Success | Self::Info => 6,
            Self::Deferred => 5,
            Self::Failure | Self::Denied => 4,
        }
    }
}

/// A value that says something about a person: in the tree as a salted commitment, so that it can be erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Field {
    /// The credential's id.
    Account,
    /// What stood for a name in a failed login, masked: people type passwords there.
    AuthUser,
    ClientIp,
    Helo,
    MailFrom,
    RcptDomain,
    RcptTo,
    /// An upstream's words, which quote addresses.
    RemoteText,
    /// Who a client said it was, when its credential's mail goes out as another's.
    SenderGiven,
}

impl Field {
    pub const ALL: [Self; 9] = [
        Self::Account,
        Self::AuthUser,
        Self::ClientIp,
        Self::Helo,
        Self::MailFrom,
        Self::RcptDomain,
        Self::RcptTo,
        Self::RemoteText,
        Self::SenderGiven,
    ];

    pub const fn word(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::AuthUser => "auth_user",
            Self::ClientIp => "client_ip",
            Self::Helo => "helo",
            Self::MailFrom => "mail_from",
            Self::RcptDomain => "rcpt_domain",
            Self::RcptTo => "rcpt_to",
            Self::RemoteText => "remote_text",
            Self::SenderGiven => "sender_given",
        }
    }

    /// The key of what stands for it.
    pub const fn shown_word(self) -> &'static str {
        match self {
            Self::Account => "account.shown",
            Self::AuthUser => "auth_user.shown",
            Self::ClientIp => "client_ip.shown",
            Self::Helo => "helo.shown",
            Self::MailFrom => "mail_from.shown",
            Self::RcptDomain => "rcpt_domain.shown",
            Self::RcptTo => "rcpt_to.shown",
            Self::RemoteText => "remote_text.shown",
            Self::SenderGiven => "sender_given.shown",
        }
    }

    /// It is asked several times for each value of a log that is verified.
    pub fn of(word: &str) -> Option<Self> {
        Some(match word {
            "account" => Self::Account,
            "auth_user" => Self::AuthUser,
            "client_ip" => Self::ClientIp,
            "helo" => Self::Helo,
            "mail_from" => Self::MailFrom,
            "rcpt_domain" => Self::RcptDomain,
            "rcpt_to" => Self::RcptTo,
            "remote_text" => Self::RemoteText,
            "sender_given" => Self::SenderGiven,
            _ => return None,
        })
    }

    /// Whether auditors may see the value itself, so that the log can be searched by it.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Account | Self::AuthUser | Self::RcptDomain)
    }

    /// Whether auditors are shown something in its stead, whatever the mask.
    pub const fn is_masked(self) -> bool {
        matches!(self, Self::ClientIp | Self::MailFrom | Self::RcptTo | Self::SenderGiven)
    }

    /// What auditors see instead of a value they may not; nothing for the fields that are hidden whole.
    pub fn masked(self, value: &str, mask: Mask) -> Option<String> {
        match (self, mask) {
            (field, Mask::None) if !field.is_open() => Some(value.to_owned()),
            (Self::ClientIp, Mask::LocalPart) => Some(mask::address_of_network(value)),
            (Self::MailFrom | Self::RcptTo | Self::SenderGiven, Mask::LocalPart) => Some(mask::mailbox(value)),
            // No sender is nobody's address.
            (Self::MailFrom, Mask::Full) if value == NULL_SENDER => Some(value.to_owned()),
            (Self::ClientIp | Self::MailFrom | Self::RcptTo | Self::SenderGiven, Mask::Full) => {
                Some(mask::HIDDEN.to_owned())
            }
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Personal {
    pub field: Field,
    /// Which of several: only `rcpt_to` has more than one.
    pub n: u32,
    pub value: String,
}

/// One entry of the log before it has a place in it. All but name, outcome, severity and component may be absent.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: Name,
    pub outcome: Outcome,
    pub severity: u8,
    /// The role that saw it.
    pub component: &'static str,
    pub session: Option<Uuid>,
    pub message: Option<MessageId>,
    pub delivery: Option<Uuid>,
    pub actor: Option<String>,
    pub listener: Option<String>,
    pub tls: Option<String>,
    pub code: Option<u16>,
    pub enhanced: Option<String>,
    /// A word of a closed vocabulary.
    pub reason: Option<String>,
    pub upstream: Option<String>,
    /// The host that answered.
    pub mx: Option<String>,
    pub bytes: Option<u64>,
    pub rcpt_count: Option<u64>,
    pub attempt: Option<u64>,
    pub duration_us: Option<u64>,
    /// Rare things, as JSON.
    pub data: Option<String>,
    pub personal: Vec<Personal>,
}

impl Event {
    pub fn new(name: Name, outcome: Outcome) -> Self {
        Self {
            name,
            outcome,
            severity: outcome.severity(),
            component: Role::Vault.name(),
            session: None,
            message: None,
            delivery: None,
            actor: None,
            listener: None,
            tls: None,
            code: None,
            enhanced: None,
            reason: None,
            upstream: None,
            mx: None,
            bytes: None,
            rcpt_count: None,
            attempt: None,
            duration_us: None,
            data: None,
            personal: Vec::new(),
        }
    }

    /// The event of a refusal: which name, outcome and reason follow from why.
    pub fn refusal(refusal: Refusal) -> Self {
        let name = match refusal {
            Refusal::RateLimited(_) => Name::RateLimited,
            Refusal::QuotaExceeded(_) => Name::QuotaExceeded,
            _ => Name::MsgReject,
        };
        let outcome = if refusal.is_temporary() { Outcome::Deferred } else { Outcome::Denied };
        Self { reason: Some(refusal.word().to_owned()), ..Self::new(name, outcome) }
    }

    /// Adds a personal value.
    pub fn with(mut self, field: Field, value: impl Into<String>) -> Self {
        self.personal.push(Personal { field, n: 0, value: value.into() });
        self
    }

    pub fn client(self, address: IpAddr) -> Self {
        self.with(Field::ClientIp, address.to_canonical().to_string())
    }

    /// The sender; the null reverse-path is written as `<>`.
    pub fn sender(self, sender: &ReversePath) -> Self {
        self.with(Field::MailFrom, sender.as_ref().map_or_else(|| NULL_SENDER.to_owned(), Address::to_string))
    }

    /// Up to `MAX_RECIPIENTS` recipients; the caller makes further events for the rest.
    pub fn recipients<'a>(mut self, recipients: impl IntoIterator<Item = &'a Address>) -> Self {
        for (n, recipient) in (0..).zip(recipients) {
            self.personal.push(Personal { field: Field::RcptTo, n, value: recipient.to_string() });
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_word() {
        for field in Field::ALL {
            assert_eq!(Field::of(field.word()), Some(field));
            assert_eq!(Field::of(field.shown_word()), None);
        }
    }

    #[test]
    fn every_name_is_dotted_and_there_is_none_twice() {
        for (at, name) in Name::ALL.iter().enumerate() {
            assert!(name.word().contains('.') && name.word().bytes().all(|b| b.is_ascii_lowercase() || b == b'.'));
            assert!(!Name::ALL[..at].iter().any(|earlier| earlier.word() == name.word()), "{name:?}");
        }
    }
}
