//! Arguments: what a program is told, and of whom at once.

use std::time::Duration;

use tokio::sync::mpsc;

use super::*;
use crate::ipc::channel;
use crate::ipc::delivery::{Job, Offer};
use crate::jobs::parcel::{Content, Credit, Teller};
use crate::mail::dsn::{Envid, Report, Wish};
use crate::mail::envelope::Manner;
use crate::mail::id::MessageId;
use crate::sandbox::Sealed;

fn to(address: &str, notify: Option<&str>) -> Addressee {
    let address = Address::parse_international(address).unwrap();
    Addressee { address, wish: Wish { notify: notify.map(|it| Notify::parse(it).unwrap()), orcpt: None } }
}

fn slice(arguments: &[&str], understands: Understands) -> MailerSlice {
    MailerSlice {
        upstream: "local".into(),
        command: "/usr/sbin/sendmail".into(),
        arguments: arguments.iter().map(|&word| word.to_owned()).collect(),
        understands,
        time_limit: Duration::from_secs(1),
        runs: 1,
    }
}

/// What a program is told of a message from this sender to these.
fn told(slice: &MailerSlice, sender: Option<&str>, report: Report, recipients: &[Addressee]) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let (vault, _) = channel::open::<_, Offer>(ours.into(), &Sealed::for_tests()).unwrap();
        let (_, feed) = mpsc::unbounded_channel();
        let job = Job(1);
        let parcel = Parcel {
            message: MessageId::now(),
            sender: sender.map(|it| Address::parse_international(it).unwrap()),
            manner: Manner { report, ..Manner::default() },
            size: Some(0),
            recipients: Vec::new(),
            content: Content::new(job, Some(0), vault.clone(), feed, Credit::default()),
            teller: Teller::new(job, vault),
            key: None,
        };
        let part: Part = (0..).zip(recipients.iter().cloned()).collect();
        words(slice, &parcel, &part).into_iter().map(|word| word.into_string().unwrap()).collect()
    })
}

const ALL: Understands = Understands { eight_bit: true, dsn: true, utf8: true };

#[test]
fn no_address_is_read_as_an_option_and_nobody_is_said_by_the_sign_that_all_take() {
    let plain = slice(&["-G"], Understands::default());
    let both = [to("-oQ/tmp@example.org", None), to("\"a b,c\"@example.org", Some("NEVER"))];
    assert_eq!(
        told(&plain, Some("-x@example.net"), Report::default(), &both),
        ["-G", "-i", "-f", "-x@example.net", "--", "-oQ/tmp@example.org", "\"a b,c\"@example.org"]
    );
    assert_eq!(told(&plain, None, Report::default(), &both[..1])[1..5], ["-i", "-f", "<>", "--"]);
}

#[test]
fn what_the_program_understands_is_said_and_nothing_else() {
    let report =
        |envid: &str| Report { ret: Some(Ret::Headers), envid: Some(Envid::try_from(envid.to_owned()).unwrap()) };
    let one = [to("b@example.org", Some("SUCCESS,DELAY"))];
    let rest = ["-f", "a@example.net", "--", "b@example.org"];
    let with = |understands, envid: &str| told(&slice(&[], understands), Some("a@example.net"), report(envid), &one);
    let all = ["-i", "-B8BITMIME", "-N", "success,delay", "-R", "hdrs", "-V", "QQ+2B1"];
    assert_eq!(with(ALL, "QQ+2B1"), [&all[..], &rest].concat());
    assert_eq!(with(ALL, "QQ"), [&all[..6], &rest].concat(), "two characters are another option's");
    assert_eq!(with(ALL, "-X/tmp/log"), [&all[..6], &rest].concat(), "nor is it one itself");
    assert_eq!(with(Understands::default(), "QQ+2B1"), [&["-i"][..], &rest].concat());
}

#[test]
fn a_run_has_so_many_recipients_and_octets_of_them_and_one_wish() {
    let many = |count: usize, length: usize| -> Part {
        let local = |n: usize| format!("{n:0>length$}@example.org");
        (0..).zip((0..count).map(|n| to(&local(n), None))).collect()
    };
    let sizes = |recipients: &[(u32, Addressee)]| parts(recipients, ALL).iter().map(Vec::len).collect::<Vec<_>>();
    assert_eq!(sizes(&many(250, 4)), [100, 100, 50]);
    for part in parts(&many(100, 64), ALL) {
        assert!(part.iter().map(|(_, to)| to.address.to_string().len()).sum::<usize>() <= MAX_OCTETS);
    }
    let (loud, quiet) = (to("a@b.test", Some("SUCCESS")), to("a@b.test", Some("NEVER")));
    let mixed = [(0, loud.clone()), (1, quiet.clone()), (2, loud), (3, quiet)];
    let numbers = |understands| -> Vec<Vec<u32>> {
        parts(&mixed, understands).iter().map(|part| part.iter().map(|(number, _)| *number).collect()).collect()
    };
    assert_eq!(numbers(ALL), [[0, 2], [1, 3]]);
    assert_eq!(numbers(Understands::default()), [[0, 1, 2, 3]]);
}
