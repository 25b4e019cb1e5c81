//! What comes through the whole service in a second and what it costs, each beside others that do the same work in the same run:
//! `relay` (beside Postfix and a Node.js relay), `handshake` (one message per connection, with TLS and a login), `http`
//! (`POST /v1/send`, beside the store alone). `cargo bench --bench gate -- http` does that part alone.

mod support;
#[path = "../tests/support/mod.rs"]
mod trial;

#[path = "gate/contestants.rs"]
mod contestants;
#[path = "gate/drain.rs"]
mod drain;
#[path = "gate/handshake.rs"]
mod handshake;
#[path = "gate/http.rs"]
mod http;
#[path = "gate/meter.rs"]
mod meter;
#[path = "gate/relay.rs"]
mod relay;
#[path = "gate/source.rs"]
mod source;

fn main() {
    let parts: [(&str, fn()); 3] = [("relay", relay::main), ("handshake", handshake::main), ("http", http::main)];
    let words: Vec<String> = std::env::args().skip(1).collect();
    let named = |name: &str| words.iter().any(|word| word == name);
    let any = parts.iter().any(|(name, _)| named(name));
    for (name, part) in parts {
        if !any || named(name) {
            part();
        }
    }
}
