//! The paths of the surfaces, and what is done there.

use hyper::Method;

use super::{SURFACES, Surface, below, single};
use crate::config::slice::Serve;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    Bulk,
    Send,
    ResendEmail,
    ResendBatch,
    ResendList,
    PostmarkEmail,
    PostmarkBatch,
    PostmarkTemplate,
    PostmarkServer,
    UsesendEmail,
    UsesendBatch,
}

/// Path, methods, the same as `Allow` says it, what it is, and whose.
const CALLS: [(&str, &[Method], &str, Call, Surface); 16] = [
    ("/v1/send-bulk", &[Method::POST], "POST", Call::Bulk, Surface::V1),
    ("/send", &[Method::POST], "POST", Call::Send, Surface::Send),
    ("/emails", &[Method::POST], "POST", Call::ResendEmail, Surface::Resend),
    ("/emails/batch", &[Method::POST], "POST", Call::ResendBatch, Surface::Resend),
    ("/domains", &[Method::GET], "GET", Call::ResendList, Surface::Resend),
    ("/api-keys", &[Method::GET], "GET", Call::ResendList, Surface::Resend),
    ("/email", &[Method::POST], "POST", Call::PostmarkEmail, Surface::Postmark),
    ("/email/batch", &[Method::POST], "POST", Call::PostmarkBatch, Surface::Postmark),
    ("/email/withTemplate", &[Method::POST], "POST", Call::PostmarkTemplate, Surface::Postmark),
    // Its own documents have both.
    ("/email/withTemplate/", &[Method::POST], "POST", Call::PostmarkTemplate, Surface::Postmark),
    ("/email/batchWithTemplates", &[Method::POST], "POST", Call::PostmarkTemplate, Surface::Postmark),
    ("/email/batchWithTemplates/", &[Method::POST], "POST", Call::PostmarkTemplate, Surface::Postmark),
    ("/server", &[Method::GET], "GET", Call::PostmarkServer, Surface::Postmark),
    ("/server/", &[Method::GET], "GET", Call::PostmarkServer, Surface::Postmark),
    ("/api/v1/emails", &[Method::POST], "POST", Call::UsesendEmail, Surface::Usesend),
    ("/api/v1/emails/batch", &[Method::POST], "POST", Call::UsesendBatch, Surface::Usesend),
];

/// Every path, with its methods and what a listener must serve to have it.
#[cfg(test)]
pub fn table() -> impl Iterator<Item = (&'static str, &'static [Method], Serve)> {
    let serve = |surface| SURFACES.iter().find(|row| row.0 == surface).map(|row| row.1);
    CALLS.iter().filter_map(move |row| Some((row.0, row.1, serve(row.4)?)))
}

impl Call {
    /// The path, for logs.
    pub fn path(self) -> &'static str {
        CALLS.iter().find(|row| row.3 == self).map_or("", |row| row.0)
    }

    /// Nothing is sent by it, and its body, if some client sends one, says nothing.
    pub const fn is_look_up(self) -> bool {
        matches!(self, Self::ResendList | Self::PostmarkServer)
    }

    pub fn surface(self) -> Surface {
        CALLS.iter().find(|row| row.3 == self).map_or(Surface::V1, |row| row.4)
    }
}

/// What there is at a path of a surface that the listener serves: its methods, the same as `Allow` says it, and the call.
pub fn find(path: &str, served: &[Serve]) -> Option<(&'static [Method], &'static str, Call)> {
    let path = single(path);
    SURFACES.iter().filter(|row| served.contains(&row.1)).find_map(|(surface, _, mount, _)| {
        let path = mount.and_then(|mount| below(path, mount)).unwrap_or(path);
        let call = CALLS.iter().find(|row| row.0 == path && row.4 == *surface)?;
        Some((call.1, call.2, call.3))
    })
}
