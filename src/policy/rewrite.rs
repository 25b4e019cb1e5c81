//! One line of a credential's rewriting: whose mail becomes whose.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::rule::SenderRule;
use crate::mail::address::Address;
use crate::mail::removal;

/// Lines of one credential.
pub const MOST: usize = 64;

/// `PATTERN=ADDRESS`: what the pattern (as in `senders`) matches becomes the address, which is ASCII.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rewrite {
    pub from: SenderRule,
    pub to: Address,
}

impl Rewrite {
    /// Reads the two halves, where they stand apart.
    ///
    /// Errors: in words: which half can't be read, and what it looks like.
    pub fn new(from: &str, to: &str) -> Result<Self, String> {
        let from = from.parse().map_err(|why: super::rule::NotARule| why.to_string())?;
        let to = Address::parse(to)
            .map_err(|why| format!("{to:?} is not an address to rewrite to ({why}): write \"user@domain\""))?;
        if !to.is_qualified() {
            return Err(format!("{to}: its domain is not a full name, and upstreams would refuse it"));
        }
        Ok(Self { from, to })
    }

    /// An address goes before one with any tag, that before its domain, and a domain before everything.
    const fn rank(&self) -> u8 {
        match self.from {
            SenderRule::Address(_) => 0,
            SenderRule::Tagged(_) => 1,
            SenderRule::Domain(_) => 2,
            SenderRule::Any => 3,
        }
    }
}

/// What this address becomes by the nearest of these.
pub fn find<'a>(list: &'a [Rewrite], address: &Address) -> Option<&'a Address> {
    list.iter().filter(|line| line.from.matches(address)).min_by_key(|line| line.rank()).map(|line| &line.to)
}

impl FromStr for Rewrite {
    type Err = String;

    /// An equals sign may be part of a local part: the border is the first one with a pattern before it and an address
    /// behind it.
    fn from_str(text: &str) -> Result<Self, String> {
        let halves = text.match_indices('=').filter_map(|(at, _)| Some((text.get(..at)?, text.get(at + 1..)?)));
        let read = halves.filter_map(|(from, to)| Self::new(from, to).ok()).next();
        read.ok_or_else(|| {
            format!(
                "{text:?} rewrites nothing: write \"PATTERN=user@domain\", where the pattern is \"user@domain\", \"@domain\" \
                 or \"*\" and the address is ASCII"
            )
        })
    }
}

impl fmt::Display for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.from, self.to)
    }
}

impl TryFrom<String> for Rewrite {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Rewrite> for String {
    fn from(line: Rewrite) -> Self {
        line.to_string()
    }
}

impl Policy {
    /// What is wrong with the changes to its messages; in words.
    pub fn check_changes(&self) -> Result<(), String> {
        if self.rewrite.len() > MOST {
            return Err(format!("rewrite: at most {}", MOST));
        }
        if self.remove_headers.len() > removal::MOST {
            return Err(format!("remove_headers: at most {}", removal::MOST));
        }
        for (at, line) in self.rewrite.iter().enumerate() {
            if !self.senders.iter().any(|rule| rule.matches(&line.to)) {
                return Err(format!(
                    "rewrite: {} is none of its senders, so it would be refused: add it to them",
                    line.to
                ));
            }
            if self.rewrite.iter().take(at).any(|other| other.from == line.from) {
                return Err(format!("rewrite: {} stands there twice", line.from));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn row_55a_the_nearest_line_holds_whatever_the_order() {
        let list: Vec<Rewrite> = ["*=any@ok.net", "@web.internal=web@ok.net", "root@web.internal=root@ok.net"]
            .iter()
            .map(|line| line.parse().unwrap())
            .collect();
        for (address, expected) in [
            ("root@WEB.internal", "root@ok.net"),
            ("cron@web.internal", "web@ok.net"),
            ("cron@sub.web.internal", "any@ok.net"),
        ] {
            assert_eq!(find(&list, &Address::parse(address).unwrap()).unwrap().to_string(), expected, "{address}");
            assert_eq!(find(&[], &Address::parse(address).unwrap()), None);
        }
    }

    #[test]
    fn row_55a_a_line_is_read_as_it_is_written() {
        for text in ["root@web=a@ok.net", "@web.internal=a@ok.net", "*=a@ok.net", "a=b@web=c=d@ok.net"] {
            assert_eq!(text.parse::<Rewrite>().map(|line| line.to_string()).as_deref(), Ok(text));
        }
        for bad in
            ["", "=", "root@web", "root@web=", "root@web=@ok.net", "web=a@ok.net", "a@b=c@d", "a@b=\u{e4}@ok.net"]
        {
            assert!(bad.parse::<Rewrite>().unwrap_err().contains("PATTERN="), "{bad}");
        }
    }
}
