//! TLS files: trusted authorities and the client certificate.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls_platform_verifier::Verifier;
use secrecy::ExposeSecret as _;
use secrecy::SecretSlice;
use serde::Deserialize;

/// The largest file that is read. The authorities of a common system take a
/// quarter of that.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// The table `[csp.<NAME>.tls]`: PEM files, for the CSP, its token endpoint
/// and its proxy alike. A file that changes takes effect within seconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Trusted certificate authorities. They replace those of the machine.
    pub ca: Option<PathBuf>,
    /// The host's own certificate, and the chain up to its authority.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`.
    pub key: Option<PathBuf>,
}

/// The error of unusable TLS files. It never quotes their content.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read the file `{}`", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("the file `{}` has more than {PEM_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("the file `{}` contains no PEM certificate", .0.display())]
    NoCertificate(PathBuf),
    #[error("the files `{}` and `{}` contain no PEM certificate and key", .0.display(), .1.display())]
    NoIdentity(PathBuf, PathBuf),
    #[error("the key in `{}` does not belong to the certificate in `{}`", .1.display(), .0.display())]
    OtherKey(PathBuf, PathBuf),
    #[error("cannot use the certificate authorities of this machine")]
    Machine(#[source] rustls::Error),
}

/// The certificate authorities that a client trusts if the table names none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultTrust {
    /// Those of the machine.
    Machine,
    /// None. A machine without any can still make calls without TLS.
    Empty,
}

/// The protocols that a client offers to a server, the preferred one first.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The stamp of each file, or `None` if a file is missing. Comparing them shows
/// changes without reading the files.
pub type FileStamps = Vec<Option<FileStamp>>;

/// Metadata that tells two states of a file apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStamp {
    inode: u64,
    bytes: u64,
    /// Seconds and nanoseconds of the last change of the file or its metadata.
    /// No program can set it, unlike the modification time, which `cp -p` and
    /// orchestrators copy from another file.
    changed: (i64, i64),
}

impl TlsConfig {
    /// Resolves relative paths against `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key].into_iter().flatten() {
            *path = dir.join(&*path);
        }
    }

    /// Returns the missing key if only one of `certificate` and `key` is given.
    pub fn missing(&self) -> Option<&'static str> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Some("key"),
            (None, Some(_)) => Some("certificate"),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Reads and checks the files. Blocks on the file system.
    pub fn check(&self) -> Result<(), TlsError> {
        self.client_config(DefaultTrust::Empty).map(drop)
    }

    /// Reads the files, and makes the settings of a client that trusts these
    /// authorities alone, if there are any, and shows this certificate. Blocks
    /// on the file system.
    pub fn client_config(&self, trust: DefaultTrust) -> Result<ClientConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the provider has cipher suites of both versions");
        let builder = match (self.ca.as_deref(), trust) {
            (Some(path), _) => builder.with_root_certificates(read_authorities(path)?),
            (None, DefaultTrust::Empty) => builder.with_root_certificates(RootCertStore::empty()),
            (None, DefaultTrust::Machine) => {
                builder.dangerous().with_custom_certificate_verifier(machine(provider)?)
            }
        };
        let mut config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => {
                let (chain, secret) = read_identity(certificate, key)?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| {
                    let is_other = matches!(error, rustls::Error::InconsistentKeys(_));
                    let unusable = if is_other { TlsError::OtherKey } else { TlsError::NoIdentity };
                    unusable(certificate.clone(), key.clone())
                })?
            }
            (Some(_), None) | (None, Some(_)) | (None, None) => builder.with_no_client_auth(),
        };
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(config)
    }

    /// Returns the current stamps of the files. Blocks on the file system.
    pub fn stamps(&self) -> FileStamps {
        let files = [&self.ca, &self.certificate, &self.key].into_iter().flatten();
        files
            .map(|file| {
                let file = std::fs::metadata(file).ok()?;
                let changed = (file.ctime(), file.ctime_nsec());
                Some(FileStamp { inode: file.ino(), bytes: file.size(), changed })
            })
            .collect()
    }
}

/// Makes the check of certificates by the authorities of the machine.
fn machine(provider: Arc<CryptoProvider>) -> Result<Arc<Verifier>, TlsError> {
    Verifier::new(provider).map(Arc::new).map_err(TlsError::Machine)
}

