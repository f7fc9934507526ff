//! Tests of the client against real sockets.

mod aws;
mod calls;
mod clouds;
mod connections;
mod credentials;
mod h2_server;
mod locations;
mod outages;
mod retries;
mod routes;
mod server;
mod slow;
mod tls_server;
mod tokens;
pub mod vectors;

use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use crate::Client;
use crate::Config;
use crate::Context;
use crate::ExchangeResult;
use crate::policy::resolver::Resolver;
use hoth_core::domain::CredentialChoice;
use hoth_core::domain::CredentialUse;
use hoth_core::domain::EndpointPath;
use hoth_core::domain::Event;
use hoth_core::domain::HttpRequest;
use hoth_core::domain::HttpResponse;
use hoth_core::domain::Method;
use hoth_core::domain::Retry;
use hoth_core::domain::Target;
use hoth_core::domain::TransportFailure;
use hoth_core::workflow::RetryPolicy;

/// The default retry policy of three tries, a thousand times as fast.
const THRICE: RetryPolicy = RetryPolicy {
    attempts: NonZeroU32::new(3).unwrap(),
    initial_backoff: Duration::from_millis(1),
    max_backoff: Duration::from_millis(30),
    max_retry_after: Duration::from_secs(10),
};

const CONTEXT: Context<'static> = Context {
    retry: &THRICE,
    is_poll: false,
    previous_url: None,
    job: "job-1",
    ordinal: 0,
    idempotency_key: "job-1",
    retry_after_headers: &[],
    before_call: &|| {},
    trace: None,
};

/// The longest wait for an event that a test expects. It is far longer than
/// needed, so that a busy machine fails no test.
const PATIENCE: Duration = Duration::from_secs(120);

/// A timeout for tests in which it must expire. It is long enough for a busy
/// machine to send a request and a response.
const IMPATIENT: &str = "timeout_ms = 1000\n";

fn config(base_url: &str, more: &str) -> Config {
    toml::from_str(&format!("adapter = 'a'\nbase_url = '{base_url}'\n{more}")).unwrap()
}

/// Returns a client of `CSP_A`. `more` continues its configuration.
fn client(base_url: &str, more: &str) -> Client {
    Client::build(&"CSP_A".parse().unwrap(), &config(base_url, more)).unwrap()
}

/// Returns a client that resolves every name to one address.
fn resolving(address: &str, base_url: &str, more: &str) -> Client {
    let config = config(base_url, more);
    let resolver = Resolver::fixed(&config.private_networks, &[address.parse().unwrap()]);
    Client::build_with(&"CSP_A".parse().unwrap(), &config, resolver).unwrap()
}

fn get(path: &str) -> HttpRequest {
    request(Method::Get, Target::Path(path.to_owned()))
}

fn request(method: Method, target: Target) -> HttpRequest {
    HttpRequest {
        method,
        target,
        query: Vec::new(),
        headers: Vec::new(),
        body: None,
        credential: CredentialChoice::Default,
        scopes: Vec::new(),
        retry: Retry::Safe,
    }
}

/// Selects a credential by its name.
fn named(name: &str) -> CredentialChoice {
    CredentialChoice::Named(CredentialUse { name: name.to_owned(), parameters: Vec::new() })
}

async fn exchange(client: &Client, request: &HttpRequest, retry: &RetryPolicy) -> ExchangeResult {
    let context = Context { retry, ..CONTEXT };
    let exchange = client.exchange(request, &context);
    tokio::time::timeout(PATIENCE, exchange).await.expect("every exchange ends")
}

impl ExchangeResult {
    #[track_caller]
    fn response(&self) -> &HttpResponse {
        match &self.event {
            Event::Response(response) => response,
            event @ (Event::TransportFailure(_) | Event::Timer) => panic!("{event:?}"),
        }
    }

    #[track_caller]
    fn failure(&self) -> &TransportFailure {
        match &self.event {
            Event::TransportFailure(failure) => failure,
            event @ (Event::Response(_) | Event::Timer) => panic!("{event:?}"),
        }
    }

    /// Returns the status or the failure code: `200` or `connect`.
    fn outcome(&self) -> String {
        match &self.event {
            Event::Response(response) => response.status.to_string(),
            Event::TransportFailure(failure) => failure.code.to_string(),
            Event::Timer => "timer".to_owned(),
        }
    }
}

/// Returns the configuration of a CSP on this machine that has a certificate of
/// `authority`, whose file it makes in `dir`.
fn trusting(authority: &tls_server::Authority, dir: &Path) -> String {
    authority.write(&dir.join("ca.pem"));
    format!("private_networks = ['127.0.0.0/8']\ntls.ca = '{}/ca.pem'", dir.display())
}
