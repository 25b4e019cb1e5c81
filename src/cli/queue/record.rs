//! What an export says of a message: one JSON object, as documented in gatepost(8).

use serde::{Deserialize, Serialize};

use crate::ipc::admin::queue::listing::Standing;
use crate::ipc::admin::queue::transfer::{Envelope, Recipient};
use crate::mail::address::Address;
use crate::mail::dsn::{Envid, Notify, Orcpt, Report, Ret, Wish};
use crate::mail::envelope::{Addressee, Manner, Utf8};
use crate::mail::id::MessageId;
use crate::policy::OnUnknown;
use crate::policy::reports::Reports;
use crate::vault::audit::month_file::{hex, unhex};

/// What it begins with. Another form gets another name.
const FORMAT: &str = "gatepost-message/1";
const UTF8: [(&str, Utf8); 3] = [("none", Utf8::None), ("allowed", Utf8::Allowed), ("needed", Utf8::Needed)];
const ENDS: [(&str, Standing); 3] =
    [("delivered", Standing::Delivered), ("failed", Standing::Failed), ("expired", Standing::Expired)];

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    format: String,
    message: String,
    session: String,
    credential: String,
    /// None is the null reverse-path.
    sender: Option<String>,
    bytes: u64,
    sha256: String,
    accepted: String,
    expires: String,
    utf8: String,
    requiretls: bool,
    /// It never leaves. A version that doesn't know this member takes no such message in.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    ret: Option<String>,
    envid: Option<String>,
    on_unknown: String,
    reports: String,
    report: bool,
    couriers_ended: u32,
    recipients: Vec<Line>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    address: String,
    state: String,
    attempts: u32,
    due: String,
    since: Option<String>,
    code: Option<u16>,
    enhanced: Option<String>,
    said: Option<String>,
    host: Option<String>,
    notify: Option<String>,
    orcpt: Option<String>,
    unknown: bool,
}

/// Where it is in an archive, and where the content: names that sort in the order in which they are read.
pub fn envelope_of(message: MessageId) -> String {
    format!("{message}/envelope.json")
}

pub fn content_of(message: MessageId) -> String {
    format!("{message}/message.eml")
}

/// As it is written.
pub fn text(envelope: &Envelope, recipients: &[Recipient]) -> Result<String, String> {
    let Manner { utf8, require_tls, report, test, .. } = &envelope.manner;
    let record = Record {
        format: FORMAT.to_owned(),
        message: envelope.message.to_string(),
        session: envelope.session.to_string(),
        credential: envelope.credential.clone(),
        sender: envelope.sender.as_ref().map(Address::to_string),
        bytes: envelope.bytes,
        sha256: hex(&envelope.sha256),
        accepted: time(envelope.accepted_us),
        expires: time(envelope.expires_us),
        utf8: word(&UTF8, utf8),
        requiretls: *require_tls,
        test: *test,
        ret: report.ret.map(|ret| ret.word().to_owned()),
        envid: report.envid.as_ref().map(Envid::to_string),
        on_unknown: word(&OnUnknown::WORDS, &envelope.on_unknown),
        reports: word(&Reports::WORDS, &envelope.reports),
        report: envelope.is_report,
        couriers_ended: envelope.ended,
        recipients: recipients.iter().map(line).collect(),
    };
    serde_json::to_string_pretty(&record).map(|text| text + "\n").map_err(|error| error.to_string())
}

/// Reads it.
///
/// Errors: what is wrong with it, in words.
pub fn read(text: &[u8]) -> Result<(Envelope, Vec<Recipient>), String> {
    let record: Record = serde_json::from_slice(text).map_err(|error| format!("it can't be read: {error}"))?;
    if record.format != FORMAT {
        return Err(format!("its form is {:?}, and this version reads {FORMAT}", record.format));
    }
    let envelope = record.envelope().filter(Envelope::is_sound).ok_or("there is a value in it that can be none")?;
    let recipients: Option<Vec<Recipient>> =
        record.recipients.iter().map(|line| recipient(line).filter(Recipient::is_sound)).collect();
    Ok((envelope, recipients.ok_or("there is a recipient in it that can be none")?))
}

impl Record {
    /// None when a value can't be one.
    fn envelope(&self) -> Option<Envelope> {
        let sender = self.sender.as_ref().map(|text| Address::parse_international(text)).transpose().ok()?;
        let ret = self.ret.as_ref().map(|text| Ret::parse(text)).transpose().ok()?;
        let envid = self.envid.clone().map(Envid::try_from).transpose().ok()?;
        let manner = Manner {
            utf8: meaning(&UTF8, &self.utf8)?,
            require_tls: self.requiretls,
            release_us: None,
            report: Report { ret, envid },
            test: self.test,
        };
        Some(Envelope {
            message: self.message.parse::<MessageId>().ok()?,
            session: self.session.parse().ok()?,
            credential: self.credential.clone(),
            sender,
            manner,
            bytes: self.bytes,
            sha256: unhex(&self.sha256)?,
            accepted_us: moment(&self.accepted)?,
            expires_us: moment(&self.expires)?,
            on_unknown: meaning(&OnUnknown::WORDS, &self.on_unknown)?,
            reports: meaning(&Reports::WORDS, &self.reports)?,
            is_report: self.report,
            ended: self.couriers_ended,
        })
    }
}

