//! The way to the courier that asks Turnstile: questions out, and what it heard back to whoever waits, whatever the courier does.

use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::{Line, Question};
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::control::Peer;
use crate::ipc::turnstile::{Answer, Ask, Reply, cut};
use crate::vault::Vault;
use crate::vault::edge::Parting;
use crate::vault::shares::Share;

/// Longer than a courier gives itself for one, and than anybody waits for it.
const PATIENCE: Duration = Duration::from_secs(15);
/// So many in a row without an answer are not Turnstile's doing: a courier answers for what is slow.
const HUNG: u32 = 2;
/// When nothing is under way.
const IDLE: Duration = Duration::from_secs(3600);

/// Who waits for an answer, what that counts as, and until when it is to come.
type Asked = (oneshot::Sender<Answer>, Vec<Share>, Instant);

/// Until the courier is gone. One that says what it may not, or nothing, is replaced.
pub async fn serve(vault: Rc<Vault>, peer: Peer, asks: Sender<Ask>, mut answers: Receiver<Reply>) -> Parting {
    let (questions, mut asked) = unbounded_channel();
    vault.turnstile.join(Line { generation: peer.generation, instance: peer.instance, questions });
    let (mut waiting, mut last, mut unanswered) = (HashMap::<u64, Asked>::new(), 0_u64, 0);
    let parting = loop {
        let until = waiting.values().map(|(.., until)| *until).min().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            Some(Question { token, address, told, places }) = asked.recv() => {
                last += 1;
                waiting.insert(last, (told, places, Instant::now() + PATIENCE));
                if asks.send(Ask::Verify { ticket: last, token, address }).await.is_err() {
                    break Parting::Gone;
                }
            }
            reply = answers.receive() => match reply {
                Ok(Some(Reply { ticket, answer })) => match waiting.remove(&ticket) {
                    Some((told, ..)) => {
                        unanswered = 0;
                        // Whoever asked may be gone.
                        let _ = told.send(bounded(answer));
                    }
                    // Of one that was given up.
                    None if ticket <= last && ticket > 0 => {}
                    None => {
                        tracing::error!("the courier of Turnstile said something unasked; it is replaced");
                        break Parting::LetGo;
                    }
                },
                Ok(None) => break Parting::Gone,
                Err(error) => {
                    tracing::error!(%error, "the courier of Turnstile said what can't be read; it is replaced");
                    break Parting::LetGo;
                }
            },
            () = sleep_until(until) => {
                let now = Instant::now();
                let late = waiting.extract_if(|_, (.., until)| *until <= now).count();
                unanswered += u32::try_from(late).unwrap_or(u32::MAX);
                if unanswered >= HUNG {
                    tracing::error!("the courier of Turnstile gives no answers: it is replaced");
                    break Parting::LetGo;
                }
            }
        }
    };
    // Who waits learns of it by the end of what it waits at.
    vault.turnstile.leave(peer.instance);
    parting
}

/// The courier has read what a stranger said: its words are cut here again.
fn bounded(answer: Answer) -> Answer {
    match answer {
        Answer::Solved { hostname, action } => Answer::Solved { hostname: cut(&hostname), action: cut(&action) },
        Answer::Refused { codes } => Answer::Refused { codes: cut(&codes) },
        Answer::Unknown { codes } => Answer::Unknown { codes: cut(&codes) },
        Answer::Failed { reason } => Answer::Failed { reason: cut(&reason) },
    }
}
