//! The table `[admin]`: the operators' listener.

use std::net::SocketAddr;

use serde::Deserialize;

use crate::http::listener::TlsConfig;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;

/// The table `[admin]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub listen: SocketAddr,
    pub tls: Option<TlsConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)), tls: None }
    }
}

impl Table for Config {
    fn check(&self, names: &Names<'_>) -> Vec<Problem> {
        self.tls.check(names).into_iter().map(|problem| problem.in_table("tls")).collect()
    }
}
