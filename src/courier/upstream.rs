//! The kinds of upstream that a courier has: by SMTP, and by a provider's API.

use tokio::sync::mpsc::UnboundedSender;

use super::provider::Provider;
use super::smtp;
use crate::ipc::delivery::{Line, Verified};
use crate::jobs;
use crate::jobs::parcel::{Parcel, Verdict};
use crate::mail::address::ReversePath;
use crate::secret::Secret;

pub enum Upstream {
    Smtp(Box<smtp::Upstream>),
    Provider(Box<Provider>),
}

impl jobs::Upstream for Upstream {
    fn slots(&self) -> u16 {
        match self {
            Self::Smtp(upstream) => upstream.slots(),
            Self::Provider(provider) => provider.slots(),
        }
    }

    async fn deliver(&self, parcel: &mut Parcel) -> Verdict {
        match self {
            Self::Smtp(upstream) => upstream.deliver(parcel).await,
            Self::Provider(provider) => provider.deliver(parcel).await,
        }
    }

    async fn deliver_live(&self, parcel: &mut Parcel) -> Verdict {
        match self {
            Self::Smtp(upstream) => upstream.deliver_live(parcel).await,
            Self::Provider(provider) => provider.deliver_live(parcel).await,
        }
    }

    async fn rehearse(&self, senders: &[ReversePath], lines: &UnboundedSender<Line>) -> bool {
        match self {
            Self::Smtp(upstream) => upstream.rehearse(senders, lines).await,
            Self::Provider(provider) => provider.rehearse(lines).await,
        }
    }

    async fn verify(&self, key: &Secret<String>) -> Verified {
        match self {
            // The vault asks no other.
            Self::Smtp(_) => Verified::Unknown("it has no keys of providers".to_owned()),
            Self::Provider(provider) => provider.verify(key).await,
        }
    }
}

impl Upstream {
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
