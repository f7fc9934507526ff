//! The HTTP client of one CSP, rebuilt when its certificate files change.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::Uri;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;
use url::Url;

use crate::BuildError;
use crate::policy::resolver::Resolver;
use crate::transport::connections::Connections;
use crate::transport::connector::Connector;
use crate::transport::tls::DefaultTrust;
use crate::transport::tls::FileStamps;
use crate::transport::tls::TlsConfig;
use hoth_core::domain::CspName;
use hoth_platform::loopback::points_at_loopback;

/// The shortest time between two checks of the certificate files. Certificates
/// are renewed hours before they expire, so this is soon enough.
const CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// The settings of the connections to one CSP.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    pub connect_timeout: Duration,
    /// The bound on idle connections for each host.
    pub idle_connections_max: usize,
    pub proxy: Option<Url>,
    pub tls: Option<TlsConfig>,
    /// True if any configured URL is https. Without one, a machine that has no
    /// root certificates can still make calls.
    pub needs_tls: bool,
}

/// An HTTP client that connects by the operator's rules. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    config: ClientConfig,
    resolver: Resolver,
    /// The client in use. It is swapped whole, so that a call under way keeps
    /// the client with which it began.
    current: ArcSwap<Connections>,
    last_check: Mutex<FileCheck>,
}

/// The last check of the certificate files.
#[derive(Debug)]
struct FileCheck {
    at: Instant,
    stamps: FileStamps,
}

impl HttpClient {
    /// Reads the certificate files and makes a client. Opens no connection.
    pub fn build(
        csp: &CspName,
        config: ClientConfig,
        resolver: Resolver,
    ) -> Result<Self, BuildError> {
        // The stamps are taken before the files are read: a file that changes
        // in between is then seen as changed at the next check.
        let last_check = FileCheck { at: Instant::now(), stamps: stamps(&config) };
        let client = build(&config, &resolver)?;
        Ok(Self(Arc::new(Inner {
            csp: csp.clone(),
            config,
            resolver,
            current: ArcSwap::from_pointee(client),
            last_check: Mutex::new(last_check),
        })))
    }

    /// Returns the client for the next call, after a check of the certificate
    /// files if one is due.
    pub async fn get(&self) -> Arc<Connections> {
        if self.0.claim_check() {
            let inner = Arc::clone(&self.0);
            let checked = tokio::task::spawn_blocking(move || inner.reload_if_changed());
            checked.await.expect("the check of the files does not panic");
        }
        self.0.current.load_full()
    }

    /// Returns true if calls to `url` go through the proxy.
    pub fn is_proxied(&self, url: &Url) -> bool {
        self.0.config.proxy.is_some() && !points_at_loopback(url)
    }

    /// Checks the files now.
    #[cfg(test)]
    pub fn reload_if_changed(&self) {
        self.0.reload_if_changed();
    }
}

impl Inner {
    /// Returns true if a check is due and the caller must make it.
    fn claim_check(&self) -> bool {
        if self.config.tls.is_none() {
            return false;
        }
        let mut last_check = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last_check.at.elapsed() >= CHECK_INTERVAL;
        if due {
            // Moved ahead before the check, so that concurrent calls do not all
            // check.
            last_check.at = Instant::now();
        }
        due
    }

    /// Rebuilds the client if the files have changed. Files that cannot be used
    /// change nothing: they may be half written, and the next change is seen.
    fn reload_if_changed(&self) {
        let stamps = stamps(&self.config);
        {
            let mut last_check = self.last_check.lock().unwrap_or_else(PoisonError::into_inner);
            if last_check.stamps == stamps {
                return;
            }
            last_check.stamps = stamps;
        }
        match build(&self.config, &self.resolver) {
            Ok(client) => {
                self.current.store(Arc::new(client));
                info!(csp = %self.csp, "Reloaded the TLS files of {}", self.csp);
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                warn!(
                    csp = %self.csp, %error, cause,
                    "Cannot reload the TLS files of {}; keeping the previous ones", self.csp,
                );
            }
        }
    }
}

fn stamps(config: &ClientConfig) -> FileStamps {
    config.tls.as_ref().map(|tls| tls.stamps()).unwrap_or_default()
}

/// Reads the files of TLS, and makes the connector.
fn build(config: &ClientConfig, resolver: &Resolver) -> Result<Connections, BuildError> {
    let trust = if config.needs_tls { DefaultTrust::Machine } else { DefaultTrust::Empty };
    let tls = match &config.tls {
        Some(tls) => tls.client_config(trust)?,
        None => TlsConfig::default().client_config(trust)?,
    };
    let proxy: Option<Uri> =
        config.proxy.as_ref().map(|url| url.as_str().parse().expect("an origin is a URI"));
    let connector = Connector::new(resolver.clone(), tls, proxy.as_ref(), config.connect_timeout);
    Ok(Connections::new(connector, config.idle_connections_max))
}
