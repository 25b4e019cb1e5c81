//! What the documents say is what there is.

use std::collections::BTreeSet;

use hyper::Method;
use serde_json::json;

use super::super::request::route;
use super::super::{letter, v1};
use super::*;

const ALL: [Serve; 7] =
    [Serve::V1, Serve::Ops, Serve::Send, Serve::Resend, Serve::Postmark, Serve::Usesend, Serve::Hooks];

fn whole() -> Value {
    serde_json::from_str(OPENAPI).unwrap()
}

fn strings(list: &Value) -> BTreeSet<&str> {
    list.as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect()
}

/// Every value that has this member.
fn having<'v>(value: &'v Value, name: &str, found: &mut Vec<&'v Value>) {
    if let Some(member) = value.get(name) {
        found.push(member);
    }
    let inner: Vec<&Value> = match value {
        Value::Array(list) => list.iter().collect(),
        Value::Object(members) => members.values().collect(),
        _ => Vec::new(),
    };
    inner.into_iter().for_each(|value| having(value, name, found));
}

#[test]
fn every_path_is_documented_and_nothing_else_is() {
    let whole = whole();
    let documented: BTreeSet<(String, &str)> = whole["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = ["get", "post", "put", "patch", "delete"].into_iter();
            methods.filter(|method| item.get(method).is_some()).map(|method| (path.clone(), method))
        })
        .collect();
    let mut served = BTreeSet::new();
    for (path, methods, serve) in super::super::request::table() {
        let item = &whole["paths"][path];
        assert_eq!(item[SERVE], serde_json::to_value(serve).unwrap(), "{path}");
        // HEAD is GET without its body.
        for method in methods.iter().filter(|method| **method != Method::HEAD) {
            let name = match *method {
                Method::GET => "get",
                Method::PATCH => "patch",
                _ => "post",
            };
            served.insert((path.to_owned(), name));
        }
    }
    assert_eq!(documented, served);
    for (path, method) in documented {
        let request = hyper::Request::builder()
            .method(method.to_uppercase().as_str())
            .uri(path.replace("{id}", "x").replace("{name}", "x"))
            .body(())
            .unwrap();
        assert!(route(&request.into_parts().0, &ALL).is_ok(), "{method} {path}");
    }
}

#[test]
fn the_members_and_bounds_of_a_message_are_those_that_are_read() {
    let whole = whole();
    let schemas = &whole["components"]["schemas"];
    for (schema, table) in [("Letter", v1::LETTER), ("Attachment", v1::ATTACHMENT), ("Field", v1::FIELD)] {
        let mut read: BTreeSet<&str> = table.iter().flat_map(|(name, also)| [&[*name], *also].concat()).collect();
        // It is known to be refused with its reason.
        read.remove("path");
        let documented = schemas[schema]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(read, documented, "{schema}");
    }
    let letter = &schemas["Letter"]["properties"];
    assert_eq!(letter["subject"]["maxLength"], letter::MAX_SUBJECT);
    assert_eq!(letter["from_name"]["maxLength"], letter::MAX_NAME);
    assert_eq!(letter["attachments"]["maxItems"], letter::MAX_ATTACHMENTS);
    assert_eq!(schemas["Mailboxes"]["oneOf"][1]["maxItems"], letter::MAX_RECIPIENTS);
    assert_eq!(letter["reply_to"]["oneOf"][1]["maxItems"], letter::MAX_REPLY_TO);
    for (member, number) in [("text", letter::MAX_TEXT), ("attachments", letter::MAX_ATTACHED)] {
        assert!(letter[member]["description"].as_str().unwrap().contains(&number.to_string()), "{member}");
    }
    // What it has as an example is taken.
    let mut examples = Vec::new();
    for path in ["/v1/send", "/v1/validate"] {
        having(&whole["paths"][path]["post"]["requestBody"], "example", &mut examples);
    }
    assert_eq!(examples.len(), 2);
    for example in examples {
        v1::letter(&serde_json::to_vec(example).unwrap(), None).unwrap();
    }
}

