//! A CSP of the Stratus kind: tenants, accounts, operations with ids, pages of
//! charges, and every answer in an envelope.
//!
//! An answer is 200 and `{"data": …}`, with `next` beside it where there are
//! more pages, or `{"fault": {"kind", "text"}}`. Who calls is shown by a key in
//! a header. What a call with the header `Stratus-Once` makes is made once.

mod api;
mod charges;
mod route;
mod rules;
#[cfg(test)]
mod tests;

use std::io;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

pub use route::BASE_PATH;

use api::Api;

use crate::server;
use crate::server::Server;

/// The header that shows who calls.
pub const KEY_HEADER: &str = "stratus-key";

/// The one key, unless told otherwise. Tests look for it where it must not be.
pub const KEY: &str = "key-of-the-mock-stratus";

/// An account with this alias breaks while it is made.
pub const BROKEN_ALIAS: &str = "Breaks";

/// How a CSP behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens; port 0 takes a free one.
    pub listen: SocketAddr,
    pub key: String,
    /// How many polls find an operation at work.
    pub polls: u32,
    /// How often each call, told by method and target, is put off as busy
    /// before it is looked at.
    pub busy: u32,
    /// How long a busy CSP wants to be left alone, in milliseconds.
    pub busy_ms: u64,
    /// Charges on one page.
    pub page_size: usize,
    /// How long each answer takes.
    pub delay: Duration,
}

impl Default for Options {
    /// A free port of loopback, one poll, never busy, five charges a page.
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            key: KEY.to_owned(),
            polls: 1,
            busy: 0,
            busy_ms: 20,
            page_size: 5,
            delay: Duration::ZERO,
        }
    }
}

/// A CSP that serves until it is dropped.
///
/// A request that breaks a rule of the API is a violation, and a fault is
/// answered (401 where only the key is bad). What a script answers is not
/// judged.
pub struct Stratus {
    server: Server,
    api: Arc<Api>,
    base_url: String,
    key: String,
}

impl Stratus {
    /// Starts to serve.
    ///
    /// # Errors
    ///
    /// When the address is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let base_url = format!("{}{BASE_PATH}", server::origin(listener.local_addr()?));
        let key = options.key.clone();
        let api = Arc::new(Api::new(options));
        let server = Server::start(listener, Arc::clone(&api) as _)?;
        Ok(Self { server, api, base_url, key })
    }

    /// What the paths of the API are joined to.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The value of [`KEY_HEADER`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The server: scripts, calls, violations.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// How many accounts were made.
    pub fn accounts(&self) -> usize {
        self.api.accounts()
    }
}

/// `{"data": …}`, for scripts.
pub fn data(data: &serde_json::Value) -> server::Answer {
    server::Answer::json(200, &serde_json::json!({ "data": data }))
}

/// `{"fault": {"kind": …, "text": …}}`, for scripts.
pub fn fault(kind: &str, text: &str) -> server::Answer {
    server::Answer::json(200, &serde_json::json!({"fault": {"kind": kind, "text": text}}))
}

/// The fault of a CSP that has not looked at the call.
pub fn busy(retry_in_ms: u64) -> server::Answer {
    let fault = serde_json::json!({"kind": "busy", "text": "try again", "retryInMs": retry_in_ms});
    server::Answer::json(200, &serde_json::json!({ "fault": fault }))
}
