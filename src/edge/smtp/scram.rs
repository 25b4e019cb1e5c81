//! AUTH by SCRAM (RFC 5802 in the exchange of RFC 4954): messages go to and fro between the client and the vault, which alone has
//! the keys. Here it is only seen that the first can be read.

use tokio::io::{AsyncRead, AsyncWrite};
use zeroize::Zeroizing;

use super::auth::{self, Unfit};
use super::line::Said;
use super::login::Judged;
use super::reply::{self, Reply};
use super::session::Session;
use super::wire::{Stop, Wire};
use crate::edge::conversation::dialogue::Step;
use crate::policy::mechanism::Mechanism;
use crate::sasl::scram;
use crate::secret::Secret;

/// Answers of a client: its proof, and nothing to what proves us.
const ROUNDS: usize = 2;

impl Session {
    pub(super) async fn scram<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        wire: &mut Wire<S>,
        mechanism: Mechanism,
        initial: Option<Said>,
    ) -> Result<Judged, Stop> {
        let first = auth::response(wire, initial, self.deadline()).await?;
        self.visit.turn();
        let first = match first.and_then(readable) {
            Ok(first) => first,
            Err(unfit) => return self.judge(mechanism, Err(unfit)).await,
        };
        let (exported, tls) = (self.standing.exported, self.standing.tls.clone());
        let mut step = self.visit.begin(mechanism, message(first), exported, tls).await?;
        for _ in 0..ROUNDS {
            let challenge = match step {
                Step::Challenge(challenge) => challenge,
                Step::Over(judged) => return Ok(Ok(judged)),
            };
            let answer = auth::challenge(wire, &Reply::challenge(&challenge), self.deadline()).await?;
            self.visit.turn();
            match answer {
                Ok(answer) => step = self.visit.respond(message(answer)).await?,
                Err(unfit) => {
                    self.visit.break_off().await?;
                    return Ok(Err(unfit.guess().err().unwrap_or(reply::BAD_BASE64)));
                }
            }
        }
        match step {
            Step::Over(judged) => Ok(Ok(judged)),
            Step::Challenge(_) => {
                self.visit.break_off().await?;
                Ok(Err(reply::BAD_BASE64))
            }
        }
    }
}

/// A first message whose name is one that a credential could have.
fn readable(first: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, Unfit> {
    let read = scram::first(&first).ok_or(Unfit::Malformed(reply::BAD_BASE64))?;
    auth::named(&read.user)?;
    Ok(first)
}

fn message(octets: Zeroizing<Vec<u8>>) -> Secret<Vec<u8>> {
    Secret::new(octets.to_vec())
}
