//! A plain client, for the tests of the APIs.

use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// A request, to be changed before it is sent.
#[derive(Debug, Clone)]
pub struct TestRequest {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

/// The answer to a request.
#[derive(Debug)]
pub struct TestResponse {
    pub status: u16,
    pub head: String,
    pub body: Value,
}

impl TestRequest {
    /// Returns a request without headers. A body of `null` means none.
    pub fn bare(method: &str, path: &str, body: &Value) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: if body.is_null() { String::new() } else { body.to_string() },
        }
    }

    /// Sets a header, in place of any other with its name.
    pub fn with(self, name: &str, value: &str) -> Self {
        let mut asked = self.without(name);
        asked.headers.push((name.to_owned(), value.to_owned()));
        asked
    }

    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(key, _)| key != name);
        self
    }

    /// Sends the request on a connection of its own.
    pub async fn send(&self, origin: &str) -> TestResponse {
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
        TestResponse {
            status: head[9..12].parse().unwrap(),
            head: head.to_owned(),
            body: serde_json::from_str(body).unwrap(),
        }
    }
}

impl TestResponse {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}
