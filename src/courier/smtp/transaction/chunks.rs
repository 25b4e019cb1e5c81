//! Content in chunks (BDAT, RFC 3030), where they are offered: no dots are stuffed, and whatever ends before the last chunk is whole has
//! delivered nothing, so that a message can be given up and the session kept.

use super::turns::Aside;
use super::verdicts::speaks_of_the_session;
use super::{Attempt, BLOCK, Transaction};
use crate::courier::parcel::Withdrawn;
use crate::courier::smtp::reply::Reply;
use crate::courier::smtp::stuffing::Stuffing;

impl Transaction<'_> {
    /// Sends the content, each chunk with its command in one write, and reads what became of it.
    pub(super) async fn chunks(mut self) -> Attempt {
        let suspects = self.suspects();
        self.parcel.content.ending(suspects.clone()).await;
        let mut lines = Stuffing::none(self.session.offers.eight_bit);
        let mut out = Vec::with_capacity(BLOCK);
        // Chunks that are not answered yet: one at most, so that the upstream has something to do while we read on.
        let mut ahead = 0;
        loop {
            match self.parcel.content.next().await {
                Ok(Some(octets)) => {
                    if let Err(unfit) = lines.push(&octets.0, &mut out) {
                        let kept =
                            self.answers(ahead, 0).await.is_ok() && self.session.reset(&self.patience.brief()).await;
                        return self.unfit(unfit, kept);
                    }
                }
                Ok(None) => break,
                Err(Withdrawn) => return Attempt::Withdrawn,
            }
            if out.len() >= BLOCK {
                if ahead == 0
                    && let Err(ended) = self.in_turn("BDAT", false).await
                {
                    return ended;
                }
                let at_most = usize::from(self.session.offers.pipelining);
                ahead = match self.chunk(&out, "").await {
                    Ok(()) => match self.answers(ahead + 1, at_most).await {
                        Ok(ahead) => ahead,
                        Err(refused) => return self.refused(refused).await,
                    },
                    Err(broken) => return self.route("BDAT", &broken, false),
                };
                out.clear();
            }
        }
        // The last one goes out when all others were taken and nothing more was said: then its answer is the message's.
        if let Err(refused) = self.answers(ahead, 0).await {
            return self.refused(refused).await;
        }
        if let Err(unfit) = lines.end(&mut out) {
            let kept = self.session.reset(&self.patience.brief()).await;
            return self.unfit(unfit, kept);
        }
        if !self.parcel.content.may_end(suspects).await {
            return Attempt::Withdrawn;
        }
        if let Err(ended) = self.in_turn("BDAT", false).await {
            return ended;
        }
        // When this fails, not all of it was sent.
        if let Err(broken) = self.chunk(&out, " LAST").await {
            return self.route("BDAT", &broken, false);
        }
        self.ended(false).await
    }

    /// Finds out whether the answer to the last chunk was that. One too many in the envelope may have come so late that it was
    /// taken for it; then the true one is read here, if it comes soon, and RSET is never refused.
    pub(super) async fn recount(&mut self) -> Result<(), Aside> {
        self.listen().await?;
        if let Err(broken) = self.session.wire.say(b"RSET\r\n", self.patience.command).await {
            return Err(Aside::Leaving(broken.to_string()));
        }
        match self.session.wire.reply(self.patience.quit).await {
            Ok(reply) if reply.is_positive() => self.listen().await,
            Ok(reply) if reply.code == 421 => Err(Aside::Leaving(reply.to_string())),
            Ok(reply) => Err(Aside::Said(reply)),
            Err(broken) => Err(Aside::Leaving(broken.to_string())),
        }
    }

    async fn chunk(&mut self, octets: &[u8], last: &str) -> Result<(), String> {
        if last.is_empty() && octets.is_empty() {
            return Ok(());
        }
        let mut whole = format!("BDAT {}{last}\r\n", octets.len()).into_bytes();
        whole.extend_from_slice(octets);
        self.session.wire.say(&whole, self.patience.block).await.map_err(|broken| broken.to_string())
    }

    /// Reads answers to chunks until only so many are missing; gives that number.
    async fn answers(&mut self, mut ahead: usize, at_most: usize) -> Result<usize, Refused> {
        while ahead > at_most {
            match self.session.wire.reply(self.patience.block).await {
                Ok(reply) if reply.is_positive() => ahead -= 1,
                Ok(reply) if self.shuns_chunks(&reply) || !(reply.is_temporary() || reply.is_permanent()) => {
                    return Err(Refused::Session(reply.to_string()));
                }
                Ok(reply) => return Err(Refused::Message(reply)),
                Err(broken) => return Err(Refused::Session(broken.to_string())),
            }
        }
        Ok(ahead)
    }

    /// An answer to BDAT that is no verdict on the message: it is about the session, the login or the command itself. Who doesn't
    /// know the command although it is offered (what stands between may not) is sent DATA by the sessions that follow.
    pub(super) fn shuns_chunks(&mut self, reply: &Reply) -> bool {
        let is_of_the_command = matches!(reply.code, 500..=504);
        self.session.shuns_chunks |= matches!(reply.code, 500 | 502);
        is_of_the_command || reply.code == 454 || speaks_of_the_session(reply)
    }

    /// A chunk that was not taken. The session is not worth finding out what it makes of those behind it.
    async fn refused(self, refused: Refused) -> Attempt {
        match refused {
            Refused::Session(why) => self.route("BDAT", &why, false),
            Refused::Message(reply) => self.settle_by(&reply, false).await,
        }
    }
}

enum Refused {
    Session(String),
    Message(Reply),
}
