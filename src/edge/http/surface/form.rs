//! A key that stands in a public page: which pages may use it, and what its messages have of themselves. The vault has the page's
//! host by the token that came with the message; what a browser says of its page is asked here.

use hyper::header::{self, HeaderMap};

use super::tree::invalid;
use crate::edge::http::json::Node;
use crate::edge::http::reply::Fault;
use crate::edge::http::submit;
use crate::policy::Grant;
use crate::policy::form::Form;
use crate::policy::rule::RecipientRule;

/// Members that could carry what no visitor of a form writes.
const NEVER: [&str; 2] = ["attachments", "headers"];

/// Whether the request comes from a page of this form, as the visitor's browser says it. A request without a page has no origin.
pub fn stands_in(form: &Form, headers: &HeaderMap) -> Result<(), Fault> {
    let mut all = headers.get_all(header::ORIGIN).iter();
    match (all.next(), all.next()) {
        (Some(only), None) if form.origins.iter().any(|own| own.as_bytes() == only.as_bytes()) => Ok(()),
        _ => Err(submit::elsewhere()),
    }
}

/// The message with its sender and recipients, where the page says none, so that no address need stand in it; and whether its
/// recipients in `to` come from here.
pub fn filled<'a>(body: Node<'a>, grant: &Grant) -> Result<(Node<'a>, bool), Fault> {
    // Who reads it finds out that it is no object.
    let Node::Map(mut members) = body else { return Ok((body, false)) };
    let says = |name: &str, members: &[(_, Node<'a>)]| {
        let is_empty = |node: &Node<'_>| match node {
            Node::Null => true,
            Node::Text(text) => text.is_empty(),
            Node::List(list) => list.is_empty(),
            Node::Map(map) => map.is_empty(),
            _ => false,
        };
        members.iter().any(|(known, node): &(std::borrow::Cow<'a, str>, _)| known == name && !is_empty(node))
    };
    if let Some(name) = NEVER.iter().find(|name| says(name, &members)) {
        let message =
            "is not for this key, which stands in a page: say what there is to say in text or html".to_owned();
        return Err(invalid("not_allowed", &format!("/{name}"), message));
    }
    if let Some(sender) = grant.only_sender().filter(|_| !says("from", &members)) {
        members.retain(|(name, _)| name != "from");
        members.push(("from".into(), Node::Text(sender.to_string().into())));
    }
    let is_filled = !says("to", &members);
    if is_filled {
        members.retain(|(name, _)| name != "to");
        let address = |rule: &RecipientRule| match rule {
            RecipientRule::Address(address) => Some(Node::Text(address.to_string().into())),
            _ => None,
        };
        members.push(("to".into(), Node::List(grant.recipients.allow.iter().filter_map(address).collect())));
    }
    Ok((Node::Map(members), is_filled))
}
