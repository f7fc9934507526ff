//! TLS: which certificate is shown, and how it is exchanged while running.

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

/// The largest PEM file that is read. A chain has some thousand bytes.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// HTTP/1.1 is all that is spoken (see [`super::departure`]).
const ALPN: &[u8] = b"http/1.1";

/// `[api.tls]` and `[admin.tls]`: TLS 1.2 or later.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate and those between it and the root, in PEM.
    pub certificate: PathBuf,
    /// Its private key, in PEM (PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
}

/// Why TLS cannot be spoken.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{what}: {} cannot be read: {source}", path.display())]
    Unreadable { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{what}: {} holds none in PEM", path.display())]
    Nothing { what: &'static str, path: PathBuf },
    /// They are no pair, or of a kind that is not spoken.
    #[error("certificate and key: {0}")]
    Refused(#[from] rustls::Error),
}

impl TlsConfig {
    /// Paths are relative to `directory`, that of the configuration file.
    pub fn resolve_against(&mut self, directory: &Path) {
        for path in [&mut self.certificate, &mut self.key] {
            *path = directory.join(&*path);
        }
    }

    /// The files that it names.
    pub fn files(&self) -> Vec<PathBuf> {
        vec![self.certificate.clone(), self.key.clone()]
    }

    /// Reads the certificate and its key. Blocks on the file system.
    ///
    /// # Errors
    ///
    /// For files that are missing, or hold no pair.
    pub fn open(&self) -> Result<ServerConfig, TlsError> {
        let pem = read("certificate", &self.certificate)?;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        let chain = chain.unwrap_or_default();
        if chain.is_empty() {
            return Err(nothing("certificate", &self.certificate));
        }
        let pem = read("key", &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|_| nothing("key", &self.key))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config)
    }
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |source| TlsError::Unreadable { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(PEM_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn nothing(what: &'static str, path: &Path) -> TlsError {
    TlsError::Nothing { what, path: path.to_owned() }
}

/// The certificate that counts now; cheap to clone, and all clones change
/// together.
#[derive(Clone)]
pub struct Tls(Arc<ArcSwap<ServerConfig>>);

impl Tls {
    /// Begins with `config`.
    pub fn new(config: ServerConfig) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// Lets `config` count for the connections that come from now on. Sessions
    /// of the one before are not resumed.
    pub fn replace(&self, config: ServerConfig) {
        self.0.store(Arc::new(config));
    }

    pub(super) fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}
