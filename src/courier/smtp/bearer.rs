//! AUTH XOAUTH2 (as Google describes it) and OAUTHBEARER (RFC 7628): by a token that was asked for.
//!
//! What the upstream refuses is shown once more with a token that is asked for anew, and then it is refused.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::Patience;
use super::login::{begin, refused, respond, welcomed};
use super::offers::Mechanisms;
use super::session::{Refused, Session};
use crate::config::slice;
use crate::courier::dial::Dialer;
use crate::courier::secrets::Secrets;
use crate::courier::tokens::{self, Token, Tokens};

/// Of why a token is refused, this many characters are told.
const MAX_WHY: usize = 200;

/// What an upstream knows us by.
pub struct Bearer {
    username: String,
    mechanism: slice::Bearer,
    pub tokens: Tokens,
}

impl From<tokens::Failed> for Refused {
    fn from(failed: tokens::Failed) -> Self {
        let tokens::Failed { reason, is_login, rest } = failed;
        Self { reason, is_login, rest }.within("token")
    }
}

impl Bearer {
    pub fn new(username: String, mechanism: slice::Bearer, tokens: Tokens) -> Self {
        Self { username, mechanism, tokens }
    }

    /// What an upstream could say back of a login.
    pub fn secrets(&self) -> Secrets {
        let recent = self.tokens.recent();
        recent.iter().fold(self.tokens.secrets(), |secrets, token| secrets.and(&self.response(token)))
    }

    const fn name(&self) -> &'static str {
        match self.mechanism {
            slice::Bearer::Xoauth2 => "XOAUTH2",
            slice::Bearer::Oauthbearer => "OAUTHBEARER",
        }
    }

    const fn is_offered(&self, offered: Mechanisms) -> bool {
        match self.mechanism {
            slice::Bearer::Xoauth2 => offered.xoauth2,
            slice::Bearer::Oauthbearer => offered.oauthbearer,
        }
    }

    /// What is said with this token.
    fn response(&self, token: &Token) -> Zeroizing<String> {
        let (user, token) = (self.username.as_str(), token.expose());
        let parts = match self.mechanism {
            slice::Bearer::Xoauth2 => ["user=".to_owned(), user.to_owned(), "\x01auth=Bearer ".to_owned()],
            slice::Bearer::Oauthbearer => {
                // RFC 5801 section 4.
                let user = user.replace('=', "=3D").replace(',', "=2C");
                ["n,a=".to_owned(), user, ",\x01auth=Bearer ".to_owned()]
            }
        };
        let before = parts.concat();
        // It never grows, and so leaves no copy behind.
        let mut response = Zeroizing::new(String::with_capacity(before.len() + token.len() + 2));
        for part in [before.as_str(), token, "\x01\x01"] {
            response.push_str(part);
        }
        response
    }

    /// What ends the exchange, so that the upstream can say that it has failed.
    const fn acknowledgement(&self) -> &'static [u8] {
        match self.mechanism {
            slice::Bearer::Xoauth2 => b"",
            // RFC 7628 section 3.2.3.
            slice::Bearer::Oauthbearer => b"\x01",
        }
    }

    /// Logs in. Errors are the route's, and never repeat what was sent.
    pub async fn login(&self, session: &mut Session, dialer: &Dialer, patience: &Patience) -> Result<(), Refused> {
        if !self.is_offered(session.offers.mechanisms) {
            return Err(format!("AUTH: the upstream does not offer {}, which auth asks for", self.name()).into());
        }
        let token = self.tokens.token(dialer).await?;
        let first = match self.show(session, &token, patience).await {
            Err(refused) if refused.is_login => refused,
            shown => return shown,
        };
        tracing::info!(reason = first.reason, "the upstream refuses the token: another one is asked for");
        let another = self.tokens.another(dialer, &token).await?;
        match self.show(session, &another, patience).await {
            // Some end the session after the first refusal, and that was one.
            Err(second) if !second.is_login => Err(first),
            shown => shown,
        }
    }

    async fn show(&self, session: &mut Session, token: &Token, patience: &Patience) -> Result<(), Refused> {
        let shown = self.exchange(session, token, patience).await;
        shown.map_err(|refused| refused.within(&format!("AUTH {}", self.name())))
    }

    async fn exchange(&self, session: &mut Session, token: &Token, patience: &Patience) -> Result<(), Refused> {
        session.wire.conceal(self.secrets());
        let command = format!("AUTH {}", self.name());
        let reply = begin(session, command.as_bytes(), self.response(token).as_bytes(), patience).await?;
        if reply.code != 334 {
            return welcomed(&reply);
        }
        let why = self.why(reply.lines.first().map(String::as_str).unwrap_or_default());
        let reply = respond(session, self.acknowledgement(), patience).await?;
        if reply.code == 235 {
            return Ok(());
        }
        // It said that it is the token, whatever code it ends with; only one that is to be tried again is none.
        let is_login = (500..600).contains(&reply.code);
        let refused = refused(&reply);
        Err(Refused { reason: format!("{} {why}", refused.reason).trim_end().to_owned(), is_login, ..refused })
    }

    /// What a challenge gives as the reason: JSON in base64. It is a stranger's text.
    fn why(&self, challenge: &str) -> String {
        let octets = STANDARD.decode(challenge.trim()).unwrap_or_default();
        let text = self.secrets().hide(&String::from_utf8_lossy(&octets));
        text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_WHY).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::slice::Grant;

    fn bearer(username: &str, mechanism: slice::Bearer) -> Bearer {
        let slice = tokens::endpoint(mechanism, Grant::ClientCredentials);
        let settings = tokens::Settings { slice, connector: None, client_secret: None, refresh_token: None };
        Bearer::new(username.into(), mechanism, Tokens::new(settings))
    }

    #[test]
    fn a_token_is_said_as_google_and_the_rfc_show_it() {
        let token = Token::for_tests("ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg");
        let said = bearer("someuser@example.com", slice::Bearer::Xoauth2).response(&token);
        assert_eq!(
            STANDARD.encode(said.as_bytes()),
            "dXNlcj1zb21ldXNlckBleGFtcGxlLmNvbQFhdXRoPUJlYXJlciB5YTI5LnZGOWRmdDRxbVRjMk52YjNSbGNrQmhkSFJoZG1semRHRXVZMjl0Q2cBAQ=="
        );
        // RFC 7628 section 4.1, without host and port, which it need not have.
        let said = bearer("us=er,@example.com", slice::Bearer::Oauthbearer).response(&token);
        let expected =
            "n,a=us=3Der=2C@example.com,\x01auth=Bearer ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg\x01\x01";
        assert_eq!(said.as_str(), expected);
    }
}
