//! What pages of other sites get, and what they don't.

use crate::config::slice::Serve;
use crate::edge::http::tests::house::{House, Response, Ways, post};
use crate::edge::http::tests::{GOOD, body};

const SITE: &str = "https://www.example.net";

fn house(serve: &[Serve], origins: &[&str]) -> House {
    House::with_desk(Ways::default(), |desk| {
        desk.serve = serve.to_vec();
        desk.reach.origins = origins.iter().map(|origin| (*origin).to_owned()).collect();
    })
}

/// A browser's question about a path.
async fn asked(path: &str, fields: &str, origins: &[&str]) -> Response {
    let request = format!("OPTIONS {path} HTTP/1.1\r\nHost: gate\r\n{fields}\r\n");
    house(&[Serve::V1, Serve::Send], origins).client.ask(&request).await
}

#[tokio::test]
async fn a_browser_is_told_which_pages_may_send_and_where() {
    let wanted = format!("Origin: {SITE}\r\nAccess-Control-Request-Method: POST\r\n");
    for path in ["/v1/send", "/send"] {
        let headers = "Access-Control-Request-Headers: content-type,Authorization\r\n";
        let response = asked(path, &format!("{wanted}{headers}"), &["https://other.test", SITE]).await;
        assert_eq!(response.status, 204, "{response:?}");
        assert_eq!(response.field("access-control-allow-origin"), Some(SITE));
        assert_eq!(response.field("access-control-allow-methods"), Some("POST"));
        assert_eq!(response.field("access-control-max-age"), Some("600"));
        assert_eq!(response.field("vary"), Some("Origin"));
        assert!(response.field("access-control-allow-headers").unwrap().contains("authorization"));
        assert!(!response.head.to_ascii_lowercase().contains("allow-credentials"));
    }
    for fields in [
        wanted.replace(SITE, "https://evil.example"),
        wanted.replace(SITE, "https://WWW.example.net"),
        wanted.replace(SITE, "null"),
        wanted.replace("POST", "DELETE"),
        format!("{wanted}Access-Control-Request-Headers: x-secret\r\n"),
        format!("{wanted}Origin: https://other.test\r\n"),
        "Access-Control-Request-Method: POST\r\n".to_owned(),
        format!("Origin: {SITE}\r\n"),
    ] {
        let response = asked("/v1/send", &fields, &["https://other.test", SITE]).await;
        assert_eq!((response.status, response.code()), (403, "forbidden_origin"), "{fields}");
        assert_eq!(asked("/send", &fields, &[SITE]).await.status, 403);
    }
    assert_eq!(asked("/v1/send", &wanted, &[]).await.status, 405, "without origins it is a method like others");
    assert_eq!(asked("/healthz", &wanted, &[SITE]).await.status, 404);
    assert_eq!(asked("/v1/other", &wanted, &[SITE]).await.status, 404);
    let request = format!("OPTIONS /v1/send HTTP/1.1\r\nHost: gate\r\n{wanted}Content-Length: 2\r\n\r\n{{}}");
    let response = house(&[Serve::V1], &[SITE]).client.ask(&request).await;
    assert_eq!((response.status, response.field("connection")), (400, Some("close")));
}

#[tokio::test]
async fn a_page_reads_answers_of_both_kinds_and_another_page_none() {
    let from = |origin: &str, body: &str| {
        post(body).replacen("Host: gate\r\n", &format!("Host: gate\r\nOrigin: {origin}\r\n"), 1)
    };
    let mut house = house(&[Serve::V1], &[SITE]);
    for (body, status) in [(GOOD.to_owned(), 202), (body("\"nonsense\":1"), 400)] {
        let response = house.client.ask(&from(SITE, &body)).await;
        assert_eq!((response.status, response.field("access-control-allow-origin")), (status, Some(SITE)));
        assert!(response.field("access-control-expose-headers").unwrap().contains("X-Request-Id"));
        let response = house.client.ask(&from("https://evil.example", &body)).await;
        assert_eq!((response.field("access-control-allow-origin"), response.field("vary")), (None, Some("Origin")));
    }
    let response = house.client.ask(&post(GOOD)).await;
    assert_eq!((response.field("access-control-allow-origin"), response.field("vary")), (None, Some("Origin")));
}
