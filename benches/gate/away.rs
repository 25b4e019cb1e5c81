//! An upstream that is 50 milliseconds away: by the kernel's netem in a network namespace, where the machine has it; else a sink that
//! says everything so much later, which is told. That way a connection is made at once, and a window is never too small for the way.

use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use crate::drain::Drain;

/// There and back.
const AWAY: Duration = Duration::from_millis(50);
const FAR: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 50);
/// Set in the namespace, where this program is started again.
const INSIDE: &str = "GATEPOST_BENCH_FAR";
const TRIAL: &str = "true";
/// Packets to and from that address wait for half of it on their way; no others do.
const SETUP: &str = "ip link set lo up && tc qdisc add dev lo root handle 1: prio priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 && \
    tc qdisc add dev lo parent 1:3 handle 30: netem delay 25ms limit 100000 && \
    tc filter add dev lo parent 1: protocol ip u32 match ip dst 127.0.0.50/32 flowid 1:3 && \
    tc filter add dev lo parent 1: protocol ip u32 match ip src 127.0.0.50/32 flowid 1:3";

/// The upstream and what the gate is told of where it is. None where all of it was measured in a namespace by then.
pub fn upstream(part: &str) -> Option<(Drain, String)> {
    if std::env::var_os(INSIDE).is_some() {
        println!("the upstream is {AWAY:?} away by netem, in a network namespace");
        let drain = Drain::start_at(FAR, Duration::ZERO);
        let host = format!("{FAR}:{}", drain.port);
        return Some((drain, host));
    }
    match in_namespace(TRIAL) {
        Ok(()) => {
            let program = std::env::current_exe().unwrap();
            let quick = if crate::support::quick() { "--quick" } else { "" };
            let said = in_namespace(&format!("{INSIDE}=1 exec '{}' {part} {quick}", program.display()));
            said.unwrap_or_else(|why| panic!("in the namespace: {why}"));
            None
        }
        Err(why) => {
            println!(
                "netem in a network namespace is NOT to be had here ({why}): the upstream is a sink that says everything {AWAY:?} late"
            );
            let drain = Drain::start_at(Ipv4Addr::LOCALHOST, AWAY);
            let host = format!("127.0.0.1:{}", drain.port);
            Some((drain, host))
        }
    }
}

/// Does something in a network of its own, which is gone when that has ended. Errors: what was said of why there is none.
fn in_namespace(work: &str) -> Result<(), String> {
    let mut command = Command::new("unshare");
    command.args(["--net", "sh", "-c", &format!("{{ {SETUP}; }} >&2 || exit 1; {work}")]);
    if work == TRIAL {
        let output = command.output().map_err(|error| format!("unshare: {error}"))?;
        let said = String::from_utf8_lossy(&output.stderr);
        return output
            .status
            .success()
            .then_some(())
            .ok_or_else(|| said.lines().next().unwrap_or("no reason").to_owned());
    }
    let status = command.status().map_err(|error| format!("unshare: {error}"))?;
    status.success().then_some(()).ok_or_else(|| status.to_string())
}
