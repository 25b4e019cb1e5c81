//! JSON trees on their way from another API's members to those of `/v1/send`.

use std::borrow::Cow;

use crate::edge::http::json::{Node, parse_octets};
use crate::edge::http::reply::{Code, Fault, Issue};

/// A member of the other API and its name in `/v1/send`.
pub type Renaming = [(&'static str, &'static str)];

/// An object's members, each taken out once.
#[derive(Debug)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Node<'a>)>);

impl<'a> Object<'a> {
    /// Anything but an object is refused.
    pub fn of(node: Node<'a>) -> Result<Self, Fault> {
        match node {
            Node::Map(members) => Ok(Self(members)),
            other => Err(invalid("wrong_type", "", format!("must be an object and is {}", other.kind()))),
        }
    }

    /// A member; one that is null is absent.
    pub fn take(&mut self, name: &str) -> Option<Node<'a>> {
        let at = self.0.iter().position(|(known, _)| known == name)?;
        Some(self.0.swap_remove(at).1).filter(|node| *node != Node::Null)
    }

    /// Whether it has a member that isn't null.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, node)| known == name && *node != Node::Null)
    }

    /// Those members that have a name in `/v1/send`, under it. The rest is dropped: clients say more than we do.
    pub fn renamed(mut self, names: &Renaming) -> Vec<(Cow<'a, str>, Node<'a>)> {
        names.iter().filter_map(|(theirs, ours)| self.take(theirs).map(|node| (Cow::Borrowed(*ours), node))).collect()
    }
}

/// Each object of a list with its members renamed. What is no list, or no object in it, is left to be found out by who reads.
pub fn each<'a>(node: Node<'a>, names: &Renaming) -> Node<'a> {
    let Node::List(list) = node else { return node };
    let renamed = |node| match node {
        Node::Map(members) => Node::Map(Object(members).renamed(names)),
        other => other,
    };
    Node::List(list.into_iter().map(renamed).collect())
}

/// The messages of a batch, at least one and at most so many.
pub fn batch(body: &[u8], most: usize) -> Result<Vec<Node<'_>>, Fault> {
    let list = match parse_octets(body, true)? {
        Node::List(list) => list,
        other => {
            return Err(invalid("wrong_type", "", format!("must be an array of messages and is {}", other.kind())));
        }
    };
    if list.is_empty() {
        return Err(invalid("required", "", "holds no message".into()));
    }
    if list.len() > most {
        return Err(invalid("too_many", "", format!("holds more than {most} messages")));
    }
    Ok(list)
}

/// One finding as a fault.
pub fn invalid(code: &'static str, pointer: &str, message: String) -> Fault {
    Fault::of(Code::ValidationFailed, vec![Issue { code, pointer: pointer.to_owned(), message }])
}
