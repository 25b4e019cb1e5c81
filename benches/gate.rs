//! What comes through the whole service in a second and what it costs, each beside others that do the same work in the same run:
//! `relay` (beside Postfix and a Node.js relay), `handshake` (one message per connection, with TLS and a login), `serial` (one client on
//! one connection, beside syncs of the disk), `http` (`POST /v1/send`, beside the store alone). Then what it stands: `large` (many large messages at once, beside copying them),
//! `latency` (at the dot, with an upstream far away), `strangers` (who guess, hold, connect), `overload` (three times what it can
//! bear), `growth` (more of everything). `cargo bench --bench gate -- http` does that part alone.

mod support;
#[path = "../tests/support/mod.rs"]
mod trial;

#[path = "gate/aims.rs"]
mod aims;
#[path = "gate/away.rs"]
mod away;
#[path = "gate/contestants.rs"]
mod contestants;
#[path = "gate/crowd.rs"]
mod crowd;
#[path = "gate/devices.rs"]
mod devices;
#[path = "gate/drain.rs"]
mod drain;
#[path = "gate/growth.rs"]
mod growth;
#[path = "gate/handshake.rs"]
mod handshake;
#[path = "gate/http.rs"]
mod http;
#[path = "gate/large.rs"]
mod large;
#[path = "gate/latency.rs"]
mod latency;
#[path = "gate/meter.rs"]
mod meter;
#[path = "gate/overload.rs"]
mod overload;
#[path = "gate/pace.rs"]
mod pace;
#[path = "gate/relay.rs"]
mod relay;
#[path = "gate/sender.rs"]
mod sender;
#[path = "gate/serial.rs"]
mod serial;
#[path = "gate/source.rs"]
mod source;
#[path = "gate/strangers.rs"]
mod strangers;
#[path = "gate/waits.rs"]
mod waits;

fn main() {
    let parts: [(&str, fn()); 9] = [
        ("relay", relay::main),
        ("handshake", handshake::main),
        ("serial", serial::main),
        ("http", http::main),
        ("large", large::main),
        ("latency", latency::main),
        ("strangers", strangers::main),
        ("overload", overload::main),
        ("growth", growth::main),
    ];
    support::files::raise();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| words.iter().any(|word| word == name);
    let any = parts.iter().any(|(name, _)| named(name));
    for (name, part) in parts {
        if !any || named(name) {
            part();
        }
    }
}
