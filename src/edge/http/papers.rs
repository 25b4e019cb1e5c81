//! What this listener serves, said by itself: an OpenAPI document, and a page for people. Both are compiled in and refer to nothing
//! elsewhere; a listener's document has the paths that it serves and no others.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderValue};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::reply::{self, Reply};
use crate::config::slice::Serve;
use crate::mail::id::MessageId;

/// OpenAPI 3.1, of everything that there can be. `x-serve` at each path is the listener's word for it.
pub const OPENAPI: &str = include_str!("papers/openapi.json");
const PAGE: &str = include_str!("papers/docs.html");
const SERVE: &str = "x-serve";

/// One document as it is sent.
#[derive(Debug)]
pub struct Paper {
    octets: Bytes,
    /// Of its octets (RFC 9110 section 8.8.3).
    tag: HeaderValue,
    kind: HeaderValue,
    /// What a browser may do with it.
    policy: HeaderValue,
}

/// Those of one listener.
#[derive(Debug)]
pub struct Papers {
    pub openapi: Paper,
    pub page: Paper,
}

impl Papers {
    /// For a listener that serves these.
    pub fn of(served: &[Serve]) -> Self {
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        let openapi = Paper::new(document(served).into(), HeaderValue::from_static("application/json"), policy);
        let html = HeaderValue::from_static("text/html; charset=utf-8");
        Self { openapi, page: Paper::new(Bytes::from_static(PAGE.as_bytes()), html, style_alone(PAGE)) }
    }
}

impl Paper {
    fn new(octets: Bytes, kind: HeaderValue, policy: HeaderValue) -> Self {
        let tag = format!("\"{}\"", STANDARD.encode(Sha256::digest(&octets)));
        // Base64 is visible ASCII.
        Self { tag: HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\"")), octets, kind, policy }
    }

    /// The document, or that it is the one that the client has (RFC 9110 section 13.1.2).
    pub fn answer(&self, headers: &HeaderMap, id: MessageId) -> Reply {
        let mut known = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
        let is_known = known.any(|list| {
            let tags = list.split(',').map(|tag| tag.trim_ascii().trim_start_matches("W/"));
            tags.into_iter().any(|tag| tag == "*" || tag.as_bytes() == self.tag.as_bytes())
        });
        let mut reply = reply::json(StatusCode::OK, &(), id);
        if is_known {
            *reply.status_mut() = StatusCode::NOT_MODIFIED;
        }
        *reply.body_mut() = if is_known { Bytes::new() } else { self.octets.clone() }.into();
        let fields = [
            (header::CONTENT_TYPE, self.kind.clone()),
            (header::CONTENT_SECURITY_POLICY, self.policy.clone()),
            (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
            (header::ETAG, self.tag.clone()),
        ];
        for (name, value) in fields {
            // In place of what all replies have.
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

/// The document without what isn't served.
fn document(served: &[Serve]) -> Vec<u8> {
    let words: Vec<Value> = served.iter().filter_map(|serve| serde_json::to_value(serve).ok()).collect();
    // It is ours, and a test reads it.
    let mut whole: Value = serde_json::from_str(OPENAPI).unwrap_or_default();
    if let Some(paths) = whole["paths"].as_object_mut() {
        paths.retain(|_, item| words.contains(&item[SERVE]));
    }
    if let Some(tags) = whole["tags"].as_array_mut() {
        tags.retain(|tag| words.contains(&tag["name"]));
    }
    serde_json::to_vec(&whole).unwrap_or_default()
}

/// A policy under which a page has its own style and nothing else (CSP level 3 section 2.3.1, hash sources).
fn style_alone(page: &str) -> HeaderValue {
    let style =
        page.split_once("<style>").and_then(|(_, rest)| rest.split_once("</style>")).map_or("", |(style, _)| style);
    let hash = STANDARD.encode(Sha256::digest(style));
    let policy = format!("default-src 'none'; style-src 'sha256-{hash}'; frame-ancestors 'none'; base-uri 'none'");
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

#[cfg(test)]
mod tests;
