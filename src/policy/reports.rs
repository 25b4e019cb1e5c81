//! What senders hear of their mail: whether anything, by what, and when of mail that waits.

use serde::{Deserialize, Serialize};

use super::Policy;
use crate::mail::dsn::Notify;

/// How the senders of a credential are told what became of their mail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reports {
    /// By a report to the sender, as RFC 3461 lets it ask for.
    #[default]
    Mail,
    /// Not at all: the audit log has it.
    None,
    /// By its webhook, which is told of every failure.
    Webhook,
}

impl Reports {
    pub const WORDS: [(&str, Self); 3] = [("mail", Self::Mail), ("none", Self::None), ("webhook", Self::Webhook)];
}

/// When a sender hears that its mail waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delays {
    /// Unless it asks for other reports alone (RFC 3461 section 4.1).
    Told,
    /// When it asks for that.
    Asked,
    Never,
}

impl Delays {
    /// Whether it hears of this recipient.
    pub fn are_told(self, notify: Option<Notify>) -> bool {
        match (self, notify) {
            (Self::Never, _) => false,
            (_, Some(notify)) => notify.on_delay(),
            (delays, None) => delays == Self::Told,
        }
    }
}

impl Policy {
    /// What is told of a message. Of a report nothing is, whoever it is from: two hosts would tell each other for ever
    /// (RFC 5321 section 6.1).
    pub const fn reports_of(&self, is_report: bool) -> Reports {
        if is_report { Reports::None } else { self.reports }
    }

    pub fn delays_of(&self, is_report: bool) -> Delays {
        if is_report { Delays::Never } else { self.delays() }
    }

    /// A device that is known by its address has nobody who reads such a report, unless it asks for one.
    pub fn delays(&self) -> Delays {
        match self.reports {
            Reports::None | Reports::Webhook => Delays::Never,
            Reports::Mail if self.identified_by.is_empty() => Delays::Told,
            Reports::Mail => Delays::Asked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rule_q14_who_is_told_of_a_delay_goes_by_notify_the_choice_of_reports_and_whether_it_is_a_device() {
        let mail = Policy::default();
        let device = Policy { identified_by: vec!["10.1.0.0/16".parse().unwrap()], ..Policy::default() };
        let none = Policy { reports: Reports::None, ..Policy::default() };
        for (notify, by_mail, to_device) in [
            (None, true, false),
            (Some("DELAY"), true, true),
            (Some("SUCCESS,DELAY"), true, true),
            (Some("FAILURE"), false, false),
            (Some("NEVER"), false, false),
        ] {
            let told = |policy: &Policy| policy.delays().are_told(notify.map(|text| Notify::parse(text).unwrap()));
            assert_eq!((told(&mail), told(&device), told(&none)), (by_mail, to_device, false), "{notify:?}");
        }
    }
}
