//! What a courier's jobs speak to, whatever its kind: messages in, verdicts out.

use tokio::sync::mpsc::UnboundedSender;

use super::parcel::{Parcel, Verdict};
use super::provider::Provider;
use super::smtp;
use crate::ipc::delivery::{Line, Verified};
use crate::mail::address::ReversePath;
use crate::secret::Secret;

pub enum Upstream {
    Smtp(Box<smtp::Upstream>),
    Provider(Box<Provider>),
}

impl Upstream {
    /// How many messages it takes at once.
    pub fn slots(&self) -> u16 {
        match self {
            Self::Smtp(upstream) => upstream.slots(),
            Self::Provider(provider) => provider.slots(),
        }
    }

    /// Delivers one message, or finds out why not.
    pub async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        match self {
            Self::Smtp(upstream) => upstream.deliver(parcel).await,
            Self::Provider(provider) => provider.deliver(parcel).await,
        }
    }

    /// Delivers one message while it comes, and tells each answer at once.
    pub async fn deliver_live(&self, parcel: &mut Parcel) -> Verdict {
        match self {
            Self::Smtp(upstream) => upstream.deliver_live(parcel).await,
            Self::Provider(provider) => provider.deliver_live(parcel).await,
        }
    }

    /// Goes through what comes before a message, and tells it. Whether it all went well.
    pub async fn rehearse(&self, senders: &[ReversePath], lines: &UnboundedSender<Line>) -> bool {
        match self {
            Self::Smtp(upstream) => upstream.rehearse(senders, lines).await,
            Self::Provider(provider) => provider.rehearse(lines).await,
        }
    }

    /// Whether a provider takes a key that is not ours.
    pub async fn verify(&self, key: &Secret<String>) -> Verified {
        match self {
            // The vault asks no other.
            Self::Smtp(_) => Verified::Unknown("it has no keys of providers".to_owned()),
            Self::Provider(provider) => provider.verify(key).await,
        }
    }

    /// Runs beside everything else.
    pub async fn tend(&self) {
        if let Self::Smtp(upstream) = self {
            upstream.tend().await;
        }
    }

    /// Leaves politely before the process ends.
    pub async fn close(&self) {
        if let Self::Smtp(upstream) = self {
            upstream.close().await;
        }
    }
}
