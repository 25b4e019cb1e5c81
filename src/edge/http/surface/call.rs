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
    ResendOne,
    ResendAll,
    ResendUpdate,
    ResendCancel,
    ResendList,
    PostmarkEmail,
    PostmarkBatch,
    PostmarkTemplate,
    PostmarkServer,
    PostmarkOne,
    PostmarkAll,
    UsesendEmail,
    UsesendBatch,
}

/// Path, methods, the same as `Allow` says it, what it is, and whose.
const CALLS: [(&str, &[Method], &str, Call, Surface); 22] = [
    ("/v1/send-bulk", &[Method::POST], "POST", Call::Bulk, Surface::V1),
    ("/send", &[Method::POST], "POST", Call::Send, Surface::Send),
    ("/emails", &[Method::POST], "GET, POST", Call::ResendEmail, Surface::Resend),
    ("/emails", &[Method::GET], "GET, POST", Call::ResendAll, Surface::Resend),
    ("/emails/{id}", &[Method::GET], "GET, PATCH", Call::ResendOne, Surface::Resend),
    ("/emails/{id}", &[Method::PATCH], "GET, PATCH", Call::ResendUpdate, Surface::Resend),
    ("/emails/{id}/cancel", &[Method::POST], "POST", Call::ResendCancel, Surface::Resend),
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
    ("/messages/outbound", &[Method::GET], "GET", Call::PostmarkAll, Surface::Postmark),
    ("/messages/outbound/{id}/details", &[Method::GET], "GET", Call::PostmarkOne, Surface::Postmark),
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

    /// Nothing is sent by it.
    pub const fn is_look_up(self) -> bool {
        matches!(self, Self::ResendList | Self::PostmarkServer) || self.is_asked_of_the_vault()
    }

    /// There may be several messages in its body.
    pub const fn is_batch(self) -> bool {
        matches!(self, Self::Bulk | Self::ResendBatch | Self::PostmarkBatch | Self::UsesendBatch)
    }

    /// What became of mail, or taking some back, or giving it another time.
    pub const fn is_asked_of_the_vault(self) -> bool {
        matches!(
            self,
            Self::ResendOne
                | Self::ResendAll
                | Self::ResendUpdate
                | Self::ResendCancel
                | Self::PostmarkOne
                | Self::PostmarkAll
        )
    }

    /// Its body says something; that of another, if some client sends one, doesn't.
    pub const fn reads_its_body(self) -> bool {
        matches!(self, Self::ResendUpdate) || !self.is_look_up()
    }

    pub fn surface(self) -> Surface {
        CALLS.iter().find(|row| row.3 == self).map_or(Surface::V1, |row| row.4)
    }
}

/// What there is at a path of a surface that the listener serves: its methods, the same as `Allow` says it, and the call. Where a
/// path has several calls, it is the one of that method, if there is one.
pub fn find(path: &str, method: &Method, served: &[Serve]) -> Option<(&'static [Method], &'static str, Call)> {
    let path = single(path);
    SURFACES.iter().filter(|row| served.contains(&row.1)).find_map(|(surface, _, mount, _)| {
        let path = mount.and_then(|mount| below(path, mount)).unwrap_or(path);
        let here = || CALLS.iter().filter(|row| row.4 == *surface);
        // A name that some path has is no id.
        let is_named = here().any(|row| row.0 == path);
        let rows = || here().filter(|row| if is_named { row.0 == path } else { is_of(path, row.0) });
        let call = rows().find(|row| row.1.contains(method)).or_else(|| rows().next())?;
        Some((call.1, call.2, call.3))
    })
}

/// Whether a path is one with an id at the place of `{id}`.
fn is_of(path: &str, pattern: &str) -> bool {
    let (mut segments, mut parts) = (path.split('/'), pattern.split('/'));
    loop {
        match (segments.next(), parts.next()) {
            (None, None) => return true,
            (Some(id), Some("{id}")) if !id.is_empty() => {}
            (Some(segment), Some(part)) if segment == part => {}
            _ => return false,
        }
    }
}
