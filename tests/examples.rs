//! Claim: an example that Gatepost gives to authors of programs sends its message as it stands there. Those of the page that the gate
//! serves are taken from it as it is served, with `GATEPOST` and `KEY` as it says; those of docs/ with the gate's name and port for
//! theirs. Two languages of the page can't be run here: a parser of each reads its example whole, what stands in it is sent, and the
//! page says so.

#[allow(dead_code, reason = "other tests read more of a block")]
#[path = "support/fences.rs"]
mod fences;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use fences::{fences, pages, root};
use serde_json::{Value, json};
use support::programs::{run, said};
use support::{PATIENCE, Service};

/// How the example of a language is run.
enum Way {
    /// The program, and the words before the example.
    Given(&'static str, &'static [&'static str]),
    /// The example is a file of this name.
    File(&'static str, &'static [&'static str], &'static str),
    /// PHP as Debian has it, with curl.
    Php,
    /// By a parser: see `tests/clients/example.py`.
    Read,
}

/// All languages of the page, by the ids of their headings.
const LANGUAGES: [(&str, Way); 8] = [
    ("curl", Way::Given("bash", &["-c"])),
    ("python", Way::Given("python3", &["-c"])),
    ("nodejs", Way::Given("node", &["--input-type=module", "-e"])),
    ("php", Way::Php),
    ("ruby", Way::Given("ruby", &["-e"])),
    ("go", Way::File("go", &["run"], "main.go")),
    ("csharp", Way::Read),
    ("powershell", Way::Read),
];

/// What the examples in the pages of docs/ stand on, and what stands behind them, by page and language.
const PAGES: [(&str, &str, &str, &str); 5] = [
    (
        "docs/applications.md",
        "python",
        "import os\nfrom email.message import EmailMessage\nkey = os.environ['KEY']\nmessage = EmailMessage()\n\
         message['From'], message['To'], message['Subject'] = 'app@example.net', 'you@example.org', 'Order 17'\n\
         message.set_content('It is on its way.')\n",
        "",
    ),
    (
        "docs/applications.md",
        "js",
        "import nodemailer from 'nodemailer'; const key = process.env.KEY;\n",
        "await transport.sendMail({ from: 'app@example.net', to: 'you@example.org', subject: 'Order 17', text: 'It is on its way.' });",
    ),
    (
        "docs/recipes/web-applications.md",
        "php",
        "<?php\n\
         require getenv('MAILER') . '/Exception.php'; require getenv('MAILER') . '/PHPMailer.php'; require getenv('MAILER') . '/SMTP.php';\n\
         define('GATE_KEY', getenv('KEY')); $done = [];\n\
         function add_action($name, $what) { $GLOBALS['done'][$name] = $what; }\n\
         function add_filter($name, $what) { $GLOBALS['done'][$name] = $what; }\n?>",
        // In the order of wp_mail().
        "$mail = new PHPMailer\\PHPMailer\\PHPMailer(true);\n\
         $mail->setFrom($done['wp_mail_from'](''), $done['wp_mail_from_name'](''), false);\n\
         $mail->addAddress('you@example.org'); $mail->Subject = 'Order 17'; $mail->Body = 'It is on its way.'; $mail->isMail();\n\
         $done['phpmailer_init']($mail); $mail->send();",
    ),
    (
        "docs/recipes/web-applications.md",
        "python",
        "import os\n",
        "from django.conf import settings\nfrom django.core.mail import send_mail\n\
         settings.configure(**{name: value for name, value in list(globals().items()) if name.isupper()})\n\
         send_mail('Order 17', 'It is on its way.', None, ['you@example.org'])",
    ),
    ("docs/recipes/web-applications.md", "js", "const orderId = 'order-17';\n", ""),
];

/// Pages whose examples another test takes from there.
const ELSEWHERE: [(&str, &str); 2] =
    [("docs/webhooks.md", "tests/feedback.rs"), ("docs/audit-log.md", "tests/erasure.rs")];

fn clients() -> PathBuf {
    root().join("target/clients")
}

/// The language of an example in a page of docs/ that is a program.
fn is_program(word: &str) -> bool {
    ["python", "js", "javascript", "ts", "php", "ruby", "go", "csharp", "java", "perl"].contains(&word)
}

fn php() -> Command {
    let usr = clients().join("mailers/usr");
    let curl = usr.join("lib/php/curl.so");
    assert!(curl.exists(), "{} is needed: run tools/test.sh", curl.display());
    let mut command = Command::new(usr.join("bin/php"));
    command.env("LD_LIBRARY_PATH", usr.join("lib")).args(["-n", "-d"]).arg(format!("extension={}", curl.display()));
    command
}

fn key(service: &Service, name: &str, sender: &str) -> String {
    let added = service.command(&["credential", "add", name, "--sender", sender]);
    assert!(added.status.success(), "{}", said(&added));
    String::from_utf8(added.stdout).unwrap().lines().last().unwrap().to_owned()
}

/// What the gate serves there.
fn served(service: &Service, path: &str) -> String {
    let answer = service.http(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    body.to_owned()
}

/// What a reader sees of what stands between two marks.
fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    let (_, rest) = text.split_once(from).unwrap_or_else(|| panic!("no {from}"));
    rest.split_once(to).unwrap_or_else(|| panic!("no {to}")).0
}

fn shown(html: &str) -> String {
    html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// Runs an example with the two variables that the page speaks of.
fn example(service: &Service, way: &Way, id: &str, text: &str, secret: &str) -> Output {
    let gate = format!("http://127.0.0.1:{}", service.http);
    let mut command = match way {
        Way::Given(program, words) => {
            let mut command = Command::new(program);
            command.args(*words).arg(text);
            command
        }
        Way::File(program, words, name) => {
            fs::write(service.folder.path().join(name), text).unwrap();
            let mut command = Command::new(program);
            command.args(*words).arg(name).env("GOCACHE", service.folder.path().join("cache"));
            command
        }
        Way::Php => php(),
        Way::Read => return posted(&read(id, text, &gate, secret)),
    };
    command.env("GATEPOST", gate).env("KEY", secret).current_dir(service.folder.path());
    run(&mut command, if matches!(way, Way::Php) { text } else { "" })
}

/// What the parser makes of it.
fn read(id: &str, text: &str, gate: &str, secret: &str) -> Output {
    let mut command = Command::new("python3");
    command.arg(root().join("tests/clients/example.py")).arg(id).env("PYTHONPATH", clients().join("openapi"));
    run(command.env("GATEPOST", gate).env("KEY", secret).env("PYTHONDONTWRITEBYTECODE", "1"), text)
}

/// Sends what was read.
fn posted(read: &Output) -> Output {
    assert!(read.status.success(), "{}\nall it needs is installed by tools/test.sh", said(read));
    let read: Value = serde_json::from_slice(&read.stdout).unwrap();
    let (mut message, mut command) = (json!({}), Command::new("curl"));
    command.args(["-sS", "--fail-with-body", "--data-binary", "@-"]).arg(read["url"].as_str().unwrap());
    for pair in read["pairs"].as_array().unwrap() {
        let [name, value] = [0, 1].map(|at| pair[at].as_str().unwrap());
        match name {
            "Authorization" | "Content-Type" | "Idempotency-Key" => {
                _ = command.arg("-H").arg(format!("{name}: {value}"))
            }
            _ => message[name] = value.into(),
        }
    }
    run(&mut command, &message.to_string())
}

/// The next message that arrived, and what Python's reader of mail finds in it.
fn arrived(service: &Service, by: &str) -> (String, Value) {
    let received = service.sink.next(PATIENCE).unwrap_or_else(|| panic!("{by}: nothing arrived\n{}", service.log()));
    assert_eq!(received.recipients.len(), 1, "{by}");
    let mut command = Command::new("python3");
    let text = String::from_utf8(received.content).unwrap();
    let read = run(command.arg(root().join("tests/clients/parts.py")), &text);
    let message: Value = serde_json::from_slice(&read.stdout).unwrap_or_else(|_| panic!("{by}: {}", said(&read)));
    assert_eq!(message["to"][0][1], received.recipients[0].as_str(), "{by}");
    assert_eq!((message["parts"].as_array().unwrap().len(), &message["defects"]), (1, &json!([])), "{by}: {text}");
    (received.sender, message)
}

#[test]
fn each_example_of_the_page_as_it_is_served_sends_its_message_once_and_fails_where_it_is_refused() {
    let service = Service::start();
    let page = served(&service, "/docs");
    let section = between(&page, "<h2>A message</h2>", "<h2>");
    let names: Vec<&str> = section.split("<h3 id=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let known: Vec<&str> = LANGUAGES.iter().map(|(id, _)| *id).collect();
    assert_eq!(names, known, "an example that nobody runs, or another order");
    let linked: Vec<&str> = section.split("<a href=\"#").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert_eq!(linked, known);
    let stranger = key(&service, "stranger", "@elsewhere.example");
    for (id, way) in &LANGUAGES {
        let block = between(section, &format!("<h3 id=\"{id}\">"), "</pre>");
        let text = shown(block.split_once("<pre>").unwrap().1);
        assert_eq!(
            matches!(way, Way::Read),
            block.contains("isn't run by the tests"),
            "{id}: the page says whether it is run"
        );
        // A key for each: all have the same Idempotency-Key.
        let secret = key(&service, id, "@example.net");
        let [first, second] = [0, 1].map(|_| example(&service, way, id, &text, &secret));
        assert!(first.status.success(), "{id}: {}\nall it needs is installed by tools/test.sh", said(&first));
        assert!(String::from_utf8_lossy(&first.stdout).contains("req_"), "{id}: {}", said(&first));
        assert_eq!(first.stdout, second.stdout, "{id}");
        let (sender, message) = arrived(&service, id);
        assert_eq!(
            (sender.as_str(), &message["from"]),
            ("billing@example.net", &json!([["Billing", "billing@example.net"]])),
            "{id}"
        );
        assert_eq!(
            (&message["to"], &message["subject"]),
            (&json!([["", "ann@example.org"]]), &json!("Invoice 17")),
            "{id}"
        );
        let part = &message["parts"][0];
        assert_eq!(
            (&part["type"], part["text"].as_str().unwrap().trim_end()),
            (&json!("text/plain"), "Please find it attached.")
        );
        let refused = example(&service, way, id, &text, &stranger);
        assert!(!refused.status.success() && !said(&refused).contains("panic"), "{id}: {}", said(&refused));
        if *id == "curl" {
            // What the page shows as the answer has the members of this one.
            let told = shown(between(&page, "<p>The answer is 202", "</pre>").split_once("<pre>").unwrap().1);
            let [told, answer]: [Value; 2] =
                [told.as_bytes(), &first.stdout].map(|text| serde_json::from_slice(text).unwrap());
            let members = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(members(&told), members(&answer));
            let asked = shown(between(&page, "<h2>How much is left</h2>", "</pre>").split_once("<pre>").unwrap().1);
            let answers = example(&service, way, id, &asked, &secret);
            let answers = String::from_utf8(answers.stdout).unwrap();
            assert!(answers.contains("\"senders\"") && answers.contains("\"limits\""), "{answers}");
        }
        // What is no program is found to be none.
        if matches!(way, Way::Read) {
            for sign in ["(", "}"] {
                let broken = read(id, &text.replacen(sign, "", 1), "", "");
                assert_eq!(broken.status.code(), Some(1), "{id}: {}", said(&broken));
            }
        }
    }
    assert!(service.sink.next(Duration::from_millis(500)).is_none(), "one each");
    service.stop();
}

/// Runs one of docs/, which speaks of a gate elsewhere.
fn run_for_page(service: &Service, word: &str, text: &str, secret: &str) -> Output {
    let certificate = service.folder.path().join("certificate.pem");
    // The port first: that of HTTP may have the same digits in it.
    let text = text.replace("587", &service.smtp.to_string()).replace("gate.example.net", "localhost");
    let text = text.replace("https://api.example.net/", &format!("http://127.0.0.1:{}/", service.http));
    let mut command = match word {
        "python" => Command::new("python3"),
        "js" => Command::new("node"),
        "php" => php(),
        _ => panic!("nobody runs {word}"),
    };
    match word {
        "php" => _ = command.arg("-d").arg(format!("openssl.cafile={}", certificate.display())),
        "js" => _ = command.arg("--input-type=module"),
        _ => {}
    }
    // Modules are looked for beside what is run.
    command.current_dir(clients()).env("PYTHONPATH", clients().join("python")).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("MAILER", clients().join("mailers/usr/share/php/libphp-phpmailer/src"));
    command.env("SSL_CERT_FILE", &certificate).env("NODE_EXTRA_CA_CERTS", &certificate);
    run(command.env("KEY", secret).env("GATE_KEY", secret), &text)
}

#[test]
fn each_program_in_the_pages_of_docs_sends_its_message_or_is_run_by_another_test() {
    let mut left: Vec<_> = PAGES.iter().collect();
    let service = Service::start();
    let keys = [("app", key(&service, "app", "app@example.net")), ("shop", key(&service, "shop", "shop@example.net"))];
    for page in pages() {
        for fence in fences(&fs::read_to_string(root().join(&page)).unwrap()) {
            if !is_program(&fence.word) {
                continue;
            }
            let by = format!("{page}:{}", fence.line);
            if let Some((_, test)) = ELSEWHERE.iter().find(|(other, _)| *other == page) {
                let asks = format!("```{}\\n", fence.word);
                assert!(fs::read_to_string(root().join(test)).unwrap().contains(&asks), "{test} doesn't take {by}");
                continue;
            }
            let is_it = |one: &&(&str, &str, &str, &str)| one.0 == page && one.1 == fence.word;
            let at = left.iter().position(is_it).unwrap_or_else(|| panic!("{by}: no test runs it"));
            let (_, _, before, behind) = left.remove(at);
            let (name, secret) = &keys[usize::from(page != "docs/applications.md")];
            let output = run_for_page(&service, &fence.word, &format!("{before}{}{behind}\n", fence.text), secret);
            assert!(output.status.success(), "{by}: {}\n{}", said(&output), service.log());
            let (sender, message) = arrived(&service, &by);
            assert_eq!(
                (sender, &message["from"][0][1]),
                (format!("{name}@example.net"), &json!(format!("{name}@example.net"))),
                "{by}"
            );
            assert_eq!(
                (&message["subject"], &message["to"][0][1]),
                (&json!("Order 17"), &json!("you@example.org")),
                "{by}"
            );
            assert_eq!(message["parts"][0]["text"].as_str().unwrap().trim_end(), "It is on its way.", "{by}");
        }
    }
    assert!(
        left.is_empty(),
        "these are in no page any more: {:?}",
        left.iter().map(|one| (one.0, one.1)).collect::<Vec<_>>()
    );
    service.stop();
}
