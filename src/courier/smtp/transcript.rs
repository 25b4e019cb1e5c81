//! What is said and heard in a session that an administrator looks on: line by line, without what a login is made of.

use std::fmt::Write as _;

use tokio::sync::mpsc::UnboundedSender;

use super::reply::Reply;
use crate::courier::secrets::{HIDDEN, Secrets};
use crate::ipc::delivery::{Line, MAX_LINE, Who};

#[derive(Debug)]
pub struct Transcript {
    lines: UnboundedSender<Line>,
    /// Between AUTH and the reply that ends the exchange every line is a part of the proof.
    in_login: bool,
    secrets: Secrets,
}

impl Transcript {
    pub fn new(lines: UnboundedSender<Line>, secrets: Secrets) -> Self {
        Self { lines, in_login: false, secrets }
    }

    /// Hides these from now on, instead of those before.
    pub fn conceal(&mut self, secrets: Secrets) {
        self.secrets = secrets;
    }

    /// What happened, in our words, which may quote the upstream's.
    pub fn note(&self, text: &str) {
        self.add(Who::Note, text);
    }

    /// One command line of ours, or one answer within an exchange.
    pub fn said(&mut self, octets: &[u8]) {
        let line = String::from_utf8_lossy(octets);
        let line = line.trim_end_matches(['\r', '\n']);
        if self.in_login {
            return self.add(Who::Gate, HIDDEN);
        }
        match line.strip_prefix("AUTH ").map(|rest| rest.split_once(' ')) {
            Some(response) => {
                self.in_login = true;
                match response {
                    Some((mechanism, _)) => self.add(Who::Gate, &format!("AUTH {mechanism} {HIDDEN}")),
                    None => self.add(Who::Gate, line),
                }
            }
            None => self.add(Who::Gate, line),
        }
    }

    pub fn heard(&mut self, reply: &Reply) {
        if self.in_login && reply.code == 334 {
            return self.add(Who::Upstream, &format!("334 {HIDDEN}"));
        }
        self.in_login = false;
        let last = reply.lines.len().saturating_sub(1);
        for (at, text) in reply.lines.iter().enumerate() {
            let mut line = reply.code.to_string();
            // Writing to a String can't fail.
            let _ = write!(line, "{}{text}", if at == last { ' ' } else { '-' });
            self.add(Who::Upstream, &line);
        }
    }

    /// A line of ours that nothing is to be hidden in.
    pub fn show(&self, line: Line) {
        // Who looked on may be gone; the session ends by itself.
        let _ = self.lines.send(line);
    }

    fn add(&self, who: Who, text: &str) {
        let text = self.secrets.hide(text).chars().take(MAX_LINE).collect();
        self.show(Line { who, text, shown: None });
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::config::slice::Auth;
    use crate::courier::smtp::Credential;
    use crate::secret::Secret;

    fn secrets() -> Secrets {
        Credential::new("gate".into(), Secret::new("sesame".into()), Auth::Auto).secrets()
    }

    fn reply(code: u16, text: &str) -> Reply {
        Reply { code, lines: text.split('\n').map(str::to_owned).collect() }
    }

    #[test]
    fn a_login_is_shown_without_what_it_is_made_of() {
        let (lines, mut shown) = unbounded_channel();
        let mut transcript = Transcript::new(lines, secrets());
        transcript.said(b"AUTH PLAIN AGdhdGUAc2VzYW1l\r\n");
        transcript.heard(&reply(535, "no: AGdhdGUAc2VzYW1l\nnor sesame"));
        transcript.said(b"AUTH LOGIN\r\n");
        transcript.heard(&reply(334, "VXNlcm5hbWU6"));
        transcript.said(b"Z2F0ZQ==\r\n");
        transcript.heard(&reply(334, "UGFzc3dvcmQ6"));
        transcript.said(b"c2VzYW1l\r\n");
        transcript.heard(&reply(235, "welcome"));
        transcript.said(b"MAIL FROM:<>\r\n");
        let mut texts = Vec::new();
        while let Ok(line) = shown.try_recv() {
            texts.push(line.text);
        }
        assert_eq!(
            texts,
            [
                "AUTH PLAIN [hidden]",
                "535-no: [hidden]",
                "535 nor [hidden]",
                "AUTH LOGIN",
                "334 [hidden]",
                "[hidden]",
                "334 [hidden]",
                "[hidden]",
                "235 welcome",
                "MAIL FROM:<>",
            ]
        );
    }

    #[test]
    fn a_long_line_is_cut() {
        let (lines, mut shown) = unbounded_channel();
        Transcript::new(lines, Secrets::default()).note(&"x".repeat(5 * MAX_LINE));
        assert_eq!(shown.try_recv().unwrap().text.len(), MAX_LINE);
    }
}
