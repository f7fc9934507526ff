//! The TLS certificate of a listener, reloadable while it serves.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;

use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_core::domain::Timestamp;
use hoth_platform::certificate;

/// The largest PEM file that is read. A chain has some thousand bytes.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// The only protocol offered: detecting a flush needs HTTP/1.1 (see
/// [`super::flush`]).
const ALPN: &[u8] = b"http/1.1";

/// The tables `[api.tls]` and `[admin.tls]`: TLS 1.2 or later.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain in PEM: the certificate and its intermediates.
    pub certificate: PathBuf,
    /// The private key in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// A certificate and its key, ready for connections.
#[derive(Debug, Clone)]
pub struct OpenedTls {
    config: Arc<ServerConfig>,
    /// The earliest end of validity in the chain; `None` if it cannot be read.
    expires_at: Option<Timestamp>,
}

/// A certificate or key that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{what}: {} cannot be read: {source}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, source: io::Error },
    /// The file has no PEM block of this kind.
    #[error("{what}: {} holds none in PEM", path.display())]
    Missing { what: &'static str, path: PathBuf },
    #[error("{} is not the key of {}", key.display(), certificate.display())]
    NoPair { key: PathBuf, certificate: PathBuf },
    /// The kind of the certificate or of the key is not supported.
    #[error("certificate and key: {0}")]
    Refused(#[from] rustls::Error),
}

impl TlsConfig {
    /// Resolves relative paths against `directory`, the configuration file's.
    pub fn resolve_against(&mut self, directory: &Path) {
        for path in [&mut self.certificate, &mut self.key] {
            *path = directory.join(&*path);
        }
    }

    /// Returns the files that the table names.
    pub fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    /// Reads the certificate and its key. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// Returns an error if a file cannot be read, or the two are no pair.
    pub fn open(&self) -> Result<OpenedTls, TlsError> {
        let pem = read("certificate", &self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        // Malformed PEM is reported as a missing certificate: both mean that
        // the file is not the one that the operator intended.
        let chain = chain.unwrap_or_default();
        if chain.is_empty() {
            return Err(missing("certificate", &self.certificate));
        }
        let expires_at = certificate::expires_at(&pem);
        let pem = read("key", &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| missing("key", &self.key))?;
        // TLS 1.2 and 1.3. Callers authenticate by their key in the HTTP layer,
        // so no client certificate is asked for. rustls compares the key with
        // the certificate.
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| self.refused(error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(OpenedTls { config: Arc::new(config), expires_at })
    }
}

impl TlsConfig {
    fn refused(&self, error: rustls::Error) -> TlsError {
        if let rustls::Error::InconsistentKeys(_) = error {
            let (key, certificate) = (self.key.clone(), self.certificate.clone());
            return TlsError::NoPair { key, certificate };
        }
        TlsError::Refused(error)
    }
}

impl Table for TlsConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        self.open().err().map(Problem::of_table).into_iter().collect()
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn missing(what: &'static str, path: &Path) -> TlsError {
    TlsError::Missing { what, path: path.to_owned() }
}

/// The current certificate. A clone is cheap, and all clones change together.
#[derive(Clone)]
pub struct ReloadableTls(Arc<ArcSwap<OpenedTls>>);

impl ReloadableTls {
    /// Creates a holder that starts with `opened`.
    pub fn new(opened: OpenedTls) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(opened)))
    }

    /// Uses `opened` for all later connections. TLS sessions of the previous
    /// certificate are not resumed.
    pub fn replace(&self, opened: OpenedTls) {
        self.0.store(Arc::new(opened));
    }

    /// Returns the time at which the current certificate, or one of its chain,
    /// expires. Returns `None` if it cannot be read.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.0.load().expires_at
    }

    /// Returns the certificate for a new connection.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.load().config)
    }
}
