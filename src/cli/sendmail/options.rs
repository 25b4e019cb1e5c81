//! The options of sendmail(8), as programs have given them for decades: what matters is obeyed, what says nothing here is passed
//! over, and what would ask for something else is refused by name.

use std::collections::VecDeque;

use super::addresses::is_qualified;
use crate::mail::dsn::{Notify, Ret};
use crate::mail::xtext;

/// Those that have a value, here or elsewhere; the value stands behind the letter or is the next word.
const WITH_VALUE: &str = "ABCDFLNOQRVXbdefhopqr";
/// Those without a value that say nothing to a client that neither queues nor delivers.
const PASSED_OVER: &str = "GUcmnx";
/// Octets of what a sender calls a message (RFC 3461 section 4.4).
const MAX_ENVID: usize = 100;

#[derive(Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Take a message from standard input.
    #[default]
    Deliver,
    /// Speak SMTP on standard input and output.
    Smtp,
    /// Show the queue.
    Queue,
    /// Make the alias database, of which there is none.
    Aliases,
    Help,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    pub mode: Mode,
    /// The recipients stand in the header, too.
    pub from_header: bool,
    /// A line with a dot alone is a line.
    pub dots: bool,
    pub sender: Option<String>,
    pub name: Option<String>,
    pub notify: Option<Notify>,
    pub ret: Option<Ret>,
    /// In xtext.
    pub envid: Option<String>,
    pub verbose: bool,
    /// The exit code where another attempt may do.
    pub later: u8,
    pub recipients: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            from_header: false,
            dots: false,
            sender: None,
            name: None,
            notify: None,
            ret: None,
            envid: None,
            verbose: false,
            later: super::exit::TEMPFAIL,
            recipients: Vec::new(),
        }
    }
}

impl Options {
    /// Reads what stands behind the program's name.
    ///
    /// Errors: the option that is none, and what to do instead.
    pub fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Self::default();
        let mut words: VecDeque<String> = words.into_iter().collect();
        let mut is_literal = false;
        while let Some(word) = words.pop_front() {
            if word == "--" {
                is_literal = true;
                break;
            }
            if let Some(long) = word.strip_prefix("--") {
                options.long(long)?;
            } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
                options.short(letters, &mut words)?;
            } else {
                words.push_front(word);
                break;
            }
        }
        // Behind an address there are none, whatever another sendmail does: to take `-t` for somebody's name would lose mail.
        for word in words {
            match word.as_str() {
                "--" if !is_literal => is_literal = true,
                _ if !is_literal && word.starts_with('-') && !is_qualified(&word) => {
                    return Err(format!(
                        "{word}: options stand before the first address; one that begins so stands behind --"
                    ));
                }
                _ => options.recipients.push(word),
            }
        }
        Ok(options)
    }

    fn long(&mut self, long: &str) -> Result<(), String> {
        match long.split_once('=') {
            None if long == "help" => self.mode = Mode::Help,
            Some(("tempfail", code)) => {
                let code = code.parse().ok().filter(|code| *code != super::exit::OK);
                self.later = code.ok_or("--tempfail: write an exit code from 1 to 255, such as --tempfail=69")?;
            }
            _ => return Err(format!("--{long}: no such option; see gatepost-sendmail(8)")),
        }
        Ok(())
    }

    fn short(&mut self, letters: &str, words: &mut VecDeque<String>) -> Result<(), String> {
        for (at, letter) in letters.char_indices() {
            if !WITH_VALUE.contains(letter) {
                self.flag(letter)?;
                continue;
            }
            let own = letters.get(at + letter.len_utf8()..).unwrap_or_default();
            let value = match letter {
                // Never in the next word.
                'b' | 'd' | 'e' | 'o' | 'q' => own.to_owned(),
                _ if !own.is_empty() => own.to_owned(),
                _ => words.pop_front().ok_or_else(|| format!("-{letter}: its value is missing"))?,
            };
            return self.value(letter, value);
        }
        Ok(())
    }

    fn flag(&mut self, letter: char) -> Result<(), String> {
        match letter {
            't' => self.from_header = true,
            'i' => self.dots = true,
            'v' => self.verbose = true,
            'I' => self.mode = Mode::Aliases,
            _ if PASSED_OVER.contains(letter) => {}
            _ => return Err(format!("-{letter}: no such option here; see gatepost-sendmail(8)")),
        }
        Ok(())
    }

    fn value(&mut self, letter: char, value: String) -> Result<(), String> {
        match letter {
            'f' | 'r' => self.sender = Some(value),
            'F' => self.name = Some(value),
            'b' => self.mode = mode(&value)?,
            'o' if value == "i" => self.dots = true,
            'N' => {
                let notify = Notify::parse(&value);
                self.notify =
                    Some(notify.map_err(|why| format!("-N {value:?}: {why}: never, or failure,delay,success"))?);
            }
            'R' => self.ret = Some(Ret::parse(&value).map_err(|why| format!("-R {value:?}: {why}: full or hdrs"))?),
            'V' if value.is_empty()
                || value.len() > MAX_ENVID
                || !value.bytes().all(|octet| matches!(octet, b' '..=b'~')) =>
            {
                return Err(format!("-V: at most {MAX_ENVID} characters of ASCII"));
            }
            'V' => self.envid = Some(xtext::encode(&value)),
            'C' | 'X' | 'D' | 'Q' | 'd' => {
                let why = "it names files and settings of another program, and whoever can add words to a command must not choose them";
                return Err(format!("-{letter}: refused: {why}"));
            }
            'q' => {
                return Err("-q: there is no queue here: the gate tries by itself; see gatepost queue list".to_owned());
            }
            // How sendmail itself is configured, reports errors and logs: -o and a letter, -O, -A, -B, -L, -e, -h, -p.
            _ => {}
        }
        Ok(())
    }
}

