//! An upstream that says more than it was asked: replies are matched by their count, so nothing may be taken for the answer to
//! the message that was there before it was whole.

use std::io::{BufRead, BufReader};

use super::*;

/// What it offers, and what it says where instead of the usual: at a command's verb, `content` within DATA (behind its first
/// octets), or `dot` for the end of either form.
#[derive(Clone, Copy, Default)]
struct Script {
    offers: &'static [&'static str],
    says: Says,
}

type Says = &'static [(&'static str, &'static str)];

/// The commands that it has heard, over all connections; the end of content in DATA is a `.`.
type Heard = Arc<Mutex<Vec<String>>>;

fn upstream(script: Script) -> (Bench, Heard) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Heard::default();
    let ours = Arc::clone(&heard);
    thread::spawn(move || {
        for socket in listener.incoming() {
            // However the client leaves.
            let _ = talk(socket.unwrap(), script, &ours);
        }
    });
    (Bench::start(&one(port), settings_for(&one(port))), heard)
}

fn talk(socket: TcpStream, script: Script, heard: &Heard) -> std::io::Result<()> {
    let (mut out, mut input) = (socket.try_clone()?, BufReader::new(socket));
    let ehlo = ["sink"].iter().chain(script.offers).map(|word| format!("250-{word}\r\n")).collect::<String>();
    let mut say = |place: &str, usual: &str| {
        let said = script.says.iter().find(|(at, _)| *at == place).map_or(usual, |(_, said)| said);
        out.write_all(said.as_bytes())
    };
    say("greeting", "220 sink\r\n")?;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let line = line.trim_end();
        let verb = line.split(' ').next().unwrap_or_default();
        heard.lock().unwrap().push(if verb == "EHLO" { "EHLO".to_owned() } else { line.to_owned() });
        match verb {
            "EHLO" => say("EHLO", &format!("{ehlo}250 ok\r\n"))?,
            "MAIL" => say("MAIL", "250 2.1.0 ok\r\n")?,
            "RCPT" => say("RCPT", "250 2.1.5 ok\r\n")?,
            "DATA" => {
                say("DATA", "354 go\r\n")?;
                input.fill_buf()?;
                say("content", "")?;
                let mut line = Vec::new();
                while line != b".\r\n" {
                    line.clear();
                    if input.read_until(b'\n', &mut line)? == 0 {
                        return Ok(());
                    }
                }
                heard.lock().unwrap().push(".".to_owned());
                say("dot", "250 2.0.0 kept\r\n")?;
            }
            "BDAT" => {
                let octets = line.split(' ').nth(1).and_then(|octets| octets.parse().ok()).unwrap();
                std::io::copy(&mut (&mut input).take(octets), &mut std::io::sink())?;
                if line.ends_with(" LAST") {
                    say("dot", "250 2.0.0 kept\r\n")?
                } else {
                    say("BDAT", "250 2.0.0 ok\r\n")?
                }
            }
            "RSET" => say("RSET", "250 2.0.0 ok\r\n")?,
            _ => say("QUIT", "221 2.0.0 bye\r\n")?,
        }
    }
}

const FORMS: [&[&str]; 4] = [&[], &["PIPELINING"], &["CHUNKING"], &["PIPELINING", "CHUNKING"]];

/// Four chunks and something, or many blocks.
fn long() -> Vec<u8> {
    b"a line of it, which is long enough for a test\r\n".repeat(6000)
}

/// How often a session was begun, and whether content was ended.
fn seen(heard: &Heard) -> (usize, bool) {
    let heard = heard.lock().unwrap();
    let ended = heard.iter().any(|line| line == "." || line.ends_with(" LAST"));
    (heard.iter().filter(|line| *line == "EHLO").count(), ended)
}

#[test]
fn rule_u8_an_answer_too_many_in_the_envelope_is_never_the_messages() {
    let twice: [Says; 4] = [
        &[("MAIL", "250 2.1.0 ok\r\n250 2.1.0 twice\r\n"), ("dot", "554 5.7.1 spam\r\n")],
        &[("RCPT", "250 2.1.5 ok\r\n250 2.1.5 twice\r\n"), ("dot", "554 5.7.1 spam\r\n")],
        &[("RCPT", "250 2.1.5 ok\r\n550 5.1.1 twice\r\n"), ("dot", "554 5.7.1 spam\r\n")],
        &[("RCPT", "250 2.1.5 ok\r\n250-2.1.5 half\r\n250 of it\r\n"), ("dot", "554 5.7.1 spam\r\n")],
    ];
    for offers in FORMS {
        for says in twice {
            for recipients in [&["a@b.test"][..], &["a@b.test", "c@d.test", "e@f.test"]] {
                let (mut bench, heard) = upstream(Script { offers, says });
                let ending = bench.deliver(recipients);
                let word = ending.word();
                assert!(!word.contains("delivered"), "{offers:?} {says:?} {recipients:?}: {ending:?}");
                // In one group with the recipients, the true answers may be too late to be heard before the last chunk.
                let may_be_late = says[0].0 == "MAIL" && offers.len() == 2;
                assert!(may_be_late || !seen(&heard).1, "{offers:?} {says:?} {recipients:?}");
            }
        }
    }
}

