//! Whom a CSP's connections trust, and how they show who calls.

use std::fs::File;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::path::PathBuf;
use std::time::SystemTime;

use reqwest::Certificate;
use reqwest::Identity;
use secrecy::ExposeSecret as _;
use secrecy::SecretSlice;
use serde::Deserialize;

/// The largest file that is read. All authorities that a common system trusts
/// take a quarter of that.
const PEM_BYTES_MAX: u64 = 1024 * 1024;

/// The table `[csp.<NAME>.tls]`: PEM files, for the CSP, its token endpoint
/// and its proxy alike. A file that changes takes effect within seconds.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate authorities. With it these are trusted and no others;
    /// without it those of the machine.
    pub ca: Option<PathBuf>,
    /// The host's own certificate, and the chain up to its authority.
    pub certificate: Option<PathBuf>,
    /// The key of `certificate`.
    pub key: Option<PathBuf>,
}

/// Files from which no connection can be secured. Never quotes them.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("the file `{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    #[error("the file `{}` has more than {PEM_BYTES_MAX} bytes", .0.display())]
    TooLong(PathBuf),
    #[error("the file `{}` holds no certificate in PEM", .0.display())]
    NoCertificate(PathBuf),
    #[error("the files `{}` and `{}` hold no certificate and key in PEM", .0.display(), .1.display())]
    NoIdentity(PathBuf, PathBuf),
}

/// What the files hold.
pub struct Material {
    /// None: those of the machine.
    pub authorities: Option<Vec<Certificate>>,
    pub identity: Option<Identity>,
}

/// Tells one form of the files from another; none for one that is not there.
pub type Stamps = Vec<Option<(SystemTime, u64)>>;

impl TlsConfig {
    /// Makes relative paths ones below `dir`.
    pub fn resolve_against(&mut self, dir: &Path) {
        for path in [&mut self.ca, &mut self.certificate, &mut self.key].into_iter().flatten() {
            *path = dir.join(&*path);
        }
    }

    /// The key that is missing beside another.
    pub fn missing(&self) -> Option<&'static str> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Some("key"),
            (None, Some(_)) => Some("certificate"),
            (Some(_), Some(_)) | (None, None) => None,
        }
    }

    /// Reads and checks the files. Blocks on the file system.
    pub fn read(&self) -> Result<Material, TlsError> {
        let authorities = self.ca.as_deref().map(read_authorities).transpose()?;
        let identity = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(read_identity(certificate, key)?),
            (Some(_), None) | (None, Some(_)) | (None, None) => None,
        };
        Ok(Material { authorities, identity })
    }

    /// What the files are like now. Blocks on the file system.
    pub fn stamps(&self) -> Stamps {
        let files = [&self.ca, &self.certificate, &self.key].into_iter().flatten();
        files
            .map(|file| {
                let metadata = std::fs::metadata(file).ok()?;
                Some((metadata.modified().ok()?, metadata.len()))
            })
            .collect()
    }
}

fn read_authorities(path: &Path) -> Result<Vec<Certificate>, TlsError> {
    let certificates = Certificate::from_pem_bundle(&read(path)?);
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) | Err(_) => Err(TlsError::NoCertificate(path.to_owned())),
    }
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, TlsError> {
    let mut pem = read(key)?;
    pem.push(b'\n');
    pem.extend_from_slice(&read(certificate)?);
    let pem = SecretSlice::from(pem);
    Identity::from_pem(pem.expose_secret())
        .map_err(|_| TlsError::NoIdentity(certificate.to_owned(), key.to_owned()))
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable(path.to_owned(), error);
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
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
    fn an_error_names_the_file_and_not_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("bad.pem"), "hunter2").unwrap();
        std::fs::write(dir.path().join("long.pem"), vec![b'x'; PEM_BYTES_MAX as usize + 1])
            .unwrap();
        let check = |toml: &str, expected: &str| {
            let mut config: TlsConfig = toml::from_str(toml).unwrap();
            config.resolve_against(dir.path());
            let error = config.read().map(drop).unwrap_err().to_string();
            assert_eq!(error.replace(&*dir.path().to_string_lossy(), "DIR"), expected, "{toml}");
        };
        check("ca = 'bad.pem'", "the file `DIR/bad.pem` holds no certificate in PEM");
        check("ca = 'none.pem'", "the file `DIR/none.pem` cannot be read");
        check("ca = 'long.pem'", "the file `DIR/long.pem` has more than 1048576 bytes");
        check(
            "certificate = 'bad.pem'\nkey = 'bad.pem'",
            "the files `DIR/bad.pem` and `DIR/bad.pem` hold no certificate and key in PEM",
        );
    }

    #[test]
    fn a_certificate_and_its_key_come_together() {
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
