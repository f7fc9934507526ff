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

/// What a CSP calls its client, unless told otherwise.
pub const CLIENT_ID: &str = "hoth";

/// What that client knows. Tests look for it where it must not be.
pub const CLIENT_SECRET: &str = "secret-of-the-mock-csp";

/// How a CSP behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the API listens; port 0 takes a free one. The identity provider
    /// takes a free port of the same address.
    pub listen: SocketAddr,
    pub mode: Mode,
    /// The one version of the API that it serves.
    pub api_version: Version,
    pub client_id: String,
    pub client_secret: String,
    /// How long each answer of the API takes.
    pub delay: Duration,
    /// A portfolio with this name is refused twice with 503, then it is made.
    pub fail_twice: Option<String>,
    /// A portfolio with this name is always refused with 503.
    pub fail_always: Option<String>,
    /// After it a token is refused. Whole seconds.
    pub token_lifetime: Duration,
}

/// When work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At once: 200.
    Sync,
    /// Later: 202, then so many polls find it in progress, then it is done.
    /// What only reads is answered at once.
    Async { polls: u32 },
}

impl Default for Options {
    /// A free port of loopback, at once, version 1.3.1.
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
/// (401 or 403 where only the token is bad). What a script answers is not
/// judged. Scripts, calls and counts are those of the API; the identity
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
    /// When the address is taken.
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
        let doorway = TcpListener::bind((options.listen.ip(), 0)).await?;
        let identity = Server::start(doorway, Arc::new(identity))?;
        let (client_id, client_secret) = (options.client_id.clone(), options.client_secret.clone());
        let api = Api::new(options, base_url.clone(), tokens);
        let token_url = format!("{}{TOKEN_PATH}", identity.origin());
        let api = Server::start(listener, Arc::new(api))?;
        Ok(Self { api, identity, base_url, token_url, client_id, client_secret })
    }

    /// What the paths of the API are joined to.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The token endpoint, on another origin than the API.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// The origin of the API.
    pub fn origin(&self) -> &str {
        self.api.origin()
    }

    /// The API's server.
    pub fn api(&self) -> &Server {
        &self.api
    }

    /// The identity provider's server.
    pub fn identity(&self) -> &Server {
        &self.identity
    }

    /// Answers every call of the API by this list; the last answer repeats.
    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.api.script(answers);
    }

    /// The same for the calls that match.
    pub fn script_for(&self, matching: Matching, answers: impl IntoIterator<Item = Answer>) {
        self.api.script_for(matching, answers);
    }

    /// The same for the token endpoint.
    pub fn script_tokens(&self, answers: impl IntoIterator<Item = Answer>) {
        self.identity.script(answers);
    }

    /// Keeps calls and token calls from now on, or only counts them.
    pub fn record(&self, on: bool) {
        self.api.record(on);
        self.identity.record(on);
    }

    /// The calls of the API, oldest first.
    pub fn calls(&self) -> Vec<Arc<Call>> {
        self.api.calls()
    }

    /// How many calls of the API there have been.
    pub fn call_count(&self) -> usize {
        self.api.call_count()
    }

    /// How many tokens were asked for.
    pub fn token_call_count(&self) -> usize {
        self.identity.call_count()
    }

    /// How many calls the API answers now.
    pub fn at_once(&self) -> usize {
        self.api.at_once()
    }

    /// How many calls the API answered at once, at most.
    pub fn most_at_once(&self) -> usize {
        self.api.most_at_once()
    }

    /// Every rule that was broken, first those of the API.
    pub fn violations(&self) -> Vec<String> {
        [self.api.violations(), self.identity.violations()].concat()
    }

    /// Waits until there have been `count` calls of the API.
    pub async fn wait_for_calls(&self, count: usize) {
        self.api.wait_for_calls(count).await;
    }
}
