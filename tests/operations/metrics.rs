//! What is counted while the service is used.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::ask;
use super::support::{PATIENCE, Service};

/// Each series by its name and labels, with its value.
pub type Page = BTreeMap<String, f64>;

/// The page as it is now.
pub fn page(service: &Service) -> Page {
    let (status, body) = ask(service, "/metrics");
    assert_eq!(status, 200, "{body}");
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    samples
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("{line}")))
        })
        .collect()
}

/// Waits until the vault has told all of it, and gives the page. What only goes up, has: on every page on the way.
pub fn await_page(service: &Service, before: &Page, wanted: &[(&str, f64)]) -> Page {
    let (deadline, mut last) = (Instant::now() + PATIENCE, before.clone());
    loop {
        let page = page(service);
        let only_up = |name: &str| {
            let name = name.split('{').next().unwrap();
            ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end))
        };
        // Another vault counts anew.
        let began = |page: &Page| page.get("process_start_time_seconds").copied();
        let is_same = began(&page) == began(&last);
        for (name, value) in page.iter().filter(|(name, _)| is_same && only_up(name)) {
            assert!(last.get(name).is_none_or(|earlier| earlier <= value), "{name} went down");
        }
        last = page;
        let is_so = |(name, value): &(&str, f64)| last.get(*name) == Some(value);
        if wanted.iter().all(is_so) {
            return last;
        }
        let missing: Vec<_> = wanted.iter().filter(|one| !is_so(one)).map(|one| (one.0, last.get(one.0))).collect();
        assert!(Instant::now() < deadline, "{missing:?}\n{}", service.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn post(service: &Service, key: &str, from: &str) -> String {
    let body = format!(r#"{{"from":"{from}","to":"b@example.org","subject":"a private matter","text":"Hello."}}"#);
    let answer = service.http(&format!(
        "POST /v1/send HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    answer.split(' ').nth(1).unwrap().to_owned()
}