fn read_authorities(path: &Path) -> Result<RootCertStore, TlsError> {
    let unusable = || TlsError::NoCertificate(path.to_owned());
    let mut authorities = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&read(path)?) {
        let certificate = certificate.map_err(|_| unusable())?;
        authorities.add(certificate).map_err(|_| unusable())?;
    }
    if authorities.is_empty() { Err(unusable()) } else { Ok(authorities) }
}

/// A certificate with its chain, and its key.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let unusable = || TlsError::NoIdentity(certificate.to_owned(), key.to_owned());
    // Wiped when it is dropped.
    let pem = SecretSlice::from(read(key)?);
    let secret = PrivateKeyDer::from_pem_slice(pem.expose_secret()).map_err(|_| unusable())?;
    let pem = SecretSlice::from(read(certificate)?);
    let chain = CertificateDer::pem_slice_iter(pem.expose_secret());
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(|_| unusable())?;
    if chain.is_empty() { Err(unusable()) } else { Ok((chain, secret)) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // One byte more than allowed, to notice a file that is too long.
    file.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > PEM_BYTES_MAX {
        return Err(TlsError::TooLong(path.to_owned()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_file_and_hides_its_content() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.pem"), "hunter2").unwrap();
        std::fs::write(dir.path().join("long.pem"), vec![b'x'; PEM_BYTES_MAX as usize + 1])
            .unwrap();
        let check = |toml: &str, expected: &str| {
            let mut config: TlsConfig = toml::from_str(toml).unwrap();
            config.resolve_against(dir.path());
            let error = config.check().unwrap_err().to_string();
            assert_eq!(error.replace(&*dir.path().to_string_lossy(), "DIR"), expected, "{toml}");
        };
        check("ca = 'bad.pem'", "the file `DIR/bad.pem` contains no PEM certificate");
        check("ca = 'none.pem'", "cannot read the file `DIR/none.pem`");
        check("ca = 'long.pem'", "the file `DIR/long.pem` has more than 1048576 bytes");
        check(
            "certificate = 'bad.pem'\nkey = 'bad.pem'",
            "the files `DIR/bad.pem` and `DIR/bad.pem` contain no PEM certificate and key",
        );
    }

    #[test]
    fn a_key_must_belong_to_its_certificate() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
            std::fs::write(dir.path().join(format!("{name}.pem")), made.cert.pem()).unwrap();
            let key = made.signing_key.serialize_pem();
            std::fs::write(dir.path().join(format!("{name}.key")), key).unwrap();
        }
        let check = |key: &str| {
            let text = format!("certificate = 'a.pem'\nkey = '{key}'");
            let mut config: TlsConfig = toml::from_str(&text).unwrap();
            config.resolve_against(dir.path());
            config.check().map_err(|error| error.to_string())
        };
        assert_eq!(check("a.key"), Ok(()));
        let error = check("b.key").unwrap_err().replace(&*dir.path().to_string_lossy(), "DIR");
        assert_eq!(
            error,
            "the key in `DIR/b.key` does not belong to the certificate in `DIR/a.pem`"
        );
    }

    #[test]
    fn another_file_with_the_same_size_and_time_has_another_stamp() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        let write = |text: &str| {
            std::fs::write(&path, text).unwrap();
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(std::time::UNIX_EPOCH).unwrap();
        };
        let config = TlsConfig { ca: Some(path.clone()), ..TlsConfig::default() };
        write("before");
        let before = config.stamps();
        assert_eq!(config.stamps(), before);
        // The clock of file times has ticks of some milliseconds.
        let started_at = std::time::Instant::now();
        while config.stamps() == before {
            assert!(started_at.elapsed() < std::time::Duration::from_secs(60));
            write("later!");
        }
    }

    #[test]
    fn a_certificate_requires_its_key_and_the_reverse() {
        for (toml, missing) in [
            ("", None),
            ("ca = 'a'", None),
            ("certificate = 'a'\nkey = 'b'", None),
            ("certificate = 'a'", Some("key")),
            ("key = 'a'\nca = 'b'", Some("certificate")),
        ] {
            assert_eq!(toml::from_str::<TlsConfig>(toml).unwrap().missing(), missing, "{toml}");
        }
    }
}
