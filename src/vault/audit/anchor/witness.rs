//! Asking a witness through its courier, and what its answer means. Only what its key has signed is believed.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::task::spawn_local;
use tokio::time::timeout;

use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::sealing::Hash;
use crate::ipc::witnessing::{Answer, Ask, Reply};
use crate::merkle::cosignature::{Cosigner, Said};
use crate::role::{Generation, Instance};
use crate::vault::Vault;
use crate::vault::audit::ledger::{Note, now_us};
use crate::vault::store::anchors::Anchored;

pub type Channel = (Sender<Ask>, Receiver<Reply>);

/// A dial, a handshake and an exchange, each with its own bound in dialer and courier, and something for the way.
const PATIENCE: Duration = Duration::from_secs(90);
/// Statuses with a meaning: C2SP tlog-witness, add-checkpoint.
const STRANGE_KEY: u16 = 403;
const STRANGE_LOG: u16 = 404;
const NO_EXTENSION: u16 = 422;

/// The courier of a witness.
#[derive(Clone)]
pub struct Line {
    pub generation: Generation,
    pub instance: Instance,
    questions: mpsc::Sender<(Question, oneshot::Sender<Answer>)>,
    patience: Duration,
}

/// What `Ask::Cosign` asks.
struct Question {
    old: u64,
    proof: Vec<Hash>,
    note: String,
}

impl Line {
    pub fn open(generation: Generation, instance: Instance, (asks, mut answers): Channel) -> Self {
        let (questions, mut asked) = mpsc::channel::<(Question, oneshot::Sender<Answer>)>(1);
        spawn_local(async move {
            let (mut number, mut waiting) = (0, None::<oneshot::Sender<Answer>>);
            loop {
                let reply = tokio::select! {
                    question = asked.recv() => {
                        let Some((Question { old, proof, note }, answer)) = question else { return };
                        // Whoever asked before has given up.
                        (number, waiting) = (number + 1, Some(answer));
                        if asks.send(Ask::Cosign { question: number, old, proof, note }).await.is_err() {
                            return;
                        }
                        continue;
                    }
                    reply = answers.receive() => match reply {
                        Ok(Some(reply)) => reply,
                        Ok(None) => return,
                        Err(_) => {
                            tracing::error!("the courier of a witness said what can't be read; its channel was ended");
                            return;
                        }
                    }
                };
                match waiting.take_if(|_| reply.question == number) {
                    Some(answer) => drop(answer.send(reply.answer)),
                    None if reply.question <= number => {}
                    None => {
                        tracing::error!("the courier of a witness said something unasked; its channel was ended");
                        return;
                    }
                }
            }
        });
        Self { generation, instance, questions, patience: PATIENCE }
    }

    pub fn is_gone(&self) -> bool {
        self.questions.is_closed()
    }

    /// None when there is no answer in time: whatever the courier does, this ends.
    async fn ask(&self, question: Question) -> Option<Answer> {
        let (answer, answered) = oneshot::channel();
        let asked = async {
            self.questions.send((question, answer)).await.ok()?;
            answered.await.ok()
        };
        timeout(self.patience, asked).await.ok()?
    }
}

/// What an attempt came to.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    Kept(Anchored),
    Failed(String),
    /// It holds a head of `holds` leaves that the log of `size` leaves does not extend.
    Contradicted {
        holds: u64,
        size: u64,
        reason: &'static str,
        said: String,
    },
}

