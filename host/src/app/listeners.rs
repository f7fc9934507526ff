//! The listeners: their addresses, certificates and numbers of connections.

use std::net::SocketAddr;

use anyhow::Context as _;
use tracing::info;
use tracing::warn;

use crate::config::Config;
use crate::http::listener::Listener;
use crate::http::listener::ReloadableTls;
use crate::http::listener::TlsConfig;
use hoth_platform::descriptors;

/// Connections to the admin API: operators and scrapers are few.
const ADMIN_CONNECTIONS_MAX: usize = 256;

/// The listeners of a host, which clients can connect to.
pub struct Listeners {
    /// `None` in a process without the role.
    pub api: Option<Listener>,
    pub api_tls: Option<ReloadableTls>,
    pub admin: Listener,
    pub admin_tls: Option<ReloadableTls>,
}

impl Listeners {
    /// Reads the certificates and binds the addresses.
    pub async fn bind(config: &Config, has_api: bool) -> anyhow::Result<Self> {
        let (api_tls, admin_tls) = (tls(&config.api.tls)?, tls(&config.admin.tls)?);
        let (listen, connections) = (config.api.listen, api_connections(config));
        let api = match has_api {
            true => Some(bind("api", config, listen, connections, api_tls.clone()).await?),
            false => None,
        };
        let listen = config.admin.listen;
        let admin = bind("admin", config, listen, ADMIN_CONNECTIONS_MAX, admin_tls.clone()).await?;
        Ok(Self { api, api_tls, admin, admin_tls })
    }
}

/// Returns `true` if other machines can reach a listener.
pub fn is_exposed(config: &Config, has_api: bool) -> bool {
    !config.admin.listen.ip().is_loopback() || has_api && !config.api.listen.ip().is_loopback()
}

/// Returns the configured number of connections, lowered to what the system's
/// file descriptors allow. Operators and calls to CSPs have theirs reserved.
fn api_connections(config: &Config) -> usize {
    let wanted = config.api.max_connections;
    let calls: usize = config.csp.values().map(|csp| csp.max_concurrent.get() as usize).sum();
    let limit = descriptors::raise_limit();
    let granted = descriptors::connections(limit, wanted, ADMIN_CONNECTIONS_MAX + calls);
    if granted < wanted {
        warn!(
            limit,
            "api.max_connections is {granted} instead of {wanted}: the system grants this process \
             no more file descriptors"
        );
    }
    granted
}

fn tls(config: &Option<TlsConfig>) -> anyhow::Result<Option<ReloadableTls>> {
    let opened = config.as_ref().map(TlsConfig::open).transpose();
    Ok(opened.context("reading the certificate of a listener")?.map(ReloadableTls::new))
}

async fn bind(
    what: &str,
    config: &Config,
    address: SocketAddr,
    connections_max: usize,
    tls: Option<ReloadableTls>,
) -> anyhow::Result<Listener> {
    let encrypted = tls.is_some();
    let listener = Listener::bind(address, connections_max)
        .await
        .with_context(|| format!("binding {what}.listen = {address}"))?
        .with_timeouts(config.limits.timeouts())
        .with_tls(tls);
    let address = listener.local_addr().context("asking for the bound address")?;
    // Tests and tools read the fields to learn that the host is ready.
    info!(event = "listening", listener = what, %address, tls = encrypted, "Listening");
    if !encrypted && !address.ip().is_loopback() {
        warn!(%address, "Keys and messages arrive in the clear; something before it should speak TLS");
    }
    Ok(listener)
}