#[test]
fn rule_u8_an_answer_too_many_that_comes_late_is_found_out_behind_the_last_chunk() {
    // As it is seen from here: what was said of a recipient once more is the first to arrive behind the last chunk.
    let says: Says = &[("dot", "250 2.1.5 ok\r\n"), ("RSET", "554 5.7.1 spam\r\n250 2.0.0 ok\r\n")];
    for offers in [FORMS[2], FORMS[3]] {
        let (mut bench, heard) = upstream(Script { offers, says });
        for sessions in [1, 2] {
            assert_eq!(bench.deliver(&["a@b.test"]).word(), "unknown", "{offers:?}");
            assert_eq!(seen(&heard).0, sessions);
        }
    }
}

#[test]
fn rule_u8_what_is_said_between_354_and_the_dot_is_not_its_answer() {
    let early: [Says; 3] = [
        &[("DATA", "354 go\r\n250 2.0.0 early\r\n"), ("dot", "550 5.7.1 no\r\n")],
        &[("content", "250 2.0.0 early\r\n"), ("dot", "550 5.7.1 no\r\n")],
        &[("content", "354 again\r\n"), ("dot", "550 5.7.1 no\r\n")],
    ];
    for offers in [FORMS[0], FORMS[1]] {
        for says in early {
            let (mut bench, heard) = upstream(Script { offers, says });
            let ending = bench.vault.deliver(&["a@b.test"], &long().repeat(20));
            assert_eq!(ending.word(), "broken off", "{says:?}: {ending:?}");
            assert!(ending.reason().contains("out of its turn"), "{ending:?}");
            assert!(!seen(&heard).1, "{says:?}");
        }
    }
}

#[test]
fn rule_u10_a_refusal_within_the_content_is_the_messages_and_no_dot_follows_it() {
    let refusals: [(Says, &str); 6] = [
        (&[("DATA", "354 go\r\n554 5.7.1 spam\r\n")], "failed 554"),
        (&[("DATA", "354 go\r\n452 4.3.1 full\r\n")], "deferred 452"),
        (&[("DATA", "354 go\r\n421 4.3.2 closing\r\n")], "broken off"),
        (&[("content", "552 5.3.4 too big\r\n")], "failed 552"),
        (&[("content", "451 4.3.0 later\r\n")], "deferred 451"),
        (&[("content", "421 4.3.2 closing\r\n")], "broken off"),
    ];
    for offers in [FORMS[0], FORMS[1]] {
        for (says, expected) in refusals {
            let (mut bench, heard) = upstream(Script { offers, says });
            let ending = bench.vault.deliver(&["a@b.test"], &long().repeat(20));
            assert_eq!(ending.word(), expected, "{says:?}: {ending:?}");
            assert!(!seen(&heard).1, "{says:?}");
        }
    }
}

#[test]
fn rule_u8_chunks_that_are_answered_twice_are_not_ended() {
    let says: Says = &[("BDAT", "250 2.0.0 ok\r\n250 2.0.0 twice\r\n"), ("dot", "554 5.7.1 spam\r\n")];
    for offers in [FORMS[2], FORMS[3]] {
        let (mut bench, heard) = upstream(Script { offers, says });
        // One chunk before the last.
        let ending = bench.vault.deliver(&["a@b.test"], &long()[..100_016]);
        assert_eq!(ending.word(), "broken off", "{offers:?}: {ending:?}");
        assert!(!seen(&heard).1, "{offers:?}");
    }
}

#[test]
fn rule_u13_two_answers_to_a_message_of_which_one_refuses_leave_it_unknown() {
    let answers: [(Says, &str); 7] = [
        (&[("dot", "550 5.1.1 stray\r\n250 2.0.0 kept\r\n")], "unknown"),
        (&[("dot", "451 4.3.0 stray\r\n250 2.0.0 kept\r\n")], "unknown"),
        (&[("dot", "550 5.1.1 no\r\n554 5.7.1 no\r\n")], "failed 550"),
        (&[("dot", "250 2.0.0 kept\r\n554 5.7.1 spam\r\n")], "unknown"),
        (&[("dot", "250 2.0.0 kept\r\n503 5.5.1 what\r\n")], "unknown"),
        (&[("dot", "250 2.0.0 kept\r\n250 2.0.0 kept\r\n")], "delivered 250"),
        (&[("dot", "250 2.0.0 kept\r\n421 4.3.2 closing\r\n")], "delivered 250"),
    ];
    for offers in FORMS {
        for (says, expected) in answers {
            let (mut bench, heard) = upstream(Script { offers, says });
            assert_eq!(bench.deliver(&["a@b.test"]).word(), expected, "{offers:?} {says:?}");
            assert_eq!(bench.deliver(&["a@b.test"]).word(), expected, "{offers:?} {says:?}");
            assert_eq!(seen(&heard).0, 2, "a session that is out of step serves nobody else: {offers:?} {says:?}");
        }
    }
}

#[test]
fn rule_u11_a_session_that_answers_rset_or_a_refused_mail_twice_serves_nobody_else() {
    let twice: [Says; 2] = [
        &[("dot", "554 5.7.1 spam\r\n"), ("RSET", "250 2.0.0 ok\r\n250 2.0.0 ok\r\n")],
        &[("MAIL", "554 5.1.8 nobody\r\n421 4.3.2 closing\r\n")],
    ];
    for offers in FORMS {
        for says in twice {
            let (mut bench, heard) = upstream(Script { offers, says });
            for sessions in [1, 2] {
                assert_eq!(bench.deliver(&["a@b.test"]).word(), "failed 554", "{offers:?} {says:?}");
                assert_eq!(seen(&heard).0, sessions, "{offers:?} {says:?}");
            }
        }
    }
}