/// Shows the newest signed head to a witness that was last seen to hold the one of `known` leaves.
pub async fn attempt(vault: &Vault, name: &str, key: &str, known: u64, line: &Line) -> Attempt {
    let key: Cosigner = match key.parse() {
        Ok(key) => key,
        Err(error) => return Attempt::Failed(error),
    };
    let Ok(note) = vault.writer.run(|store| store.anchors.note()).await else {
        return Attempt::Failed("the store gives no signed head now".into());
    };
    let Some(note) = note else { return Attempt::Failed("no head is signed yet".into()) };
    let (size, mut old) = (note.size, known.min(note.size));
    // A second time when it holds another one than we thought.
    for last in [false, true] {
        let proof = vault.writer.run(move |store| store.ledger.consistency(old, size)).await;
        let proof = match proof {
            Ok(Some(proof)) => proof,
            Ok(None) => {
                return Attempt::Failed(format!(
                    "it holds {old} events, and the hashes that show what follows them are gone (retain_hashes): agree with its \
                     operator, or take it under another name"
                ));
            }
            Err(_) => return Attempt::Failed("the store gives no proof now".into()),
        };
        let answer = line.ask(Question { old, proof, note: note.note.clone() }).await;
        match judge(name, &key, &note, old, answer) {
            Judgement::Again(holds) if !last => old = holds,
            Judgement::Again(holds) => {
                return Attempt::Failed(format!("it holds {holds} events, then says it does not: try again"));
            }
            Judgement::Done(attempt) => return attempt,
        }
    }
    Attempt::Failed("it changes its mind".into())
}

enum Judgement {
    Done(Attempt),
    /// With a proof from that size.
    Again(u64),
}

