//! The test as an edge.

use super::*;
use crate::ipc::label::Label;

pub struct Edge {
    pub instance: Instance,
    pub asks: Sender<Ask>,
    pub answers: Receiver<Answer>,
}

impl Edge {
    pub async fn ask(&mut self, ask: Ask) -> Answer {
        self.asks.send(ask).await.unwrap();
        self.answer().await
    }

    pub async fn answer(&mut self) -> Answer {
        let answer = tokio::time::timeout(Duration::from_secs(10), self.answers.receive()).await;
        answer.expect("an answer in time").unwrap().expect("an open channel")
    }

    pub async fn login(&mut self, bench: &Bench, slot: u32) -> Answer {
        let capsule = bench.capsule(self.instance, 1, "192.0.2.1");
        let opened = self.ask(Ask::Open { slot: Slot(slot), capsule, via: Via::Direct }).await;
        assert!(matches!(opened, Answer::Opened { network: None, .. }), "{opened:?}");
        self.password(slot, "shop", &bench.password).await
    }

    pub async fn password(&mut self, slot: u32, user: &str, password: &Secret<String>) -> Answer {
        let (mechanism, user, password) = (Mechanism::Plain, user.to_owned(), password.clone());
        self.ask(Ask::Login { slot: Slot(slot), mechanism, user, password, tls: None }).await
    }

    pub async fn mail(&mut self, slot: u32, sender: &str) -> Answer {
        self.mail_as(slot, sender, Manner::default()).await
    }

    pub async fn mail_as(&mut self, slot: u32, sender: &str, manner: Manner) -> Answer {
        let (sender, helo) = (Some(address(sender)), "client.example.net".to_owned());
        let tls = manner.require_tls.then(|| Tls {
            version: "TLSv1.3".into(),
            cipher: "TLS_AES_128_GCM_SHA256".into(),
            client: None,
        });
        self.ask(Ask::Mail { slot: Slot(slot), sender, size: None, manner, helo, tls, once: None }).await
    }

    pub async fn submit(&mut self, slot: u32, recipients: &[&str], content: &[u8]) -> Answer {
        self.submit_with(slot, recipients, content, 1).await
    }

    pub async fn submit_with(&mut self, slot: u32, recipients: &[&str], content: &[u8], received: u32) -> Answer {
        let recipients = recipients.iter().map(|recipient| address(recipient).into()).collect();
        self.transact(slot, Manner::default(), recipients, content, received).await
    }

    /// MAIL to the dot; as an edge does it, within its credit.
    pub async fn transact(
        &mut self,
        slot: u32,
        manner: Manner,
        batch: Vec<Addressee>,
        content: &[u8],
        received: u32,
    ) -> Answer {
        let facts = Facts { authors: vec![address("a@example.net")], received, ..Facts::default() };
        self.transact_with(slot, manner, batch, content, facts).await
    }

    /// The same of one message of an HTTP client, which says that of it.
    pub async fn submit_labelled(&mut self, slot: u32, recipients: &[&str], label: Label) -> Answer {
        let batch = recipients.iter().map(|recipient| address(recipient).into()).collect();
        let reserved = self.mail(slot, "a@example.net").await;
        assert!(matches!(reserved, Answer::Reserved { .. }), "{reserved:?}");
        let slot = Slot(slot);
        self.asks.send(Ask::Label { slot, label: Box::new(label) }).await.unwrap();
        self.asks.send(Ask::Recipients { slot, batch }).await.unwrap();
        self.ask(Ask::Content { slot }).await;
        self.asks.send(Ask::Chunk { slot, octets: Octets(b"x\r\n".to_vec()) }).await.unwrap();
        let facts = Facts { authors: vec![address("a@example.net")], ..Facts::default() };
        self.ask(Ask::Commit { slot, facts }).await
    }

    /// The same with a header of one's own.
    pub async fn transact_with(
        &mut self,
        slot: u32,
        manner: Manner,
        batch: Vec<Addressee>,
        content: &[u8],
        facts: Facts,
    ) -> Answer {
        let reserved = self.mail_as(slot, "a@example.net", manner).await;
        let slot = Slot(slot);
        let Answer::Reserved { message, .. } = reserved else { return reserved };
        // As many as fit into a frame, however long they are.
        for some in batch.chunks(50) {
            self.asks.send(Ask::Recipients { slot, batch: some.to_vec() }).await.unwrap();
        }
        let Answer::Credit { octets: mut credit, .. } = self.ask(Ask::Content { slot }).await else {
            panic!("no credit")
        };
        for chunk in content.chunks(10_000) {
            while (credit as usize) < chunk.len() {
                let Answer::Credit { octets, .. } = self.answer().await else { panic!("no credit") };
                credit += octets;
            }
            credit -= chunk.len() as u32;
            self.asks.send(Ask::Chunk { slot, octets: Octets(chunk.to_vec()) }).await.unwrap();
        }
        self.asks.send(Ask::Commit { slot, facts }).await.unwrap();
        loop {
            match self.answer().await {
                Answer::Credit { .. } => {}
                Answer::Kept { slot, message: kept, suppressed } => {
                    assert_eq!(kept, message);
                    return Answer::Kept { slot, message, suppressed };
                }
                other => return other,
            }
        }
    }
}