fn line(one: &Recipient) -> Line {
    Line {
        address: one.addressee.address.to_string(),
        state: one.standing.word().to_owned(),
        attempts: one.attempts,
        due: time(one.next_us),
        since: one.since_us.map(time),
        code: one.code,
        enhanced: one.enhanced.clone(),
        said: one.said.clone(),
        host: one.host.clone(),
        notify: one.addressee.wish.notify.map(|notify| notify.to_string()),
        orcpt: one.addressee.wish.orcpt.as_ref().map(Orcpt::to_string),
        unknown: one.unknown,
    }
}

fn recipient(line: &Line) -> Option<Recipient> {
    let notify = line.notify.as_ref().map(|text| Notify::parse(text)).transpose().ok()?;
    let orcpt = line.orcpt.clone().map(Orcpt::try_from).transpose().ok()?;
    let address = Address::parse_international(&line.address).ok()?;
    let since_us = line.since.as_ref().map(|since| moment(since).ok_or(())).transpose().ok()?;
    Some(Recipient {
        addressee: Addressee { address, wish: Wish { notify, orcpt } },
        standing: meaning(&Standing::WORDS, &line.state).or_else(|| meaning(&ENDS, &line.state))?,
        attempts: line.attempts,
        next_us: moment(&line.due)?,
        since_us,
        code: line.code,
        enhanced: line.enhanced.clone(),
        said: line.said.clone(),
        host: line.host.clone(),
        unknown: line.unknown,
    })
}

fn word<T: PartialEq>(words: &[(&str, T)], value: &T) -> String {
    words.iter().find(|(_, own)| own == value).map(|(word, _)| (*word).to_owned()).unwrap_or_default()
}

fn meaning<T: Copy>(words: &[(&str, T)], text: &str) -> Option<T> {
    words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value)
}

fn time(us: u64) -> String {
    let moment = i64::try_from(us).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok()).unwrap_or_default();
    format!("{moment:.6}")
}

fn moment(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_microsecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> (Envelope, Vec<Recipient>) {
        let report = Report { ret: Some(Ret::Headers), envid: Some(Envid::try_from("Q+2B1".to_owned()).unwrap()) };
        let envelope = Envelope {
            message: MessageId::now(),
            session: uuid::Uuid::now_v7(),
            credential: "shop".into(),
            sender: Some(Address::parse("a@example.net").unwrap()),
            manner: Manner { utf8: Utf8::Needed, require_tls: true, release_us: None, report, test: true },
            bytes: 7,
            sha256: [0xa5; 32],
            accepted_us: 1_700_000_000_000_001,
            expires_us: 1_700_000_100_000_000,
            on_unknown: OnUnknown::Hold,
            reports: Reports::None,
            is_report: true,
            ended: 1,
        };
        let one = |standing| Recipient {
            addressee: Addressee {
                address: Address::parse_international("\"a b\"@exämple.org").unwrap(),
                wish: Wish {
                    notify: Some(Notify::parse("SUCCESS,DELAY").unwrap()),
                    orcpt: Some(Orcpt::try_from("rfc822;a@b".to_owned()).unwrap()),
                },
            },
            standing,
            attempts: 3,
            next_us: 1_700_000_050_000_000,
            since_us: Some(1_700_000_000_000_002),
            code: Some(451),
            enhanced: Some("4.2.0".into()),
            said: Some("a \"word\"".into()),
            host: None,
            unknown: true,
        };
        let all = Standing::WORDS.iter().chain(&ENDS).map(|(_, standing)| one(*standing)).collect();
        (envelope, all)
    }

    #[test]
    fn what_is_written_of_a_message_is_read_as_it_was() {
        let (envelope, recipients) = message();
        let written = text(&envelope, &recipients).unwrap();
        assert_eq!(read(written.as_bytes()), Ok((envelope.clone(), recipients)));
        let nobody = Envelope { sender: None, manner: Manner::default(), ..envelope };
        let written = text(&nobody, &[]).unwrap();
        assert_eq!(read(written.as_bytes()), Ok((nobody, vec![])));
    }

    #[test]
    fn what_can_be_no_value_is_refused() {
        let (envelope, recipients) = message();
        let written = text(&envelope, &recipients).unwrap();
        for (good, bad) in [
            ("gatepost-message/1", "gatepost-message/2"),
            ("a@example.net", "a@example.net\\r\\nRCPT TO:<b@example.org>"),
            ("\"utf8\"", "\"utf9\""),
            ("\"needed\"", "\"wanted\""),
            ("\"HDRS\"", "\"SOME\""),
            ("2023-11-14T22:13:20.000001Z", "yesterday"),
            ("2023-11-14T22:13:20.000002Z", "long ago"),
            ("\"reports\": \"none\"", "\"reports\": \"some\""),
            ("\"leased\"", "\"lost\""),
            ("SUCCESS,DELAY", "SUCCESS,NEVER"),
            ("rfc822;a@b", "a@b"),
            ("a5a5", "a5"),
            ("\"couriers_ended\": 1", "\"couriers_ended\": 4294967295"),
            ("\"attempts\": 3", "\"attempts\": 4294967295"),
            ("\"shop\"", "\"a shop\""),
            ("a \\\"word\\\"", &"x".repeat(3_000_000)),
        ] {
            assert!(written.contains(good), "{good}");
            assert!(read(written.replace(good, bad).as_bytes()).is_err(), "{bad}");
        }
    }
}
