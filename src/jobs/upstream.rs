//! What jobs speak to, whatever its kind: messages in, verdicts out.

use std::future::Future;

use tokio::sync::mpsc::UnboundedSender;

use super::parcel::{Parcel, Verdict};
use crate::ipc::delivery::{Line, Verified};
use crate::mail::address::ReversePath;
use crate::secret::Secret;

pub trait Upstream: Send + Sync + 'static {
    /// How many messages it takes at once.
    fn slots(&self) -> u16;

    /// Delivers one message, or finds out why not.
    fn deliver(&self, parcel: &mut Parcel) -> impl Future<Output = Verdict> + Send;

    /// Delivers one message while it comes, and tells each answer at once.
    fn deliver_live(&self, parcel: &mut Parcel) -> impl Future<Output = Verdict> + Send;

    /// Goes through what comes before a message, and tells it. Whether it all went well.
    fn rehearse(&self, senders: &[ReversePath], lines: &UnboundedSender<Line>) -> impl Future<Output = bool> + Send;

    /// Whether a provider takes a key that is not ours.
    fn verify(&self, key: &Secret<String>) -> impl Future<Output = Verified> + Send;
}
