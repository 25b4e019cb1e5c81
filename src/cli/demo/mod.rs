//! `gatepost demo`: the main job end to end, with all the real processes, in a temporary folder.
//!
//! It plays three people: the operator who starts the service and adds a credential, the application that sends one
//! message by SMTP and one by HTTP, and the upstream that takes them. Then it reads and proves the audit log. Every step
//! is a real command or a real connection; a step that fails ends the tour with a non-zero exit code.

mod client;
mod screen;
mod stage;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::fail;
use super::interrupt::Interrupt;
use crate::sink::Received;
use client::Client;
use screen::Screen;
use stage::Stage;

/// How long a message may take from the client to the sink.
const DELIVERY: Duration = Duration::from_secs(20);
/// The credential's name, and the sender and recipient of the demonstration. RFC 2606 keeps these names free.
const CREDENTIAL: &str = "demo";
const SENDER: &str = "printer@example.net";
const RECIPIENT: &str = "accounts@example.org";

#[derive(Debug, Args)]
pub struct Demo {
    /// End after the tour instead of staying until Ctrl-C
    #[arg(long)]
    once: bool,
}

impl Demo {
    pub fn run(&self) -> ExitCode {
        let screen = Screen::new();
        match self.tour(&screen) {
            Ok(()) => ExitCode::SUCCESS,
            Err(reason) => fail(&format!("demo: {reason}")),
        }
    }

    fn tour(&self, screen: &Screen) -> Result<(), String> {
        let interrupt = Interrupt::catch()?;
        screen.step("Setting the stage: a folder, a self-signed certificate, a configuration, a sink as upstream");
        let mut stage = Stage::set()?;
        screen.detail(&format!("folder         {}", stage.folder.display()));
        screen.detail(&format!("SMTP listener  127.0.0.1:{}  (STARTTLS, AUTH)", stage.smtp));
        screen.detail(&format!("HTTP listener  127.0.0.1:{}", stage.http));
        screen.detail(&format!("sink           127.0.0.1:{}", stage.sink_port));

        let step = |text| {
            screen.step(text);
            if interrupt.came() { Err("interrupted") } else { Ok(()) }
        };
        step("Starting the service: gatepost serve --config FOLDER/gatepost.toml")?;
        stage.start_service()?;
        for line in stage.processes()? {
            screen.detail(&line);
        }

        step("Adding a credential: gatepost credential add demo --sender @example.net")?;
        let secret = stage.add_credential(CREDENTIAL)?;
        screen.detail("its secret is shown once; only an argon2id hash of it is kept");

        step("An application sends by SMTP: STARTTLS, AUTH PLAIN, MAIL, RCPT, DATA")?;
        let mut client = Client::new(&stage.certificate, screen)?;
        client.send_by_smtp(stage.smtp, CREDENTIAL, &secret)?;
        show(screen, &stage.sink.next(DELIVERY).ok_or("the SMTP message did not reach the sink: see the log above")?);

        step("Another sends by HTTP: POST /v1/send with a bearer key")?;
        client.send_by_http(stage.http, &secret)?;
        show(screen, &stage.sink.next(DELIVERY).ok_or("the HTTP message did not reach the sink: see the log above")?);

        step("A stranger is refused: no login, no mail")?;
        client.fail_by_smtp(stage.smtp)?;

        step("The audit trail: gatepost audit query")?;
        for line in stage.command(&["audit", "query"])?.lines() {
            screen.detail(line);
        }

        step("The proof: gatepost audit verify")?;
        for line in stage.command(&["audit", "verify"])?.lines() {
            screen.detail(line);
        }

        if self.once {
            stage.stop_service()?;
            screen.done("The tour is over; everything worked and the folder is removed.");
            return Ok(());
        }
        screen.step("Try it yourself (the certificate is self-signed, so both are told not to check it)");
        screen.paste(&format!(
            "swaks --server 127.0.0.1:{} --tls --auth PLAIN --auth-user {CREDENTIAL} --auth-password {secret} \
             --from {SENDER} --to {RECIPIENT}",
            stage.smtp
        ));
        screen.paste(&format!(
            "curl -s http://127.0.0.1:{}/v1/send -H 'Authorization: Bearer {secret}' -H 'Content-Type: application/json' \
             -d '{{\"from\":\"{SENDER}\",\"to\":\"{RECIPIENT}\",\"subject\":\"Hello\",\"text\":\"By curl.\"}}'",
            stage.http
        ));
        screen.done("The service stays until Ctrl-C; what the sink receives is shown here.");
        stage.stay(&interrupt, |received| show(screen, received))?;
        stage.stop_service()
    }
}

/// The message as the upstream got it: the envelope, and the content with its header as Gatepost left it.
fn show(screen: &Screen, received: &Received) {
    screen.detail(&format!(
        "the sink got it: MAIL FROM:<{}> RCPT TO:<{}>",
        received.sender,
        received.recipients.join(">, <")
    ));
    for line in String::from_utf8_lossy(&received.content).lines() {
        screen.quote(line);
    }
}
