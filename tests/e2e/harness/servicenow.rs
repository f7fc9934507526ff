//! A client that acts as ServiceNow.

use std::time::Instant;

use reqwest::Method;
use serde_json::Value;

use super::Outcome;
use super::PATIENCE;

/// Returns an HTTP client without a proxy and with a generous timeout.
pub fn client() -> reqwest::Client {
    client_builder().build().expect("an HTTP client can be made")
}

/// Returns the builder of [`client`], for clients that need more.
pub fn client_builder() -> reqwest::ClientBuilder {
    // Fails from the second call on, when the provider is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().timeout(PATIENCE)
}

/// A client that acts as ServiceNow.
#[derive(Clone)]
pub struct ServiceNow {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

/// An answer of HOTH.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    /// Returns the body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }

    /// Returns the body as a list of messages.
    pub fn messages(&self) -> Vec<Outcome> {
        serde_json::from_str(&self.text).unwrap_or_else(|e| panic!("{e}: {}", self.text))
    }
}

impl ServiceNow {
    /// Returns a client that calls `base`, with a bearer token or none.
    pub fn at(http: reqwest::Client, base: String, token: Option<&str>) -> Self {
        Self { http, base, token: token.map(str::to_owned) }
    }

    /// Sends a request, which must be answered.
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        self.try_send(method, path, body).await.expect("HOTH answers")
    }

    /// Sends a request to a host that may be dead.
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

    /// Sends one `GET`, and returns the messages.
    pub async fn collect(&self, path: &str) -> Vec<Outcome> {
        let answer = self.send(Method::GET, path, None).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.messages()
    }

    /// Collects until `count` messages have come.
    pub async fn collect_all(&self, path: &str, count: usize) -> Vec<Outcome> {
        let started_at = Instant::now();
        let mut messages = Vec::new();
        while messages.len() < count {
            assert!(
                started_at.elapsed() < PATIENCE,
                "{} of {count}: {messages:#?}",
                messages.len()
            );
            messages.extend(self.collect(&format!("{path}?wait=1")).await);
        }
        assert_eq!(messages.len(), count, "more messages than jobs: {messages:#?}");
        messages
    }

    /// Collects the outcome of the only provisioning job under way.
    pub async fn outcome(&self) -> Outcome {
        self.collect_all("/provisioning-jobs", 1).await.remove(0)
    }

    /// Collects the outcome of the only cost request under way.
    pub async fn cost_outcome(&self) -> Outcome {
        self.collect_all("/cost-jobs", 1).await.remove(0)
    }
}
