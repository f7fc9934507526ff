//! The HTTP client of one CSP, rebuilt when its certificate files change.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_util::client::legacy;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioTimer;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;
use url::Url;

use crate::BuildError;
use crate::policy::resolver::Resolver;
use crate::transport::connector::Connector;
use crate::transport::limits::HEADER_BYTES_MAX;
use crate::transport::limits::HEADER_FIELDS_MAX;
use crate::transport::tls::DefaultTrust;
use crate::transport::tls::FileStamps;
use crate::transport::tls::TlsConfig;
use hoth_core::domain::CspName;
use hoth_platform::loopback::points_at_loopback;

/// The time after which an idle connection is closed. It is less than the 5 s
/// of the shortest common server default (Node.js): a request that meets a
/// server's close may or may not have been read.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

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

/// The connections of a client, and the pool of idle ones. Cheap to clone.
pub type Connections = legacy::Client<Connector, Full<Bytes>>;

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
    pub async fn get(&self) -> Connections {
        if self.0.claim_check() {
            let inner = Arc::clone(&self.0);
            let checked = tokio::task::spawn_blocking(move || inner.reload_if_changed());
            checked.await.expect("the check of the files does not panic");
        }
        Connections::clone(&self.0.current.load())
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

/// Makes a client that follows no redirect, keeps no cookie, uses no proxy but
/// the configured one, and repeats no request that it has begun to send.
///
/// Only the retry policy of a job repeats requests: it knows which of them are
/// idempotent. The client alone can tell that an idle connection was closed
/// before it took a request, and then sends it on another one.
fn build(config: &ClientConfig, resolver: &Resolver) -> Result<Connections, BuildError> {
    let trust = if config.needs_tls { DefaultTrust::Machine } else { DefaultTrust::Empty };
    let tls = match &config.tls {
        Some(tls) => tls.client_config(trust)?,
        None => TlsConfig::default().client_config(trust)?,
    };
    let proxy: Option<Uri> =
        config.proxy.as_ref().map(|url| url.as_str().parse().expect("an origin is a URI"));
    let connector = Connector::new(resolver.clone(), tls, proxy.as_ref(), config.connect_timeout);
    Ok(legacy::Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(config.idle_connections_max)
        .http1_max_headers(HEADER_FIELDS_MAX)
        .http2_max_header_list_size(HEADER_BYTES_MAX as u32)
        .build(connector))
}
