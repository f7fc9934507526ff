//! The console: pages for operators on the admin listener.
//!
//! Every page is complete HTML from the host and works without script; the
//! script shows local times and keeps pages fresh. Pages read the state that the
//! admin API reads, and forms call its acts, so both have the same rules, roles
//! and audit lines.
//!
//! [`guard`] is what every request passes: the origin of acts, the session, the
//! headers that protect a page. Text of CSPs, adapters and clients is hostile:
//! maud escapes it, and [`text::foreign`] bounds it.

mod acts;
mod assets;
mod chart;
mod config;
mod guard;
mod layout;
mod login;
mod notice;
mod pages;
mod router;
mod session;
mod snapshot;
mod text;
mod troubles;

use std::sync::Arc;

pub use self::config::Config;
pub use self::router::router;
use self::session::Sessions;
use crate::admin::AdminState;
use crate::http::RateLimiter;
use crate::http::auth::Keys;
use crate::peers::Peers;

/// The state that all pages share.
pub struct ConsoleState {
    admin: Arc<AdminState>,
    config: Config,
    /// Other hosts, which have seen other jobs.
    peers: Arc<Peers>,
    sessions: Sessions,
    /// Limits the attempts to log in.
    logins: RateLimiter,
}

impl ConsoleState {
    /// Creates the state of the console of a host with these keys.
    pub fn new(admin: Arc<AdminState>, config: Config, peers: Arc<Peers>, keys: Keys) -> Self {
        let logins = RateLimiter::new(login::ATTEMPTS);
        let sessions = Sessions::new(keys, config.session_limits());
        Self { admin, config, peers, sessions, logins }
    }
}