#[test]
fn the_codes_are_those_of_the_registry_and_of_the_manual() {
    let registry = include_str!("../reply.rs").split("pub struct Issue").next().unwrap();
    let codes: BTreeSet<_> = registry.split("=> (\"").skip(1).filter_map(|row| row.split('"').next()).collect();
    let whole = whole();
    let schemas = &whole["components"]["schemas"];
    assert_eq!(strings(&schemas["Error"]["properties"]["code"]["enum"]), codes);
    for code in codes {
        assert!(PAGE.contains(&format!("<tr id=\"{code}\"><td><code>{code}</code>")), "{code}");
    }
    let manual = include_str!("../../../../docs/http-api.md");
    let list = manual.split("The codes in `errors`:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let findings: BTreeSet<_> = list.split('`').skip(1).step_by(2).collect();
    assert_eq!(strings(&schemas["FindingCode"]["enum"]), findings);
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_referred_to() {
    let whole = whole();
    // That of the API: which Gatepost this is, strangers needn't know.
    assert_eq!(whole["info"]["version"], "1");
    let mut references = Vec::new();
    having(&whole, "$ref", &mut references);
    let named: BTreeSet<&str> = references.iter().map(|name| name.as_str().unwrap()).collect();
    for reference in &named {
        assert!(whole.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
    }
    for (kind, parts) in whole["components"].as_object().unwrap() {
        for name in parts.as_object().unwrap().keys().filter(|_| kind != "securitySchemes") {
            let reference = format!("#/components/{kind}/{name}");
            // The enum of findings is for readers alone.
            assert!(named.contains(&&*reference) || name == "FindingCode", "{reference}");
        }
    }
}

#[test]
fn a_listener_says_what_it_serves_and_not_what_others_do() {
    let paths = |served: &[Serve]| -> Vec<String> {
        let whole: Value = serde_json::from_slice(&document(served)).unwrap();
        let tags: Vec<_> = whole["tags"].as_array().unwrap().iter().map(|tag| tag["name"].clone()).collect();
        assert_eq!(tags.len(), served.len(), "{tags:?}");
        whole["paths"].as_object().unwrap().keys().cloned().collect()
    };
    assert_eq!(paths(&[Serve::Send]), ["/send"]);
    assert_eq!(paths(&ALL).len(), whole()["paths"].as_object().unwrap().len());
    assert!(!paths(&[Serve::V1, Serve::Usesend]).iter().any(|path| path == "/metrics" || path == "/emails"));
}

#[test]
fn a_client_that_has_it_is_told_so_and_a_browser_may_do_nothing_with_it_but_show_it() {
    let papers = Papers::of(&[Serve::V1]);
    for paper in [&papers.openapi, &papers.page] {
        let first = paper.answer(&HeaderMap::new(), MessageId::now());
        assert_eq!(first.status(), StatusCode::OK);
        let tag = first.headers()[header::ETAG].clone();
        for (asked, status) in [
            (tag.to_str().unwrap().to_owned(), StatusCode::NOT_MODIFIED),
            (format!("\"x\", W/{}", tag.to_str().unwrap()), StatusCode::NOT_MODIFIED),
            ("*".to_owned(), StatusCode::NOT_MODIFIED),
            ("\"x\"".to_owned(), StatusCode::OK),
        ] {
            let headers = [(header::IF_NONE_MATCH, asked.parse().unwrap())].into_iter().collect();
            assert_eq!(paper.answer(&headers, MessageId::now()).status(), status, "{asked}");
        }
        for name in first.headers().keys() {
            assert_eq!(first.headers().get_all(name).iter().count(), 1, "{name}");
        }
        assert_eq!(first.headers()[header::CACHE_CONTROL], "no-cache");
    }
    let head = papers.page.answer(&HeaderMap::new(), MessageId::now());
    assert_eq!(head.headers()[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let policy = head.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    // Nothing of the page is elsewhere, runs, or has a style that the policy doesn't know.
    for word in
        ["<script", "src=", "http://", "https://", "style=", "@import", "url(", "onload=", "onclick=", "onerror="]
    {
        let found = PAGE.split('\n').find(|line| line.contains(word) && line.trim_start().starts_with('<'));
        assert_eq!(found, None, "{word}");
    }
    assert_eq!(PAGE.matches("<style>").count(), 1);
    assert_eq!(json!(PAGE.matches("<pre>").count()), json!(PAGE.matches("</pre>").count()));
}
