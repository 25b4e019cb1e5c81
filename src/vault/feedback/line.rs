//! The way to the courier of a webhook: events out, and what became of each back to the keeper, whatever the courier does.

use std::collections::HashMap;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;
use tokio::time::{Instant, sleep_until};

use super::Order;
use crate::ipc::channel::{Receiver, Sender};
use crate::ipc::feedback::{Answer, Ask, Reply};
use crate::role::{Generation, Instance};

pub type Channel = (Sender<Ask>, Receiver<Reply>);

/// Longer than a courier gives itself for one.
const PATIENCE: Duration = Duration::from_secs(90);
/// So many in a row without an answer are no receiver's doing: a courier answers for those that are slow.
const HUNG: u32 = 2;
/// When nothing is under way.
const IDLE: Duration = Duration::from_secs(3600);

/// The courier of a webhook.
pub struct Line {
    pub generation: Generation,
    pub instance: Instance,
    posts: UnboundedSender<Ask>,
}

impl Line {
    pub fn open(
        webhook: String,
        (generation, instance): (Generation, Instance),
        channel: Channel,
        orders: UnboundedSender<Order>,
    ) -> Self {
        let (posts, asked) = unbounded_channel();
        spawn_local(serve((webhook, generation, instance), channel, asked, orders));
        Self { generation, instance, posts }
    }

    pub fn is_gone(&self) -> bool {
        self.posts.is_closed()
    }

    /// An answer comes for each, if this is true.
    pub fn post(&self, ask: Ask) -> bool {
        self.posts.send(ask).is_ok()
    }
}

/// Until the courier is gone, or nobody posts any more and all is answered.
async fn serve(
    (webhook, generation, instance): (String, Generation, Instance),
    (asks, mut answers): Channel,
    mut asked: UnboundedReceiver<Ask>,
    orders: UnboundedSender<Order>,
) {
    let tell = |ticket: u64, answer: Option<Answer>| {
        // Without a keeper nobody wants it.
        let _ = orders.send(Order::Answered { webhook: webhook.clone(), generation, ticket, answer });
    };
    let unread = |ticket: u64| {
        let _ = orders.send(Order::Unread { webhook: webhook.clone(), ticket });
    };
    let accuse = |word| {
        let _ = orders.send(Order::Violated { webhook: webhook.clone(), instance, word });
    };
    let mut unanswered = 0;
    let (mut waiting, mut last, mut is_open, mut is_leaving) = (HashMap::<u64, Instant>::new(), 0, true, false);
    while is_open || !waiting.is_empty() {
        let until = waiting.values().min().copied().unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            ask = asked.recv(), if is_open => match ask {
                Some(ask) => {
                    let Ask::Post { ticket, .. } = &ask;
                    last = last.max(*ticket);
                    waiting.insert(*ticket, Instant::now() + PATIENCE);
                    if asks.send(ask).await.is_err() {
                        break;
                    }
                }
                None => is_open = false,
            },
            reply = answers.receive() => match reply {
                Ok(Some(reply)) if reply.is_leaving() => {
                    is_leaving = true;
                    asked.close();
                }
                Ok(Some(Reply { ticket, answer })) => match waiting.remove(&ticket) {
                    Some(_) => {
                        unanswered = 0;
                        tell(ticket, Some(answer));
                    }
                    // Of one that was given up.
                    None if ticket <= last => {}
                    None => {
                        accuse("answer-out-of-order");
                        break;
                    }
                },
                Ok(None) => break,
                Err(_) => {
                    accuse("malformed-frame");
                    break;
                }
            },
            () = sleep_until(until) => {
                let now = Instant::now();
                for (ticket, _) in waiting.extract_if(|_, until| *until <= now) {
                    unanswered += 1;
                    tell(ticket, Some(Answer::Failed { sent: true, reason: "its courier gave no answer".to_owned() }));
                }
                if unanswered >= HUNG {
                    let _ = orders.send(Order::Hung { webhook: webhook.clone(), instance });
                    break;
                }
            }
        }
    }
    asked.close();
    // What was posted before anybody knew.
    while let Ok(Ask::Post { ticket, .. }) = asked.try_recv() {
        unread(ticket);
    }
    waiting.into_keys().for_each(|ticket| if is_leaving { unread(ticket) } else { tell(ticket, None) });
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::ipc::channel::open;
    use crate::sandbox::Sealed;

    const MANY: u64 = 1000;

    #[test]
    fn rule_q13_a_courier_that_gives_no_answers_is_replaced() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            // One that is late now and then lives.
            for is_late in [false, true] {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
                let channel = open(ours.into(), &Sealed::for_tests()).unwrap();
                let (replies, _asks) = open::<Reply, Ask>(theirs.into(), &Sealed::for_tests()).unwrap();
                let (orders, mut heard) = unbounded_channel();
                let line = Line::open("app".into(), (Generation(1), Instance(7)), channel, orders);
                for ticket in 1..=3 {
                    if ticket == 2 && !is_late {
                        continue;
                    }
                    assert!(line.post(Ask::Post { ticket, id: "evt_1".into(), body: "{}".into() }));
                    sleep(Duration::from_secs(1)).await;
                    if ticket == 2 {
                        let answer = Answer::Status { code: 200, wait: None };
                        replies.send(Reply { ticket, answer }).await.unwrap();
                    }
                    sleep(PATIENCE).await;
                }
                let (mut failed, mut is_hung) = (0, false);
                while let Ok(order) = heard.try_recv() {
                    match order {
                        Order::Answered { answer: Some(Answer::Failed { .. }), .. } => failed += 1,
                        Order::Answered { answer: Some(Answer::Status { .. }), .. } => {}
                        Order::Hung { instance: Instance(7), .. } => is_hung = true,
                        _ => panic!("another order"),
                    }
                }
                assert_eq!((failed, is_hung, line.is_gone()), (2, !is_late, !is_late));
            }
        });
    }

    #[test]
    fn an_answer_comes_for_each_that_was_posted_while_its_courier_ended() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, async {
            let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
            let channel = open(ours.into(), &Sealed::for_tests()).unwrap();
            let (orders, mut answered) = unbounded_channel();
            let line = Line::open("app".into(), (Generation(1), Instance(1)), channel, orders);
            drop(theirs);
            // So many that it sees the end before it has taken all.
            for ticket in 1..=MANY {
                assert!(line.post(Ask::Post { ticket, id: "evt_1".into(), body: "{}".into() }));
            }
            let mut tickets = Vec::new();
            while let Some(order) = answered.recv().await {
                match order {
                    Order::Answered { ticket, answer: None, .. } | Order::Unread { ticket, .. } => tickets.push(ticket),
                    _ => panic!("another order"),
                }
            }
            tickets.sort_unstable();
            assert_eq!((tickets, line.is_gone()), ((1..=MANY).collect(), true));
        });
    }
}
