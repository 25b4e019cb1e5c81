//! Content within DATA, its end, and the answer to that (which is the same for chunks).

use super::turns::Aside;
use super::verdicts::speaks_of_the_session;
use super::{Attempt, BLOCK, Transaction};
use crate::courier::parcel::Withdrawn;
use crate::courier::smtp::reply::cut;
use crate::courier::smtp::stuffing::{Stuffing, Unfit};
use crate::mail::outcome::{Outcome, Said, UNANSWERED};

impl Transaction<'_> {
    /// Sends the content and its end, and reads what became of it. What the upstream says meanwhile is heard before each piece.
    pub(super) async fn content(mut self) -> Attempt {
        // While the content goes out, the vault writes down who gets it.
        let suspects = self.suspects();
        self.parcel.content.ending(suspects.clone()).await;
        let mut stuffing = Stuffing::new(self.session.offers.eight_bit);
        let mut out = Vec::with_capacity(BLOCK);
        loop {
            match self.parcel.content.next().await {
                Ok(Some(octets)) => {
                    if let Err(unfit) = stuffing.push(&octets.0, &mut out) {
                        return self.unfit(unfit, false);
                    }
                }
                Ok(None) => break,
                Err(Withdrawn) => return Attempt::Withdrawn,
            }
            if out.len() >= BLOCK {
                if let Err(aside) = self.listen().await {
                    return self.cut_short(aside).await;
                }
                if let Err(aside) = self.piece(&out).await {
                    return self.cut_short(aside).await;
                }
                out.clear();
            }
        }
        if let Err(unfit) = stuffing.finish(&mut out) {
            return self.unfit(unfit, false);
        }
        if !self.parcel.content.may_end(suspects).await {
            return Attempt::Withdrawn;
        }
        // Nothing is waited for between this and the dot.
        if let Err(aside) = self.listen().await {
            return self.cut_short(aside).await;
        }
        // The dot is the last thing written: when this fails, it was not sent.
        if let Err(aside) = self.piece(&out).await {
            return self.cut_short(aside).await;
        }
        self.ended(true).await
    }

    /// Writes a piece.
    async fn piece(&mut self, octets: &[u8]) -> Result<(), Aside> {
        let Err(broken) = self.session.wire.say(octets, self.patience.block).await else { return Ok(()) };
        // Some refuse and close at once: then it is what they said that counts.
        self.listen().await?;
        Err(Aside::Leaving(broken.to_string()))
    }

    /// Something was said before the dot, which is not sent any more. A refusal is one of the message; what else it may be is no
    /// answer to what wasn't whole.
    async fn cut_short(mut self, aside: Aside) -> Attempt {
        match aside {
            Aside::Leaving(why) => self.route("content", &why, false),
            Aside::Said(reply) if speaks_of_the_session(&reply) => self.route("content", &reply.to_string(), false),
            Aside::Said(reply) if reply.is_temporary() || reply.is_permanent() => self.settle_by(&reply, false).await,
            aside => self.out_of_step("content", aside, false),
        }
    }

    /// The answer to the dot, or to the last chunk. `is_matched`: a 354 was among the replies, which none but DATA has, so that
    /// those to the envelope were all read.
    pub(super) async fn ended(mut self, is_matched: bool) -> Attempt {
        // What is sent is not given up because it took long to send.
        self.session.wire.until(None);
        match self.session.wire.reply(self.patience.dot).await {
            // Of a chunk, 503 may be about chunks.
            Ok(reply) if speaks_of_the_session(&reply) && (is_matched || reply.code != 503) => {
                self.route("dot", &reply.to_string(), false)
            }
            Ok(reply) if reply.is_positive() => {
                let aside = if is_matched { self.listen().await } else { self.recount().await };
                // One of them was to something before it: nobody knows which.
                if let Err(Aside::Said(second)) = &aside
                    && !second.is_positive()
                {
                    return self.unknown(&format!("it gave two, {reply} and {second}"));
                }
                let outcome = Outcome::Delivered(self.said(&reply));
                self.settle(&outcome);
                self.finish(aside.is_ok(), false)
            }
            Ok(reply) if reply.is_temporary() || reply.is_permanent() => {
                let aside = self.listen().await;
                if let Err(Aside::Said(second)) = &aside
                    && second.is_positive()
                {
                    return self.unknown(&format!("it gave two, {reply} and {second}"));
                }
                if !is_matched && self.shuns_chunks(&reply) {
                    return self.route("BDAT", &reply.to_string(), false);
                }
                self.settle_by(&reply, aside.is_ok()).await
            }
            Ok(reply) => self.unknown(&reply.to_string()),
            Err(broken) => self.unknown(&broken.to_string()),
        }
    }

    fn unknown(mut self, why: &str) -> Attempt {
        let text = cut(format!("{UNANSWERED}: {why}"));
        let outcome = Outcome::Unknown(Said { text, ..self.ours("4.4.2", "") });
        self.settle(&outcome);
        self.finish(false, false)
    }

    /// Content that must not go out. Within DATA the session ends in the middle of it, without the dot.
    pub(super) fn unfit(mut self, unfit: Unfit, reusable: bool) -> Attempt {
        let outcome = Outcome::Unsendable(match unfit {
            Unfit::StrayLineEnd => self.ours("5.5.2", "the message has a CR or LF that ends no line; it was not sent"),
            Unfit::EightBit => self.ours(
                "5.6.3",
                "the message has 8-bit content and the upstream does not offer 8BITMIME; it was not sent",
            ),
        });
        tracing::warn!(message = %self.parcel.message, ?unfit, reusable, "content that must not be sent");
        self.settle(&outcome);
        match unfit {
            // Whoever waits for an answer has sent it to this host alone.
            Unfit::EightBit if !self.is_live => self.lacking(reusable),
            _ => self.finish(reusable, false),
        }
    }
}
