//! Keys of a provider that its courier was asked about: what it says of each goes to whoever asked.

use std::collections::HashMap;

use tokio::sync::oneshot;

use crate::ipc::delivery::{Job, MAX_LINE, Offer, Verified};
use crate::secret::Secret;
use crate::vault::shares::Share;

/// Asks about one. When `told` is dropped without an answer, the courier is gone.
pub struct Verification {
    pub key: Secret<String>,
    pub told: oneshot::Sender<Verified>,
    /// What it counts as, until the courier has answered: also when nobody waits for that any more.
    pub places: Vec<Share>,
}

/// One that is under way, with its places.
type Asked = (oneshot::Sender<Verified>, Vec<Share>);

/// Those under way at one courier.
#[derive(Default)]
pub struct Verifications(HashMap<Job, Asked>);

impl Verifications {
    /// What the courier is to be told.
    pub fn begin(&mut self, job: Job, Verification { key, told, places }: Verification) -> Offer {
        self.0.insert(job, (told, places));
        Offer::Verify { job, key }
    }

    /// Errors: a word for what the courier may not say.
    pub fn heard(&mut self, job: Job, verified: Verified) -> Result<(), &'static str> {
        let (told, _places) = self.0.remove(&job).ok_or("verified-out-of-order")?;
        let verified = match verified {
            Verified::Unknown(why) => Verified::Unknown(why.chars().take(MAX_LINE).collect()),
            known => known,
        };
        // Whoever asked may be gone.
        let _ = told.send(verified);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;
    use crate::vault::shares::Shares;

    #[test]
    fn a_courier_answers_what_it_was_asked_and_once() {
        let mut all = Verifications::default();
        assert_eq!(all.heard(Job(1), Verified::Taken), Err("verified-out-of-order"));
        let (told, mut hears) = oneshot::channel();
        let shares = Rc::new(Shares::default());
        let mut place = shares.share("team");
        place.grow(1, 1).unwrap();
        let key = Secret::new("bs_key".into());
        let offer = all.begin(Job(1), Verification { key, told, places: vec![place] });
        assert!(!shares.admits("team", 1, 1), "it counts until it is answered");
        assert!(matches!(offer, Offer::Verify { job: Job(1), .. }) && !format!("{offer:?}").contains("bs_key"));
        assert_eq!(all.heard(Job(1), Verified::Unknown("x".repeat(2 * MAX_LINE))), Ok(()));
        assert_eq!(hears.try_recv(), Ok(Verified::Unknown("x".repeat(MAX_LINE))));
        assert!(shares.admits("team", 1, 1));
        assert_eq!(all.heard(Job(1), Verified::Taken), Err("verified-out-of-order"));
    }
}