fn mode(value: &str) -> Result<Mode, String> {
    match value {
        "m" => Ok(Mode::Deliver),
        "s" => Ok(Mode::Smtp),
        "p" => Ok(Mode::Queue),
        "i" => Ok(Mode::Aliases),
        "d" | "D" => Err(format!("-b{value}: this is no service: gatepost serve is")),
        _ => Err(format!("-b{value}: there are -bm, -bs, -bp and -bi here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_programs_give_is_understood() {
        let deliver = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options
        };
        let cases: [(&str, Options); 10] = [
            ("-t -i", deliver(|o| (o.from_header, o.dots) = (true, true))),
            ("-ti", deliver(|o| (o.from_header, o.dots) = (true, true))),
            // Debian's cron, then cronie.
            (
                "-i -FCronDaemon -B8BITMIME -oem root",
                deliver(|o| {
                    (o.dots, o.name) = (true, Some("CronDaemon".into()));
                    o.recipients = vec!["root".into()];
                }),
            ),
            (
                "-FCronDaemon -i -odi -oem -oi -t -f root",
                deliver(|o| {
                    (o.dots, o.from_header, o.name) = (true, true, Some("CronDaemon".into()));
                    o.sender = Some("root".into());
                }),
            ),
            (
                "-oi -oem -r a@b.c -- -x@b.c",
                deliver(|o| {
                    (o.dots, o.sender, o.recipients) = (true, Some("a@b.c".into()), vec!["-x@b.c".into()]);
                }),
            ),
            ("-bm a@b.c -- -X/tmp/x", deliver(|o| o.recipients = vec!["a@b.c".into(), "-X/tmp/x".into()])),
            ("a@b.c -d@e.f", deliver(|o| o.recipients = vec!["a@b.c".into(), "-d@e.f".into()])),
            ("-bs -U", deliver(|o| o.mode = Mode::Smtp)),
            (
                "-N never -R hdrs -V a+b x@y.z",
                deliver(|o| {
                    (o.notify, o.ret, o.envid) = (Some(Notify::never()), Some(Ret::Headers), Some("a+2Bb".into()));
                    o.recipients = vec!["x@y.z".into()];
                }),
            ),
            (
                "-v --tempfail=69 -h 3 -L label -Am -G -O DeliveryMode=b -p ESMTP:x",
                deliver(|o| (o.verbose, o.later) = (true, 69)),
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(parse(line), Ok(expected), "{line}");
        }
        assert_eq!((parse("-bp").unwrap().mode, parse("-bi").unwrap().mode), (Mode::Queue, Mode::Aliases));
        assert_eq!(Options::parse(["-f".to_owned(), String::new()]).unwrap().sender.as_deref(), Some(""));
    }

    #[test]
    fn what_is_not_understood_or_is_dangerous_is_named() {
        for (line, named) in [
            ("-Z a@b.c", "-Z: no such"),
            ("-tZ", "-Z: no such"),
            ("--colour", "--colour: no such"),
            ("--tempfail=0", "--tempfail: write"),
            ("--tempfail=256", "--tempfail: write"),
            ("-X/var/www/x.php", "-X: refused"),
            // Only what stands before the first recipient is an option.
            ("a@b.c -X/tmp/x", "-X/tmp/x: options stand before"),
            ("root -f a@b.c", "-f: options stand before"),
            ("-C /etc/shadow", "-C: refused"),
            ("-d0.1", "-d: refused"),
            ("-q15m", "-q: there is no queue"),
            ("-bd", "-bd: this is no service"),
            ("-bv", "-bv: there are"),
            ("-f", "-f: its value"),
            ("-N often", "-N \"often\""),
            ("-R some", "-R \"some\""),
        ] {
            assert!(parse(line).unwrap_err().starts_with(named), "{line}: {:?}", parse(line));
        }
    }
}
