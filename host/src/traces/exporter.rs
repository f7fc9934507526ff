//! The export of spans: OTLP over HTTP, in a task of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::StatusCode;
use http::header;
use prost::Message as _;
use secrecy::ExposeSecret as _;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing::warn;
use url::Url;

use super::config::Config;
use super::otlp;
use super::otlp::ExportResponse;
use super::otlp::Resource;
use super::queue::DropReason;
use super::queue::count_dropped;
use super::span::Span;
use crate::metrics::table;
use hoth_core::domain::printable;
use hoth_egress::DefaultTrust;
use hoth_egress::TlsConfig;
use hoth_egress::TlsError;
use hoth_platform::secret::SecretError;
use hoth_platform::secret::SecretSource;

/// The spans of one export. OpenTelemetry's SDKs have the same number; receivers
/// take at least that many.
const BATCH_SPANS_MAX: usize = 512;

/// The time in which spans gather for one export.
const GATHERING: Duration = Duration::from_secs(1);

/// The tries of one export, and the pauses between them: from the first, doubled
/// up to the second. Spans gather in the queue meanwhile.
const TRIES_MAX: u32 = 5;
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));

/// The longest pause that a receiver may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The time for the last spans when the host stops.
const LAST_EXPORTS_MAX: Duration = Duration::from_secs(2);

/// The most that is read of a response, in bytes.
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// The most of a receiver's message in the log, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// The statuses after which the same spans may be sent again (OTLP 1.x,
/// "Retryable Response Codes").
const RETRYABLE: [StatusCode; 4] = [
    StatusCode::TOO_MANY_REQUESTS,
    StatusCode::BAD_GATEWAY,
    StatusCode::SERVICE_UNAVAILABLE,
    StatusCode::GATEWAY_TIMEOUT,
];