fn judge(name: &str, key: &Cosigner, note: &Note, old: u64, answer: Option<Answer>) -> Judgement {
    let size = note.size;
    let failed = |reason: String| Judgement::Done(Attempt::Failed(reason));
    match answer {
        Some(Answer::Cosigned { lines }) => {
            let text = note.note.rfind("\n\n").and_then(|at| note.note.get(..=at)).unwrap_or_default();
            let mut ours = lines.lines().map(|line| (line, key.judge(text, line)));
            match ours.find(|(_, said)| *said != Said::Strange) {
                Some((line, Said::Seen(_))) => Judgement::Done(Attempt::Kept(Anchored {
                    name: name.to_owned(),
                    size,
                    time_us: now_us(),
                    proof: Some(line.to_owned()),
                })),
                Some(_) => failed("its cosignature does not verify".into()),
                None => failed(
                    "it gave no cosignature of the configured key: is it another witness, or has it a new key?".into(),
                ),
            }
        }
        Some(Answer::Holds { size: holds }) if holds > size => Judgement::Done(Attempt::Contradicted {
            holds,
            size,
            reason: "rollback",
            said: format!("it holds {holds} events of this log, which has {size}: this machine was set back"),
        }),
        Some(Answer::Holds { size: holds }) if holds == old => {
            failed(format!("it says that it holds {holds} events when it was asked from there on"))
        }
        Some(Answer::Holds { size: holds }) => Judgement::Again(holds),
        Some(Answer::Refused { status: NO_EXTENSION, said }) if old > 0 => Judgement::Done(Attempt::Contradicted {
            holds: old,
            size,
            reason: "fork",
            said: format!("the {old} events it holds are not the first of the {size} here ({said})"),
        }),
        Some(Answer::Refused { status: STRANGE_LOG, said }) => {
            failed(format!("it does not know this log ({said}): give its operator the content of log.vkey"))
        }
        Some(Answer::Refused { status: STRANGE_KEY, said }) => {
            failed(format!("it knows this log by another key ({said}): give its operator the content of log.vkey"))
        }
        Some(Answer::Refused { status, said }) => failed(format!("it answered {status} ({said})")),
        Some(Answer::Failed { reason }) => failed(reason),
        None => failed("its courier gave no answer".into()),
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    use super::*;
    use crate::ipc::channel;
    use crate::merkle::note::{SIGNATURE, key_id, write_vkey};

    const NAME: &str = "witness.test/w1";
    const TEXT: &str = "gate.example.net/audit\n20\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn pair() -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap()
    }

    fn public() -> [u8; 32] {
        pair().public_key().as_ref().try_into().unwrap()
    }

    fn line(text: &str) -> String {
        let signature = pair().sign(format!("cosignature/v1\ntime 7\n{text}").as_bytes());
        let octets = [&key_id(NAME, 4, &public())[..], &7u64.to_be_bytes(), signature.as_ref()].concat();
        format!("{SIGNATURE}{NAME} {}", STANDARD.encode(octets))
    }

    /// What an answer to a note of 20 leaves means, when it was asked from 12 on.
    fn said(answer: Option<Answer>) -> Judgement {
        let note = Note { size: 20, time_us: 1, root: [0; 32], note: format!("{TEXT}\n{SIGNATURE}the log's own\n") };
        let key = write_vkey(NAME, 4, &public()).parse().unwrap();
        judge("w1", &key, &note, 12, answer)
    }

    fn failed(answer: Option<Answer>, why: &str) {
        let Judgement::Done(Attempt::Failed(reason)) = said(answer) else { panic!("not failed: {why}") };
        assert!(reason.contains(why), "{reason}");
    }

    #[test]
    fn only_a_cosignature_of_the_configured_key_over_this_very_head_counts() {
        let cosigned = |lines: String| Some(Answer::Cosigned { lines });
        let other = "\u{2014} another.test/w9 AAAAAAAA\n";
        let Judgement::Done(Attempt::Kept(kept)) = said(cosigned(format!("{other}{}\n", line(TEXT)))) else {
            panic!("not kept")
        };
        assert_eq!((kept.size, kept.proof), (20, Some(line(TEXT))));
        failed(cosigned(line(&TEXT.replace("20", "21"))), "does not verify");
        failed(cosigned(other.to_owned()), "no cosignature of the configured key");
        failed(cosigned(String::new()), "no cosignature of the configured key");
        failed(cosigned("garbage\n\0".into()), "no cosignature of the configured key");
    }

    #[test]
    fn a_courier_that_gives_no_answer_costs_that_attempt_and_no_other() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
            let sealed = crate::sandbox::Sealed::for_tests();
            let line = Line::open(Generation(1), Instance(1), channel::open(near.into(), &sealed).unwrap());
            let line = Line { patience: Duration::from_millis(50), ..line };
            let (replies, mut asks) = channel::open::<Reply, Ask>(far.into(), &sealed).unwrap();
            let question = || Question { old: 0, proof: Vec::new(), note: "note".into() };
            for _ in 0..3 {
                assert_eq!(line.ask(question()).await, None);
            }
            let late = |number: u64| Reply { question: number, answer: Answer::Failed { reason: "late".into() } };
            for number in 1..=3 {
                assert!(asks.receive().await.unwrap().is_some());
                replies.send(late(number)).await.unwrap();
            }
            let line = Line { patience: Duration::from_secs(20), ..line };
            let right = async {
                let Some(Ask::Cosign { question, .. }) = asks.receive().await.unwrap() else { panic!("gone") };
                replies.send(late(3)).await.unwrap();
                replies.send(Reply { question, answer: Answer::Holds { size: 7 } }).await.unwrap();
            };
            let (answer, ()) = tokio::join!(line.ask(question()), right);
            assert_eq!(answer, Some(Answer::Holds { size: 7 }));
            assert!(!line.is_gone());
            replies.send(late(99)).await.unwrap();
            line.questions.closed().await;
        });
    }

    #[test]
    fn a_witness_that_holds_more_or_another_history_is_an_alarm_and_nothing_else_is() {
        let refused = |status| Some(Answer::Refused { status, said: "words".into() });
        let alarm = |answer| match said(answer) {
            Judgement::Done(Attempt::Contradicted { holds, size, reason, .. }) => (holds, size, reason),
            _ => panic!("no alarm"),
        };
        assert_eq!(alarm(Some(Answer::Holds { size: 21 })), (21, 20, "rollback"));
        assert_eq!(alarm(refused(NO_EXTENSION)), (12, 20, "fork"));
        for holds in [0, 11, 13, 20] {
            assert!(matches!(said(Some(Answer::Holds { size: holds })), Judgement::Again(size) if size == holds));
        }
        failed(Some(Answer::Holds { size: 12 }), "says that it holds 12");
        failed(refused(STRANGE_LOG), "log.vkey");
        failed(refused(STRANGE_KEY), "log.vkey");
        failed(refused(503), "503");
        failed(Some(Answer::Failed { reason: "away".into() }), "away");
        failed(None, "no answer");
    }
}
