//! The test as a courier.

use std::collections::{HashMap, VecDeque};

use super::*;

/// A message of the shop's, and the courier to whom it is offered.
pub async fn offered(bench: &Bench, vault: &mut Running, to: &[&str], content: &[u8]) -> (Courier, Job, MessageId) {
    let mut edge = vault.edge();
    edge.login(bench, 1).await;
    let kept = edge.submit(1, to, content).await;
    let Answer::Kept { message, .. } = kept else { panic!("{kept:?}") };
    let mut courier = vault.courier().await;
    let (job, ..) = courier.message().await;
    (courier, job, message)
}

pub struct Courier {
    pub progress: Sender<Progress>,
    pub offers: Receiver<Offer>,
    /// Whom each job is for.
    pub numbers: HashMap<Job, Vec<u32>>,
    /// What came of other jobs while the content of one was read.
    pub ahead: VecDeque<Offer>,
}

impl Courier {
    pub async fn offer(&mut self) -> Offer {
        match self.ahead.pop_front() {
            Some(offer) => offer,
            None => self.hear().await,
        }
    }

    async fn hear(&mut self) -> Offer {
        let offer = tokio::time::timeout(Duration::from_secs(10), self.offers.receive()).await;
        let offer = offer.expect("an offer in time").unwrap().expect("an open channel");
        if let Offer::Recipients { job, batch } = &offer {
            self.numbers.entry(*job).or_default().extend(batch.iter().map(|(number, _)| *number));
        }
        offer
    }

    /// One message with its recipients.
    pub async fn message(&mut self) -> (Job, MessageId, Vec<(u32, Address)>, u64) {
        let (job, message, all, size, _) = self.envelope().await;
        (job, message, all.into_iter().map(|(n, to)| (n, to.address)).collect(), size)
    }

    /// The same, with all that was said.
    pub async fn envelope(&mut self) -> (Job, MessageId, Vec<(u32, Addressee)>, u64, Manner) {
        let Offer::Message { job, message, manner, size, recipients, .. } = self.offer().await else {
            panic!("no message")
        };
        let mut all = Vec::new();
        while all.len() < recipients as usize {
            let Offer::Recipients { job: same, batch } = self.offer().await else { panic!("no recipients") };
            assert_eq!(same, job);
            all.extend(batch);
        }
        (job, message, all, size, manner)
    }

    /// All content, and that all its recipients may have it.
    pub async fn content(&mut self, job: Job) -> Vec<u8> {
        let numbers = self.numbers[&job].clone();
        self.tell(Progress::Ending { job, turn: 1, numbers }).await;
        let mut content = Vec::new();
        loop {
            self.progress.send(Progress::Want { job, octets: 40_000 }).await.unwrap();
            let mut wanted = 40_000;
            while wanted > 0 {
                match self.hear().await {
                    Offer::Content { octets, .. } => {
                        assert!(octets.0.len() <= wanted, "more than was asked for");
                        wanted -= octets.0.len();
                        content.extend(octets.0);
                    }
                    Offer::End { .. } => return content,
                    other @ (Offer::Message { job: of, .. } | Offer::Recipients { job: of, .. }) if of != job => {
                        self.ahead.push_back(other);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    pub async fn say(&mut self, job: Job, number: u32, outcome: Outcome) {
        self.tell(Progress::Recipient { job, number, outcome }).await;
    }

    pub async fn settled(&mut self, job: Job) {
        self.tell(Progress::Settled { job }).await;
    }

    /// The frame is in the socket when this returns: the task that writes it runs while this one yields.
    pub async fn tell(&mut self, progress: Progress) {
        self.progress.send(progress).await.unwrap();
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
    }
}

#[test]
fn a_courier_that_comes_to_no_end_is_let_go_and_its_message_goes_on() {
    let bench = Bench::new();
    let mut vault = bench.run();
    test(async {
        let (hanging, _, message) = offered(&bench, &mut vault, &["rosa@example.org"], b"x\r\n").await;
        // It says nothing more, and is there.
        super::sessions::let_go(&vault);
        let mut next = vault.courier().await;
        assert_eq!(next.message().await.1, message);
        drop(hanging);
    });
    vault.drain();
}
