//! When the archive has its end, and what becomes of it when the service goes away before.

use std::io::Write as _;

use clap::Parser;

use super::*;
use crate::cli::queue::tar::Reader;
use crate::ipc::bytes::Octets;
use crate::mail::envelope::Manner;
use crate::policy::OnUnknown;
use crate::policy::reports::Reports;

const CONTENT: &[u8] = b"x\r\n";

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    export: Export,
}

fn envelope(message: MessageId) -> Envelope {
    Envelope {
        message,
        session: message.uuid(),
        credential: "shop".to_owned(),
        sender: None,
        manner: Manner::default(),
        bytes: 3,
        sha256: Sha256::digest(CONTENT).into(),
        accepted_us: 1,
        expires_us: 2,
        on_unknown: OnUnknown::Hold,
        reports: Reports::Mail,
        is_report: false,
        ended: 0,
    }
}

/// An export of 250 messages by a service that goes away when it is told for the so-manieth time what is written, or never.
fn export(path: &Path, silent_from: usize) -> (Result<(), String>, Sum) {
    let out = path.to_str().unwrap();
    let Line { export } = Line::parse_from(["x", "--drop", "--out", out]);
    let (mut archive, mut sum, mut told) = (Archive::create(Some(path)).unwrap(), Sum::default(), 0);
    let done = export.write(
        &mut |command, hear| match command {
            Command::List { .. } => {
                hear(Response::Listed { messages: (0..250).map(|_| MessageId::now()).collect(), next: None })
            }
            Command::Transfer(Transfer::Give { message, .. }) => {
                hear(Response::Transfer(Part::Envelope(Box::new(envelope(message)))))?;
                hear(Response::Transfer(Part::Content(Octets(CONTENT.to_vec()))))
            }
            Command::Transfer(Transfer::Written { .. }) => {
                assert!(end(path).is_err(), "nobody may take it in before the log has it");
                told += 1;
                if told < silent_from { Ok(()) } else { Err("no answer".to_owned()) }
            }
            _ => Ok(()),
        },
        &mut archive,
        &mut sum,
    );
    (export.end(done.map(drop), &archive, &sum), sum)
}

/// How many files there are in it.
fn end(path: &Path) -> Result<usize, String> {
    let octets = std::fs::read(path).map_err(|error| error.to_string())?;
    let (mut reader, mut files) = (Reader::new(octets.as_slice()), 0);
    while reader.next()?.is_some() {
        files += 1;
    }
    Ok(files)
}

#[test]
fn what_may_be_in_the_log_already_stays_in_the_archive_and_is_called_doubtful() {
    let home = tempfile::tempdir().unwrap();
    for (silent_from, asked, logged) in [(1, 100, 0), (3, 250, 200)] {
        let path = home.path().join(format!("{silent_from}.tar"));
        let (done, sum) = export(&path, silent_from);
        assert_eq!((done, sum.asked, sum.logged), (Err("no answer".to_owned()), asked, logged));
        assert!(end(&path).unwrap_err().contains("no end"), "it is no archive yet");
        let told = sum.broken_off(true);
        let doubtful = format!("whether it has {} more is not known", asked - logged);
        assert!(told.contains(&doubtful) && told.contains("no end yet"), "{told}");
        // As it says.
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(&[0; 1024]).unwrap();
        assert_eq!(end(&path), Ok(500));
    }
    let path = home.path().join("whole.tar");
    let (done, sum) = export(&path, usize::MAX);
    assert_eq!((done, sum.logged, end(&path)), (Ok(()), 250, Ok(500)));
    assert!(!sum.broken_off(true).contains("no end yet"));
}
