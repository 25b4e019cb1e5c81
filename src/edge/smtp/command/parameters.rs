//! What stands behind the path of MAIL and RCPT: parameters of the extensions that we announce, each at most once.

use super::{Fault, Mail};
use crate::mail::address::ReversePath;
use crate::mail::dsn::{Envid, Notify, Orcpt, Ret, Unfit, Wish};
use crate::mail::envelope::Utf8;
use crate::mail::hold::Hold;
use crate::mail::xtext;

/// The keywords that are known behind MAIL and behind RCPT.
pub const OF_MAIL: [&str; 9] =
    ["SIZE", "BODY", "AUTH", "SMTPUTF8", "REQUIRETLS", "HOLDFOR", "HOLDUNTIL", "RET", "ENVID"];
pub const OF_RCPT: [&str; 2] = ["NOTIFY", "ORCPT"];
/// What has no keyword that could be one.
pub const NONE: &str = "a parameter";

pub fn of_mail(from: ReversePath, parameters: &str) -> Result<Mail, Fault> {
    let mut mail = Mail { from, ..Mail::default() };
    let mut auth = false;
    for parameter in split(parameters, &OF_MAIL)? {
        let (keyword, value) = parameter?;
        let wrong = Fault::Parameter(keyword);
        let report = &mut mail.manner.report;
        let once = match keyword {
            "SIZE" => mail.size.replace(number(value).ok_or(wrong)?).is_none(),
            "BODY" => is_body_type(value) && !std::mem::replace(&mut mail.body, true),
            "AUTH" => is_on_behalf(value) && !std::mem::replace(&mut auth, true),
            "SMTPUTF8" => value.is_none() && std::mem::replace(&mut mail.manner.utf8, Utf8::Allowed) == Utf8::None,
            "REQUIRETLS" => value.is_none() && !std::mem::replace(&mut mail.manner.require_tls, true),
            // One of the two, once (RFC 4865 section 4).
            "HOLDFOR" => mail.hold.replace(value.and_then(Hold::seconds).ok_or(wrong)?).is_none(),
            "HOLDUNTIL" => mail.hold.replace(value.and_then(Hold::until).ok_or(wrong)?).is_none(),
            "RET" => report.ret.replace(read(value, Ret::parse).ok_or(wrong)?).is_none(),
            _ => {
                let envid = read(value, |text| Envid::try_from(text.to_owned()));
                report.envid.replace(envid.ok_or(wrong)?).is_none()
            }
        };
        if !once {
            return Err(wrong);
        }
    }
    Ok(mail)
}

pub fn of_rcpt(parameters: &str) -> Result<Wish, Fault> {
    let mut wish = Wish::default();
    for parameter in split(parameters, &OF_RCPT)? {
        let (keyword, value) = parameter?;
        let wrong = Fault::Parameter(keyword);
        let once = match keyword {
            "NOTIFY" => wish.notify.replace(read(value, Notify::parse).ok_or(wrong)?).is_none(),
            _ => wish.orcpt.replace(read(value, original).ok_or(wrong)?).is_none(),
        };
        if !once {
            return Err(wrong);
        }
    }
    Ok(wish)
}

type Parameter<'a> = Result<(&'static str, Option<&'a str>), Fault>;

/// `SP keyword[=value]`, any number of them (RFC 5321 section 4.1.2, esmtp-param), each by its keyword among those known.
fn split<'a>(
    parameters: &'a str,
    known: &'static [&'static str],
) -> Result<impl Iterator<Item = Parameter<'a>>, Fault> {
    let all = match parameters {
        "" => None,
        some => Some(some.strip_prefix(' ').ok_or(Fault::Argument)?),
    };
    Ok(all.into_iter().flat_map(|all| all.split(' ')).map(|one| {
        let (keyword, value) = one.split_once('=').map_or((one, None), |(keyword, value)| (keyword, Some(value)));
        let keyword = known.iter().copied().find(|name| name.eq_ignore_ascii_case(keyword)).ok_or_else(|| {
            let named = keyword.starts_with(|first: char| first.is_ascii_alphanumeric())
                && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
            if named { Fault::UnknownParameter } else { Fault::Parameter(NONE) }
        })?;
        let valued = value.is_none_or(|value| !value.is_empty() && !value.contains('='));
        if valued { Ok((keyword, value)) } else { Err(Fault::Parameter(keyword)) }
    }))
}

/// A value that must be there, by what reads it.
fn read<T, E>(value: Option<&str>, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
    value.and_then(|text| parse(text).ok())
}

/// RFC 6533 section 3: one in UTF-8 is written as the next server may be told it, with or without SMTPUTF8.
fn original(text: &str) -> Result<Orcpt, Unfit> {
    if text.is_ascii() {
        return Orcpt::try_from(text.to_owned());
    }
    let (kind, address) = text.split_once(';').filter(|(kind, _)| kind.eq_ignore_ascii_case("utf-8")).ok_or(Unfit)?;
    let mut written = format!("{kind};");
    for c in address.chars() {
        match c.is_ascii() {
            true => written.push(c),
            false => written.push_str(&format!("\\x{{{:X}}}", u32::from(c))),
        }
    }
    Orcpt::try_from(written)
}

/// RFC 1870: one to twenty digits. A sign, an exponent or an overflow is no size.
pub fn number(value: Option<&str>) -> Option<u64> {
    let digits = value.filter(|value| value.len() <= 20 && value.bytes().all(|octet| octet.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok())
}

/// RFC 6152. Eight bits pass through either way; BINARYMIME is not announced.
fn is_body_type(value: Option<&str>) -> bool {
    value.is_some_and(|value| ["7BIT", "8BITMIME"].iter().any(|known| known.eq_ignore_ascii_case(value)))
}

/// RFC 4954 section 5: `AUTH=` is read, accepted from anybody, and believed of nobody.
fn is_on_behalf(value: Option<&str>) -> bool {
    value.and_then(xtext::decode).is_some()
}
