//! A client that says raw octets and reads what it is told.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use uuid::Uuid;

use super::KEY;
use crate::ipc::capsule::{Capsule, Introduction};
use crate::role::Instance;
use crate::secret::Secret;

pub struct Client {
    pub stream: DuplexStream,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl Response {
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (field, value) = line.split_once(": ")?;
            field.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }

    pub fn message(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }

    /// The findings as `code pointer`.
    pub fn findings(&self) -> Vec<String> {
        let errors = self.body["errors"].as_array().unwrap();
        errors
            .iter()
            .map(|error| format!("{} {}", error["code"].as_str().unwrap(), error["pointer"].as_str().unwrap()))
            .collect()
    }
}

impl Client {
    pub async fn say(&mut self, raw: &str) {
        // The gate may have hung up already; what it said is still there to be read.
        let _ = self.stream.write_all(raw.as_bytes()).await;
    }

    pub async fn hear(&mut self) -> Response {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await.expect("a response"));
        }
        let mut response = Response { status: 0, head: String::from_utf8(head).unwrap(), body: Value::Null };
        response.status = response.head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = response.field("content-length").map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.unwrap();
        response.body = serde_json::from_slice(&body).unwrap_or_default();
        response
    }

    pub async fn ask(&mut self, raw: &str) -> Response {
        self.say(raw).await;
        self.hear().await
    }

    pub async fn send(&mut self, body: &str) -> Response {
        self.ask(&post(body)).await
    }

    /// Whether the gate has closed the connection.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]).await, Ok(0))
    }
}

pub fn post(body: &str) -> String {
    post_with(&format!("Authorization: Bearer {KEY}\r\nContent-Type: application/json\r\n"), body)
}

pub fn post_with(fields: &str, body: &str) -> String {
    format!("POST /v1/send HTTP/1.1\r\nHost: gate\r\n{fields}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// How it is introduced.
pub fn capsule() -> Capsule {
    let introduction = Introduction {
        session: Uuid::nil(),
        peer: "192.0.2.7:40000".parse().unwrap(),
        listener: 0,
        edge: Instance(1),
        accepted_us: 1,
    };
    Capsule::seal(introduction, &Secret::new([7; 32]))
}
