//! What ServiceNow does.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;

use super::PATIENCE;

/// An HTTP client that keeps out of the way.
pub fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build();
    client.expect("an HTTP client can be made")
}

/// What ServiceNow does.
#[derive(Clone)]
pub struct ServiceNow {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// What HOTH answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl ServiceNow {
    /// Whoever calls `base`, with a bearer token or none.
    pub fn at(http: reqwest::Client, base: String, token: Option<&str>) -> Self {
        Self { http, base, token: token.map(str::to_owned) }
    }

    /// Any request.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body).await.expect("HOTH answers")
    }

    /// The same of a host that may be dead.
    pub async fn try_send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> reqwest::Result<Answer> {
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    /// Posts a provisioning job that must be accepted.
    pub async fn provision(&self, job: &Value) {
        let answer = self.send(Method::POST, "/provisioning-jobs", Some(job)).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
    }

    /// Posts a cost request that must be accepted.
    pub async fn ask_cost(&self, request: &Value) {
        let answer = self.send(Method::POST, "/cost-jobs", Some(request)).await;
        assert_eq!(answer.status, 202, "{}", answer.text);
    }

    /// One `GET`, as a list of messages.
    pub async fn collect(&self, path: &str) -> Vec<Value> {
        let answer = self.send(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json().as_array().expect("a list of messages").clone()
    }

    /// Collects until `count` messages have come.
    pub async fn collect_all(&self, path: &str, count: usize) -> Vec<Value> {
        let begun = Instant::now();
        let mut messages = Vec::new();
        while messages.len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} of {count}: {messages:#?}", messages.len());
            messages.extend(self.collect(&format!("{path}?wait=1")).await);
        }
        assert_eq!(messages.len(), count, "more messages than jobs: {messages:#?}");
        messages
    }

    /// The one outcome of the one provisioning job under way.
    pub async fn outcome(&self) -> Value {
        self.collect_all("/provisioning-jobs", 1).await.remove(0)
    }

    /// The one outcome of the one cost request under way.
    pub async fn cost_outcome(&self) -> Value {
        self.collect_all("/cost-jobs", 1).await.remove(0)
    }
}
