//! What is left to do after `gatepost init`, in the order in which it is done.

use std::path::Path;

use nix::unistd::geteuid;

use super::answers::{Answers, Upstream};
use crate::cli::DEFAULT_CONFIG;

/// One line for each thing. `is_made`: whether the first credential was, if one was wished.
pub fn to_do(path: &Path, answers: &Answers, is_made: Option<bool>) -> Vec<String> {
    let config = if path == Path::new(DEFAULT_CONFIG) { String::new() } else { format!(" --config {}", word(path)) };
    let mut lines = Vec::new();
    if let Some(password) = answers.password().filter(|password| password.is_later()) {
        let (secret, what) = (word(password.path()), path.display());
        lines.push(format!("put the upstream's secret into a file: (umask 077; cat > {secret}), Enter, Ctrl-D; then take the # before its lines away in {what}: until then no mail is taken"));
    }
    match &answers.upstream {
        None => lines.push(format!("say in {} where mail goes: until then none is taken", path.display())),
        Some(Upstream::Smtp { .. } | Upstream::Bytesend(_)) => {
            lines.push(format!("does the upstream let us in? gatepost check --connect{config}"));
        }
    }
    match (&answers.credential, is_made) {
        (Some((id, senders)), Some(false)) => {
            // Behind the sign none is taken for an option, whatever it begins with.
            let senders: Vec<String> = senders.iter().map(|sender| format!("--sender={}", quoted(sender))).collect();
            lines
                .push(format!("make the first credential: gatepost credential add {id} {}{config}", senders.join(" ")));
        }
        (None, _) => lines
            .push(format!("make a credential for each client: gatepost credential add ID --sender @DOMAIN{config}")),
        _ => {}
    }
    lines.push(format!("start it: {}", start(path, &config)));
    if answers.tls.is_none() {
        lines.push("only this machine reaches it: for others, a certificate and another address; see [tls] in gatepost.toml(5)".to_owned());
    }
    lines.push(format!("before others rely on it: gatepost doctor{config}"));
    lines
}

/// For people: below a heading, by numbers.
pub fn numbered(lines: &[String]) -> Vec<String> {
    let numbered = lines.iter().enumerate().map(|(at, line)| format!("  {}. {line}", at + 1));
    std::iter::once("left to do:".to_owned()).chain(numbered).collect()
}

/// A path as a shell reads it.
fn word(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A word as a shell reads it.
fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@:,".contains(c);
    if text.chars().all(is_plain) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// By whoever starts services here, where it would start this one.
fn start(path: &Path, config: &str) -> String {
    let is_usual = path == Path::new(DEFAULT_CONFIG) && geteuid().is_root();
    match () {
        () if is_usual && Path::new("/run/systemd/system").is_dir() => "systemctl enable --now gatepost".to_owned(),
        () if is_usual && Path::new("/etc/rc.d/gatepost").is_file() => {
            "rcctl enable gatepost && rcctl start gatepost".to_owned()
        }
        () => format!("gatepost serve{config}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init::answers::Password;

    #[test]
    fn what_was_put_off_or_failed_is_left_to_do_and_what_is_done_is_not() {
        let answers = |upstream| Answers {
            hostname: "gate.example.net".into(),
            listen: "127.0.0.1:2525".parse().unwrap(),
            http: None,
            tls: None,
            upstream,
            credential: Some(("app".into(), vec!["@example.net".into(), "-o'brien@example.net".into(), "*".into()])),
            state: None,
            runtime: None,
        };
        let path = Path::new("/srv/gate.toml");
        let some = answers(Some(Upstream::Bytesend(Password::Later("/srv/token".into()))));
        let lines = to_do(path, &some, Some(false)).join("\n");
        for word in [
            "cat > /srv/token",
            r"credential add app --sender=@example.net --sender='-o'\''brien@example.net' --sender='*' --config /srv/gate.toml",
            "serve --config /srv/gate.toml",
        ] {
            assert!(lines.contains(word), "{word}\n{lines}");
        }
        let odd = to_do(Path::new("/srv/a gate's.toml"), &some, Some(false)).join("\n");
        assert!(odd.contains(r"doctor --config '/srv/a gate'\''s.toml'"), "{odd}");
        let lines = to_do(path, &answers(None), Some(true)).join("\n");
        assert!(
            lines.contains("where mail goes") && !lines.contains("credential add") && !lines.contains("--connect"),
            "{lines}"
        );
    }
}
