//! A CSP of the Stratus kind: tenants, accounts, operations with ids, pages of
//! charges, and every answer in an envelope.
//!
//! An answer is 200 and `{"data": …}`, with `next` beside it where there are
//! more pages, or `{"fault": {"kind", "text"}}`. A key in a header
//! authenticates the client. A call with the header `Stratus-Once` makes its
//! thing only once.

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

/// The header with the key of the client.
pub const KEY_HEADER: &str = "stratus-key";

/// The default key. Tests search for it where it must not be.
pub const KEY: &str = "key-of-the-mock-stratus";

/// The alias of an account whose making fails.
pub const BROKEN_ALIAS: &str = "Breaks";

/// The behaviour of a CSP.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address of the API; port 0 takes a free one.
    pub listen: SocketAddr,
    pub key: String,
    /// The number of polls that find an operation at work.
    pub polls: u32,
    /// The number of times that each call, told by method and target, is put
    /// off as busy before it is answered.
    pub busy: u32,
    /// The wait that a busy CSP asks for, in milliseconds.
    pub busy_ms: u64,
    /// Charges on one page.
    pub page_size: usize,
    /// The time that each answer takes.
    pub delay: Duration,
}

impl Default for Options {
    /// Returns a CSP on a free port of loopback, with one poll, never busy, and
    /// five charges a page.
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
/// answered (401 if only the key is bad). Requests that a script answers are
/// not checked.
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
    /// Returns an error if the address is taken.
    pub async fn start(options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let base_url = format!("{}{BASE_PATH}", server::origin(listener.local_addr()?));
        let key = options.key.clone();
        let api = Arc::new(Api::new(options));
        let server = Server::start(listener, Arc::clone(&api) as _)?;
        Ok(Self { server, api, base_url, key })
    }

    /// Returns the URL to which the paths of the API are appended.
    pub fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Returns the value of [`KEY_HEADER`].
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the server, with its scripts, calls and violations.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the number of accounts that were made.
    pub fn accounts(&self) -> usize {
        self.api.accounts()
    }
}

/// Returns the answer `{"data": …}`, for scripts.
pub fn data(data: &serde_json::Value) -> server::Answer {
    server::Answer::json(200, &serde_json::json!({ "data": data }))
}

/// Returns the answer `{"fault": {"kind": …, "text": …}}`, for scripts.
pub fn fault(kind: &str, text: &str) -> server::Answer {
    server::Answer::json(200, &serde_json::json!({"fault": {"kind": kind, "text": text}}))
}

/// Returns the fault of a CSP that was too busy to handle the call.
pub fn busy(retry_in_ms: u64) -> server::Answer {
    let fault = serde_json::json!({"kind": "busy", "text": "try again", "retryInMs": retry_in_ms});
    server::Answer::json(200, &serde_json::json!({ "fault": fault }))
}
