//! The HTTP client of one CSP, made anew when its certificates change.

use std::error::Error as _;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use arc_swap::ArcSwap;
use reqwest::Proxy;
use tokio::time::Instant;
use tracing::info;
use tracing::warn;
use url::Url;

use crate::BuildError;
use crate::config::Config;
use crate::resolver::Resolver;
use crate::tls::Stamps;
use hoth_core::domain::CspName;
use hoth_platform::loopback::points_at_loopback;

/// Less than the 5 s after which the most impatient common server (Node.js)
/// closes an idle connection: a request that meets such a close may or may not
/// have been read.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// How often the certificate files are looked at, at most. Whoever renews a
/// certificate does so hours before the old one ends.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// Makes connections by the operator's rules. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HttpClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    config: Config,
    resolver: Resolver,
    current: ArcSwap<reqwest::Client>,
    looked: Mutex<Looked>,
}

/// The last look at the certificate files.
#[derive(Debug)]
struct Looked {
    at: Instant,
    stamps: Stamps,
}

impl HttpClient {
    /// Reads the certificate files, and connects to nobody yet.
    pub fn build(csp: &CspName, config: &Config, resolver: Resolver) -> Result<Self, BuildError> {
        // Before the files are read: a change after this has other stamps.
        let looked = Looked { at: Instant::now(), stamps: stamps(config) };
        let client = build(config, &resolver)?;
        Ok(Self(Arc::new(Inner {
            csp: csp.clone(),
            config: config.clone(),
            resolver,
            current: ArcSwap::from_pointee(client),
            looked: Mutex::new(looked),
        })))
    }

    /// The client for the next call.
    pub async fn get(&self) -> reqwest::Client {
        if self.0.is_due() {
            let inner = Arc::clone(&self.0);
            let looked = tokio::task::spawn_blocking(move || inner.look());
            looked.await.expect("looking at files does not panic");
        }
        reqwest::Client::clone(&self.0.current.load())
    }

    /// Looks at the files at once.
    #[cfg(test)]
    pub fn look(&self) {
        self.0.look();
    }
}

impl Inner {
    /// Whether it is this caller's turn to look at the files.
    fn is_due(&self) -> bool {
        if self.config.tls.is_none() {
            return false;
        }
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let due = looked.at.elapsed() >= LOOK_INTERVAL;
        if due {
            looked.at = Instant::now();
        }
        due
    }

    /// Takes files that have changed into use. What cannot be used changes
    /// nothing: it may be half written, and is looked at again once it differs.
    fn look(&self) {
        let stamps = stamps(&self.config);
        {
            let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.stamps == stamps {
                return;
            }
            looked.stamps = stamps;
        }
        match build(&self.config, &self.resolver) {
            Ok(client) => {
                self.current.store(Arc::new(client));
                info!(csp = %self.csp, "The changed TLS files of {} are in use", self.csp);
            }
            Err(error) => {
                let cause = error.source().map(ToString::to_string);
                warn!(
                    csp = %self.csp, %error, cause,
                    "The changed TLS files of {} cannot be used; the former ones stay", self.csp,
                );
            }
        }
    }
}

fn stamps(config: &Config) -> Stamps {
    config.tls.as_ref().map(|tls| tls.stamps()).unwrap_or_default()
}

/// Makes a client that follows no redirect, keeps no cookie, asks no proxy but
/// the configured one, and repeats nothing that a peer may have seen.
fn build(config: &Config, resolver: &Resolver) -> Result<reqwest::Client, BuildError> {
    // An error says that one is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .dns_resolver(Arc::new(resolver.clone()))
        .connect_timeout(config.connect_timeout())
        .pool_idle_timeout(POOL_IDLE_TIMEOUT)
        .pool_max_idle_per_host(config.max_concurrent.get() as usize);
    if let Some(url) = &config.proxy {
        builder = builder.proxy(proxy(url.clone()));
    }
    let material = config.tls.as_ref().map(|tls| tls.read()).transpose()?;
    let (authorities, identity) =
        material.map_or((None, None), |found| (found.authorities, found.identity));
    match authorities {
        Some(authorities) => builder = builder.tls_certs_only(authorities),
        // A machine without certificates can still call itself.
        None if !config.needs_tls() => builder = builder.tls_certs_only([]),
        None => {}
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity);
    }
    builder.build().map_err(BuildError::Http)
}

/// What is on this machine is called directly.
fn proxy(proxy: Url) -> Proxy {
    Proxy::custom(move |url| (!points_at_loopback(url)).then(|| proxy.clone()))
}
