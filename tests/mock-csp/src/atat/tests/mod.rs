//! The ATAT API as a plain client sees it.

mod answers;
mod rules;
mod tokens;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use serde_json::json;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::*;

const PATIENCE: Duration = Duration::from_secs(30);

/// A request, to be changed before it is sent.
#[derive(Debug, Clone)]
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

/// What came back.
#[derive(Debug)]
struct Answered {
    status: u16,
    head: String,
    body: Value,
}

impl Asked {
    /// A request that breaks no rule, but for its token.
    fn new(method: &str, path: &str, body: &Value) -> Self {
        let asked = Self {
            method: method.to_owned(),
            path: format!("{BASE_PATH}{path}"),
            headers: Vec::new(),
            body: if body.is_null() { String::new() } else { body.to_string() },
        };
        let asked = asked
            .with("user-agent", "ATAT CSP Api Client")
            .with("x-atat-api-version", "1.3.1")
            .with("authorization", "Bearer none");
        if body.is_null() { asked } else { asked.with("content-type", "application/json") }
    }

    /// With this header alone by its name.
    fn with(self, name: &str, value: &str) -> Self {
        let mut asked = self.without(name);
        asked.headers.push((name.to_owned(), value.to_owned()));
        asked
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    async fn send(&self, origin: &str) -> Answered {
        let mut text = format!("{} {} HTTP/1.1\r\nconnection: close\r\n", self.method, self.path);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{}", self.body.len(), self.body));
        let address = origin.strip_prefix("http://").unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(text.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await;
        read.expect("an answer comes in time").unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").expect("a header and a body");
        Answered {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap(),
        }
    }
}

impl Answered {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

async fn start(options: Options) -> MockCsp {
    MockCsp::start(options).await.unwrap()
}

/// A lawful request for a token.
fn token_request(csp: &MockCsp, scope: &str) -> Asked {
    let credentials = STANDARD.encode(format!("{}:{}", csp.client_id(), csp.client_secret()));
    Asked {
        method: "POST".to_owned(),
        path: TOKEN_PATH.to_owned(),
        headers: Vec::new(),
        body: format!(
            "grant_type=client_credentials&client_id={}&scope={}",
            csp.client_id(),
            scope.replace('/', "%2F")
        ),
    }
    .with("authorization", &format!("Basic {credentials}"))
    .with("content-type", "application/x-www-form-urlencoded")
}

/// A fresh token, as a header's value.
async fn bearer(csp: &MockCsp, scope: &str) -> String {
    let answered = token_request(csp, scope).send(csp.identity().origin()).await;
    assert_eq!(answered.status, 200, "{answered:?}");
    format!("Bearer {}", answered.body["access_token"].as_str().unwrap())
}

/// Sends it with a fresh token.
async fn ask(csp: &MockCsp, scope: &str, asked: &Asked) -> Answered {
    asked.clone().with("authorization", &bearer(csp, scope).await).send(csp.origin()).await
}

fn task_order() -> Value {
    json!({
        "task_order_number": "1234567890123", "pop_start_date": "2021-07-01", "pop_end_date": "2022-07",
        "clins": [{
            "clin_number": "9999", "type": "CLOUD", "classification_level": "UNCLASSIFIED",
            "pop_start_date": "2021-07-01", "pop_end_date": "2022-07-01"
        }]
    })
}

fn operators() -> Value {
    json!([{"email": "admin1@mail.mil", "dod_id": "1122334455", "needs_reset": false}])
}

fn environment() -> Value {
    json!({
        "name": "Sample Environment", "administrators": operators(), "classification_level": "UNCLASSIFIED"
    })
}

fn portfolio() -> Value {
    json!({"name": "Sample Portfolio", "task_orders": [task_order()]})
}

/// So many hours from now, as the API wants it.
fn deadline(hours: i64) -> String {
    let at = OffsetDateTime::now_utc() + time::Duration::hours(hours);
    let shape =
        format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    at.format(shape).unwrap()
}
