//! A CSP with the ATAT API and an identity provider of its own.

mod api;
mod body;
mod route;
mod rules;
#[cfg(test)]
mod tests;
mod version;

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use route::BASE_PATH;
pub use version::BadVersion;
pub use version::Version;

use api::Api;

use crate::identity::Identity;
use crate::identity::TOKEN_PATH;
use crate::identity::Tokens;
use crate::server;
use crate::server::Answer;
use crate::server::Call;
use crate::server::Matching;
use crate::server::Server;

/// The default client id.
pub const CLIENT_ID: &str = "hoth";

/// The default client secret. Tests search for it where it must not be.
pub const CLIENT_SECRET: &str = "secret-of-the-mock-csp";

/// The behaviour of a CSP.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address of the API; port 0 takes a free one. The identity provider
    /// takes a free port of the same address.
    pub listen: SocketAddr,
    pub mode: Mode,
    /// The only version of the API that is served.
    pub api_version: Version,
    pub client_id: String,
    pub client_secret: String,
    /// The time that each answer of the API takes.
    pub delay: Duration,
    /// The name of a portfolio that is refused twice with 503, and then made.
    pub fail_twice: Option<String>,
    /// The name of a portfolio that is always refused with 503.
    pub fail_always: Option<String>,
    /// The lifetime of a token, in whole seconds, after which it is refused.
    pub token_lifetime: Duration,
}

/// The time at which work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once: answers 200.
    Sync,
    /// Later: answers 202, and the work is done after `polls` polls that find
    /// it in progress. Requests that only read are answered at once.
    Async { polls: u32 },
}

impl Default for Options {
    /// Returns a CSP on a free port of loopback that does everything at once,
    /// with version 1.3.1 of the API.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            mode: Mode::Sync,
            api_version: Version(1, 3, 1),
            client_id: CLIENT_ID.to_owned(),
            client_secret: CLIENT_SECRET.to_owned(),
            delay: Duration::ZERO,
            fail_twice: None,
            fail_always: None,
            token_lifetime: Duration::from_secs(3600),
        }
    }
}

/// A CSP that serves until it is dropped.
///
/// A request that breaks a rule of the API is a violation, and answered 400
/// (401 or 403 if only the token is bad). Requests that a script answers are
/// not checked. Scripts, calls and counts are those of the API; the identity
/// provider has its own.
pub struct MockCsp {
    api: Server,
    identity: Server,
    base_url: String,
    token_url: String,
    client_id: String,
    client_secret: String,
}

impl MockCsp {
    /// Starts to serve.
    ///
    /// # Errors
    ///
    /// Returns an error if the address is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let base_url = format!("{}{BASE_PATH}", server::origin(listener.local_addr()?));
        let tokens = Arc::new(Tokens::default());
        let identity = Identity {
            client_id: options.client_id.clone(),
            client_secret: options.client_secret.clone(),
            scopes: route::SCOPES,
            lifetime: options.token_lifetime,
            tokens: Arc::clone(&tokens),
        };
        let identity_listener = TcpListener::bind((options.listen.ip(), 0)).await?;
        let identity = Server::start(identity_listener, Arc::new(identity))?;
        let (client_id, client_secret) = (options.client_id.clone(), options.client_secret.clone());
        let api = Api::new(options, base_url.clone(), tokens);
        let token_url = format!("{}{TOKEN_PATH}", identity.origin());
        let api = Server::start(listener, Arc::new(api))?;
        Ok(Self { api, identity, base_url, token_url, client_id, client_secret })
    }

    /// Returns the URL to which the paths of the API are appended.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the token endpoint, which has another origin than the API.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// Returns the origin of the API.
    pub fn origin(&self) -> &str {
        self.api.origin()
    }

    /// Returns the API's server.
    pub fn api(&self) -> &Server {
        &self.api
    }

    /// Returns the identity provider's server.
    pub fn identity(&self) -> &Server {
        &self.identity
    }

    /// Answers every call of the API from this list; the last answer repeats.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.api.script(answers);
    }

    /// Answers the matching calls of the API from this list.
    pub fn script_for(&self, matching: Matching, answers: impl IntoIterator<Item = Answer>) {
        self.api.script_for(matching, answers);
    }

    /// Answers every call of the token endpoint from this list.
    pub fn script_tokens(&self, answers: impl IntoIterator<Item = Answer>) {
        self.identity.script(answers);
    }

    /// Keeps calls and token calls from now on if `on`, else only counts them.
    pub fn record(&self, on: bool) {
        self.api.record(on);
        self.identity.record(on);
    }

    /// Returns the calls of the API, oldest first.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.api.calls()
    }

    /// Returns the number of calls of the API.
    pub fn call_count(&self) -> usize {
        self.api.call_count()
    }

    /// Returns the number of requests for tokens.
    pub fn token_call_count(&self) -> usize {
        self.identity.call_count()
    }

    /// Returns the number of calls that the API is answering now.
    pub fn at_once(&self) -> usize {
        self.api.at_once()
    }

    /// Returns the largest number of calls that the API answered at once.
    pub fn most_at_once(&self) -> usize {
        self.api.most_at_once()
    }

    /// Returns the broken rules, those of the API first.
    pub fn violations(&self) -> Vec<String> {
        [self.api.violations(), self.identity.violations()].concat()
    }

    /// Waits until there have been `count` calls of the API.
    pub async fn wait_for_calls(&self, count: usize) {
        self.api.wait_for_calls(count).await;
    }
}
