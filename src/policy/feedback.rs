//! What a webhook is told of mail: which events there are, and that whoever wants reports by one has one.

use serde::{Deserialize, Serialize};

use super::Policy;
use super::reports::Reports;

/// What became of a recipient, as applications know it. The words stand in configurations and in what receivers are told:
/// a word's meaning is never changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// An upstream has taken the message for it.
    Sent,
    /// It was not, and is tried again, or waits for somebody.
    Deferred,
    /// An upstream has refused it for good.
    Bounced,
    /// The gate has given it up: its time was over, it can't be sent, or nobody knows whether it was.
    Failed,
}

impl Told {
    pub const WORDS: [(&str, Self); 4] =
        [("sent", Self::Sent), ("deferred", Self::Deferred), ("bounced", Self::Bounced), ("failed", Self::Failed)];

    /// The type of the event, by the names that receivers of other services know.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Sent => "email.sent",
            Self::Deferred => "email.delivery_delayed",
            Self::Bounced => "email.bounced",
            Self::Failed => "email.failed",
        }
    }

    /// Nothing comes of it any more, and its sender must know.
    pub const fn is_failure(self) -> bool {
        matches!(self, Self::Bounced | Self::Failed)
    }
}

impl Policy {
    /// What is wrong with how its senders hear; in words.
    pub fn check_reports(&self) -> Result<(), String> {
        match (self.reports, &self.webhook) {
            (Reports::Webhook, None) => {
                Err("reports: \"webhook\" needs webhook, the name of the one that is told".to_owned())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_by_webhook_need_one() {
        let by_webhook = Policy { reports: Reports::Webhook, ..Policy::default() };
        assert!(by_webhook.check_reports().unwrap_err().contains("needs webhook"));
        assert!(by_webhook.check().is_err());
        assert_eq!(Policy { webhook: Some("app".into()), ..by_webhook }.check_reports(), Ok(()));
        assert_eq!(Policy::default().check_reports(), Ok(()));
    }
}
