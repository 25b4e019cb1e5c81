//! Claim: an edge that says to the vault what can't be read is ended and replaced, in the log with the reason, and nobody
//! else is: the vault and all the other processes live on, and the next client is served by the newcomer.
//!
//! How: `strace` has the edge believe that it wrote two octets to the vault which it did not write, so that what it writes
//! after them is no frame. It takes the vault for busy then, and writes on when that has something to say. A sealed process
//! is watched by root alone.

mod support;

use std::fs;
use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use support::smtp::trusting;
use support::{CREDENTIAL, Service, await_that, is_root, processes};

const EDGE: &str = "edge-smtp main";

fn credential(service: &Service, deed: &str) {
    let output = service.command(&["credential", deed, CREDENTIAL]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_edge_that_the_vault_lets_go_is_replaced_and_nobody_else_is() {
    if !is_root() {
        println!("NOT RUN: changing what another process writes needs root; the run as root does it");
        return;
    }
    let service = Service::start();
    let secret = service.add_credential();
    let mut before = processes::children(service.pid());
    let edge = before.remove(EDGE).expect("an edge");
    let _open = service.log_in(&secret);
    let mut session = service.connect().secure(&trusting(&service.pair));
    let record = service.folder.path().join("strace");
    // In the place of the call a harmless one is made, which every filter lets pass.
    let inject = "inject=sendto:retval=2:syscall=getpid:when=1";
    let mut strace = processes::traced(edge, &["-o", record.to_str().unwrap(), "-e", "trace=sendto", "-e", inject]);
    // What the edge says next by this call it says to the vault: name and password.
    let login = STANDARD.encode(format!("\0{CREDENTIAL}\0{secret}"));
    session.stream().write_all(format!("AUTH PLAIN {login}\r\n").as_bytes()).unwrap();
    session.stream().flush().unwrap();
    await_that("two octets are left out", || fs::read_to_string(&record).is_ok_and(|text| text.contains("INJECTED")));
    // The vault says so to the session that is open.
    credential(&service, "disable");
    service.await_log(0, "the vault let it go: it asked for what it may not");
    await_that("the edge is replaced", || {
        processes::children(service.pid()).get(EDGE).is_some_and(|pid| *pid != edge) && processes::title(edge).is_none()
    });
    // It ends with the process that it traced.
    strace.wait().unwrap();
    credential(&service, "enable");

    assert_eq!(service.log_in(&secret).send("after"), 250);
    service.await_arrival(vec!["after".to_owned()]);
    let mut after = processes::children(service.pid());
    after.remove(EDGE);
    assert_eq!(after, before, "all the others");
    let told = |event: &str| {
        let output = service.command(&["audit", "query", "--event", event, "--json"]);
        String::from_utf8(output.stdout).unwrap()
    };
    await_that("the events are published", || told("proc.exit").contains("let it go"));
    let violations = told("ipc.violation");
    assert_eq!((violations.lines().count(), violations.contains("malformed-frame")), (1, true), "{violations}");
    let fell = told("proc.exit");
    assert_eq!((fell.lines().count(), fell.contains("edge-smtp")), (1, true), "{fell}");
    service.stop();
}