/// The error of an exporter that cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    #[error("reading telemetry.tls")]
    Tls(#[from] TlsError),
    #[error("setting up the HTTP client for telemetry.otlp_endpoint")]
    Http(#[source] reqwest::Error),
}

/// Exports the spans of the queue to one receiver.
#[derive(Debug)]
pub struct Exporter {
    client: reqwest::Client,
    url: Url,
    headers: Arc<BTreeMap<String, SecretSource>>,
    timeout: Duration,
    resource: Resource,
    spans: mpsc::Receiver<Span>,
    /// True while exports fail. Only changes are logged.
    is_failing: bool,
}

/// The result of one try.
enum Tried {
    /// The receiver has the spans, except for as many.
    Exported { rejected: usize, message: String },
    /// No further try can help.
    Refused(String),
    /// A further try may help, after this time if the receiver asked for it.
    Failed { reason: String, after: Option<Duration> },
}

impl Exporter {
    /// Makes an exporter of `spans` to `endpoint`. Opens no connection.
    pub(super) fn new(
        config: &Config,
        endpoint: &Url,
        resource: Resource,
        spans: mpsc::Receiver<Span>,
    ) -> Result<Self, SetupError> {
        Ok(Self {
            client: client(endpoint, config.tls.as_ref())?,
            url: traces_url(endpoint),
            headers: Arc::new(config.otlp_headers.clone()),
            timeout: config.export_timeout(),
            resource,
            spans,
            is_failing: false,
        })
    }

    /// Exports until `closing` is cancelled; then exports the spans that wait,
    /// for up to two seconds.
    pub async fn run(mut self, closing: CancellationToken) {
        while !closing.is_cancelled() {
            let batch = self.next_batch(&closing).await;
            if !batch.is_empty() {
                self.export(batch, &closing).await;
            }
        }
        let until = Instant::now() + LAST_EXPORTS_MAX;
        loop {
            let mut batch = Vec::new();
            while batch.len() < BATCH_SPANS_MAX
                && let Ok(span) = self.spans.try_recv()
            {
                batch.push(span);
            }
            let count = batch.len();
            if count == 0 {
                return;
            }
            let exported = tokio::time::timeout_at(until, self.export(batch, &closing)).await;
            if exported.is_err() {
                count_dropped(count + self.spans.len(), DropReason::Stopped);
                return;
            }
        }
    }

    /// Waits for a span, and for more in a short time after it. Returns none if
    /// the host stops.
    async fn next_batch(&mut self, closing: &CancellationToken) -> Vec<Span> {
        let mut batch = Vec::new();
        let first = self.spans.recv_many(&mut batch, BATCH_SPANS_MAX);
        match closing.run_until_cancelled(first).await {
            None => return batch,
            // Every sender is gone.
            Some(0) => {
                closing.cancelled().await;
                return batch;
            }
            Some(1..) => {}
        }
        let until = Instant::now() + GATHERING;
        while batch.len() < BATCH_SPANS_MAX {
            let room = BATCH_SPANS_MAX - batch.len();
            let more = tokio::time::timeout_at(until, self.spans.recv_many(&mut batch, room));
            match closing.run_until_cancelled(more).await {
                // None means that every sender is gone.
                Some(Ok(1..)) => {}
                Some(Ok(0) | Err(_)) | None => break,
            }
        }
        batch
    }

    async fn export(&mut self, batch: Vec<Span>, closing: &CancellationToken) {
        let count = batch.len();
        let body = Bytes::from(otlp::encode(&self.resource, batch));
        let mut backoff = BACKOFF.0;
        for tries_left in (0..TRIES_MAX).rev() {
            let started = Instant::now();
            let tried = self.try_export(body.clone()).await;
            table::SPAN_EXPORT.with(&[]).record(started.elapsed());
            let (reason, after) = match tried {
                Tried::Exported { rejected, message } => {
                    return self.exported(count, rejected.min(count), &message);
                }
                Tried::Refused(reason) => {
                    self.failed(&reason);
                    return count_dropped(count, DropReason::Refused);
                }
                Tried::Failed { reason, after } => (reason, after),
            };
            self.failed(&reason);
            if tries_left == 0 || closing.is_cancelled() {
                break;
            }
            let pause = after.map_or(backoff, |after| after.min(RETRY_AFTER_MAX));
            backoff = (backoff * 2).min(BACKOFF.1);
            // A stop ends the pause: there is one more try then.
            closing.run_until_cancelled(tokio::time::sleep(pause)).await;
        }
        count_dropped(count, DropReason::Unreachable);
    }

    async fn try_export(&self, body: Bytes) -> Tried {
        let headers = match self.headers().await {
            Ok(headers) => headers,
            Err(error) => return Tried::Failed { reason: error.to_string(), after: None },
        };
        let request = self.client.post(self.url.clone()).headers(headers).timeout(self.timeout);
        let mut response = match request.body(body).send().await {
            Ok(response) => response,
            Err(error) => {
                return Tried::Failed { reason: causes(&error.without_url()), after: None };
            }
        };
        let status = response.status();
        if status == StatusCode::OK {
            let refused = partial_success(&mut response).await.unwrap_or_default();
            let rejected = usize::try_from(refused.rejected_spans).unwrap_or(0);
            return Tried::Exported { rejected, message: refused.error_message };
        }
        let reason = format!("the receiver responded with status {}", status.as_u16());
        if !RETRYABLE.contains(&status) {
            return Tried::Refused(reason);
        }
        let after = response.headers().get(header::RETRY_AFTER);
        let after = after.and_then(|seconds| seconds.to_str().ok()?.trim().parse().ok());
        Tried::Failed { reason, after: after.map(Duration::from_secs) }
    }

    /// Reads the headers of an export. Secrets are read each time, so that a
    /// file that changes takes effect.
    async fn headers(&self) -> Result<HeaderMap, SecretError> {
        let sources = Arc::clone(&self.headers);
        let read = tokio::task::spawn_blocking(move || {
            let read = |(name, source): (&String, &SecretSource)| {
                source.read().map(|secret| (name.clone(), secret))
            };
            sources.iter().map(read).collect::<Result<Vec<_>, _>>()
        });
        let mut headers = HeaderMap::new();
        for (name, secret) in read.await.expect("reading a secret does not panic")? {
            let name = HeaderName::try_from(name).expect("the configuration is checked");
            // A value that is none is left out, and the receiver says so.
            if let Ok(mut value) = HeaderValue::from_str(secret.expose_secret()) {
                value.set_sensitive(true);
                headers.insert(name, value);
            }
        }
        let protobuf = HeaderValue::from_static("application/x-protobuf");
        headers.insert(header::CONTENT_TYPE, protobuf);
        Ok(headers)
    }

    fn exported(&mut self, count: usize, rejected: usize, message: &str) {
        table::SPANS_EXPORTED.with(&[]).increment((count - rejected) as u64);
        count_dropped(rejected, DropReason::Refused);
        if rejected > 0 {
            let message: String = printable(message).chars().take(MESSAGE_CHARS_MAX).collect();
            self.failed(&format!("the receiver rejected {rejected} of {count} spans: {message}"));
        } else if std::mem::take(&mut self.is_failing) {
            info!(event = "span-export-recovered", "Spans are exported again");
        }
    }

    fn failed(&mut self, reason: &str) {
        if !std::mem::replace(&mut self.is_failing, true) {
            warn!(event = "span-export-failed", "Spans cannot be exported: {reason}");
        }
    }
}

/// Returns the URL of traces below the base URL of a receiver.
fn traces_url(endpoint: &Url) -> Url {
    let mut url = endpoint.clone();
    let path = format!("{}/v1/traces", url.path().trim_end_matches('/'));
    url.set_path(&path);
    url
}

fn client(endpoint: &Url, tls: Option<&TlsConfig>) -> Result<reqwest::Client, SetupError> {
    // An error means that a provider is installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        // The headers are for this receiver alone.
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // Ignores `HTTPS_PROXY` and the like: the configuration file decides.
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(1);
    match tls {
        Some(tls) => {
            let config = tls.client_config(DefaultTrust::Machine)?;
            builder = builder.tls_backend_preconfigured(config);
        }
        // The machine's certificates are not loaded where none is needed: a
        // machine without any would fail here.
        None if endpoint.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    builder.build().map_err(SetupError::Http)
}

/// Reads the part of the export that the receiver has rejected. Returns `None`
/// for a response that cannot be read: the spans have arrived.
async fn partial_success(response: &mut reqwest::Response) -> Option<otlp::PartialSuccess> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.ok()? {
        if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
            return None;
        }
        body.extend_from_slice(&chunk);
    }
    ExportResponse::decode(body.as_slice()).ok()?.partial_success
}

/// Returns the text of an error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text.chars().take(MESSAGE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_traces_is_appended_to_the_endpoint() {
        for (endpoint, expected) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("https://otel.example.com/", "https://otel.example.com/v1/traces"),
            ("https://otel.example.com/otlp/", "https://otel.example.com/otlp/v1/traces"),
        ] {
            let endpoint = Url::parse(endpoint).expect("a URL");
            assert_eq!(traces_url(&endpoint).as_str(), expected);
        }
    }
}
