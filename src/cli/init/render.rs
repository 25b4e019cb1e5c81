//! The configuration that the answers make: few keys, each with what it is for.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;

use super::answers::{Answers, Password, Upstream};
use crate::config::plan;

pub fn text(answers: &Answers) -> String {
    let mut out = String::new();
    let state = directory(answers.state.as_deref(), plan::STATE);
    let runtime = directory(answers.runtime.as_deref(), plan::RUNTIME);
    let _ = write!(
        out,
        "# Gatepost, made by `gatepost init`. Every key is in gatepost.toml(5). After a change: `gatepost check`, then `gatepost reload`.\n\
         version = 1\n\
         state_directory = {state}\n\
         runtime_directory = {runtime}\n\
         # The name of this gate, as clients and the audit log see it.\n\
         hostname = {}\n\n",
        quoted(&answers.hostname)
    );
    out.push_str("# Where SMTP clients connect. Nobody sends without a login.\n");
    listener(&mut out, ("submission", "smtp"), answers.listen, answers.tls.is_some());
    if let Some(http) = answers.http {
        out.push_str("# Where HTTP clients connect: the API, and what watches the service.\n");
        listener(&mut out, ("api", "http"), http, answers.tls.is_some());
        out.pop();
        out.push_str("serve = [\"v1\", \"ops\"]\n\n");
    }
    if let Some((chain, key)) = &answers.tls {
        out.push_str("# A pair that is renewed is taken into use by itself.\n[tls]\n");
        let _ = write!(out, "certificate = {}\nkey = {}\n\n", path(chain), path(key));
    }
    upstream(&mut out, answers.upstream.as_ref());
    out.push_str(
        "# Who may send is in the vault: `gatepost credential`. What else a service needs that others rely on, an anchor of the\n\
         # audit log on another machine above all, `gatepost doctor` tells.\n",
    );
    out
}

fn listener(out: &mut String, (name, protocol): (&str, &str), at: SocketAddr, has_pair: bool) {
    // Where there is no pair, only a loopback address is taken.
    let tls = match (has_pair, protocol) {
        (false, _) => "",
        (true, "http") => "tls = \"implicit\"\n",
        (true, _) => "tls = \"starttls\"\n",
    };
    let _ = write!(out, "[[listener]]\nname = \"{name}\"\naddress = [\"{at}\"]\nprotocol = \"{protocol}\"\n{tls}\n");
}

fn upstream(out: &mut String, upstream: Option<&Upstream>) {
    let (name, lines, password) = match upstream {
        None => {
            out.push_str(
                "# Where mail goes. Until there is an upstream and a route to it, none is taken.\n\
                 #[[upstream]]\n#name = \"smarthost\"\n#kind = \"smtp\"\n#hosts = [\"smtp.example.net:587\"]\n#tls = \"starttls\"\n\
                 #[[route]]\n#via = [\"smarthost\"]\n\n",
            );
            return;
        }
        Some(Upstream::Smtp { host, port, tls, login }) => {
            let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
            let hosts = format!("hosts = [{}]", quoted(&format!("{host}:{port}")));
            let mut lines = vec!["kind = \"smtp\"".to_owned(), hosts, format!("tls = {}", quoted(tls))];
            if let Some((user, password)) = login {
                lines.push(format!("username = {}", quoted(user)));
                lines.push(format!("password_file = {}", path(password.path())));
            }
            ("smarthost", lines, login.as_ref().map(|(_, password)| password))
        }
        Some(Upstream::Bytesend(token)) => {
            let lines = vec!["kind = \"bytesend\"".to_owned(), format!("token_file = {}", path(token.path()))];
            ("bytesend", lines, Some(token))
        }
    };
    // All of it waits for its secret: mail that an upstream would refuse for want of a login isn't taken meanwhile.
    let off = if password.is_some_and(Password::is_later) { "#" } else { "" };
    out.push_str("# Where mail goes.\n");
    let head = ["[[upstream]]".to_owned(), format!("name = \"{name}\"")];
    for line in head.iter().chain(&lines) {
        let _ = writeln!(out, "{off}{line}");
    }
    let _ = write!(out, "\n# All of it.\n{off}[[route]]\n{off}via = [\"{name}\"]\n\n");
}

fn directory(given: Option<&Path>, usual: &str) -> String {
    path(given.unwrap_or(Path::new(usual)))
}

fn path(path: &Path) -> String {
    quoted(&path.display().to_string())
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => drop(write!(out, "\\u{:04X}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn answers(upstream: Option<Upstream>) -> Answers {
        Answers {
            hostname: "gate.example.net".into(),
            listen: "127.0.0.1:2525".parse().unwrap(),
            http: Some("[::1]:8080".parse().unwrap()),
            tls: None,
            upstream,
            credential: None,
            state: Some("/srv/a \"place\"\\of\u{7f}ours".into()),
            runtime: None,
        }
    }

    fn smtp(host: &str, tls: &str, login: Option<(String, Password)>) -> Option<Upstream> {
        Some(Upstream::Smtp { host: host.into(), port: 587, tls: tls.into(), login })
    }

    #[test]
    fn whatever_was_answered_loads_and_means_what_was_said() {
        let secret = || Password::File("/etc/gatepost/smarthost.secret".into());
        for (upstream, count) in [
            (None, 0),
            (smtp("smtp.example.net", "starttls", Some(("a\"b\\c".into(), secret()))), 1),
            (smtp("2001:db8::1", "implicit", None), 1),
            (smtp("smtp.example.net", "starttls", Some(("app".into(), Password::Later("/x".into())))), 0),
            (Some(Upstream::Bytesend(secret())), 1),
            (Some(Upstream::Bytesend(Password::Later("/x".into()))), 0),
        ] {
            let text = text(&answers(upstream));
            let plan =
                Config::foresee(Path::new("/x/gatepost.toml"), &text).unwrap_or_else(|why| panic!("{why}\n{text}"));
            assert_eq!((plan.upstreams.len(), plan.routes.len(), plan.listeners.len()), (count, count, 2), "{text}");
            assert_eq!(plan.state_directory, Path::new("/srv/a \"place\"\\of\u{7f}ours"));
            assert_eq!(plan.runtime_directory, Path::new(plan::RUNTIME));
            // The last is ByteSend's, whose API has no fields for reports: `init` says it, too.
            let known = ["no anchor", "no upstream", "no credential", "reports to senders"];
            let odd = plan.warnings.iter().find(|line| !known.iter().any(|word| line.contains(word)));
            assert_eq!(odd, None, "{text}");
        }
    }

    #[test]
    fn what_others_reach_has_tls_and_without_a_pair_it_does_not_load() {
        let open = Answers { listen: "0.0.0.0:587".parse().unwrap(), ..answers(None) };
        assert!(Config::foresee(Path::new("/x"), &text(&open)).is_err());
        let pair = Some(("/etc/chain.pem".into(), "/etc/key.pem".into()));
        let shut = text(&Answers { tls: pair, ..open });
        assert_eq!(
            (shut.matches("tls = \"starttls\"").count(), shut.matches("tls = \"implicit\"").count()),
            (2, 1),
            "{shut}"
        );
        Config::foresee(Path::new("/x"), &shut).unwrap();
    }
}
