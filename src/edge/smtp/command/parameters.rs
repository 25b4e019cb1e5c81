//! What stands behind the path of MAIL and RCPT: parameters of the extensions that we announce, each at most once.

use super::{Fault, Mail};
use crate::mail::address::ReversePath;
use crate::mail::dsn::{Envid, Notify, Orcpt, Ret, Unfit, Wish};
use crate::mail::envelope::Utf8;
use crate::mail::hold::Hold;
use crate::mail::xtext;

pub fn of_mail(from: ReversePath, parameters: &str) -> Result<Mail, Fault> {
    let mut mail = Mail { from, ..Mail::default() };
    let mut auth = false;
    for parameter in split(parameters)? {
        let (keyword, value) = parameter?;
        let report = &mut mail.manner.report;
        let once = match keyword.to_ascii_uppercase().as_str() {
            "SIZE" => mail.size.replace(number(value)?).is_none(),
            "BODY" => !std::mem::replace(&mut mail.body, body_type(value)?),
            "AUTH" => !std::mem::replace(&mut auth, on_behalf(value)?),
            "SMTPUTF8" if value.is_some() => return Err(Fault::Parameter),
            "SMTPUTF8" => std::mem::replace(&mut mail.manner.utf8, Utf8::Allowed) == Utf8::None,
            "REQUIRETLS" if value.is_some() => return Err(Fault::Parameter),
            "REQUIRETLS" => !std::mem::replace(&mut mail.manner.require_tls, true),
            // One of the two, once (RFC 4865 section 4).
            "HOLDFOR" => mail.hold.replace(some(value, Hold::seconds)?).is_none(),
            "HOLDUNTIL" => mail.hold.replace(some(value, Hold::until)?).is_none(),
            "RET" => report.ret.replace(read(value, Ret::parse)?).is_none(),
            "ENVID" => report.envid.replace(read(value, |text| Envid::try_from(text.to_owned()))?).is_none(),
            _ => return Err(Fault::UnknownParameter),
        };
        if !once {
            return Err(Fault::Parameter);
        }
    }
    Ok(mail)
}

pub fn of_rcpt(parameters: &str) -> Result<Wish, Fault> {
    let mut wish = Wish::default();
    for parameter in split(parameters)? {
        let (keyword, value) = parameter?;
        let once = match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => wish.notify.replace(read(value, Notify::parse)?).is_none(),
            "ORCPT" => wish.orcpt.replace(read(value, original)?).is_none(),
            _ => return Err(Fault::UnknownParameter),
        };
        if !once {
            return Err(Fault::Parameter);
        }
    }
    Ok(wish)
}

type Parameter<'a> = Result<(&'a str, Option<&'a str>), Fault>;

/// `SP keyword[=value]`, any number of them (RFC 5321 section 4.1.2, esmtp-param).
fn split(parameters: &str) -> Result<impl Iterator<Item = Parameter<'_>>, Fault> {
    let all = match parameters {
        "" => None,
        some => Some(some.strip_prefix(' ').ok_or(Fault::Argument)?),
    };
    Ok(all.into_iter().flat_map(|all| all.split(' ')).map(|one| {
        let (keyword, value) = one.split_once('=').map_or((one, None), |(keyword, value)| (keyword, Some(value)));
        let named = keyword.starts_with(|first: char| first.is_ascii_alphanumeric())
            && keyword.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        let valued = value.is_none_or(|value| !value.is_empty() && !value.contains('='));
        if named && valued { Ok((keyword, value)) } else { Err(Fault::Parameter) }
    }))
}

/// A value that must be there, by what reads it.
fn read<T, E>(value: Option<&str>, parse: impl FnOnce(&str) -> Result<T, E>) -> Result<T, Fault> {
    value.and_then(|text| parse(text).ok()).ok_or(Fault::Parameter)
}

fn some<T>(value: Option<&str>, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Fault> {
    value.and_then(parse).ok_or(Fault::Parameter)
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
pub fn number(value: Option<&str>) -> Result<u64, Fault> {
    let digits = value.filter(|value| value.len() <= 20 && value.bytes().all(|octet| octet.is_ascii_digit()));
    digits.and_then(|digits| digits.parse().ok()).ok_or(Fault::Parameter)
}

/// RFC 6152. Eight bits pass through either way; BINARYMIME is not announced.
fn body_type(value: Option<&str>) -> Result<bool, Fault> {
    let known = |value: &str| ["7BIT", "8BITMIME"].iter().any(|known| known.eq_ignore_ascii_case(value));
    if value.is_some_and(known) { Ok(true) } else { Err(Fault::Parameter) }
}

/// RFC 4954 section 5: `AUTH=` is read, accepted from anybody, and believed of nobody.
fn on_behalf(value: Option<&str>) -> Result<bool, Fault> {
    value.and_then(xtext::decode).map(|_| true).ok_or(Fault::Parameter)
}
