//! The certificates that a client of the admin API accepts.

use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use anyhow::ensure;
use rustls::CertificateError;
use rustls::ClientConfig;
use rustls::DigitallySignedStruct;
use rustls::Error;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::UnixTime;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::ParsedCertificate;

/// The certificates to trust, in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// CA certificates, or certificates of hosts. A host's own certificate is
    /// accepted for the names in it, as `openssl` and curl do, although it is
    /// no CA for itself.
    Certificates(PathBuf),
    /// The certificate of this very host, whatever name it is reached by.
    Host(PathBuf),
}

impl Trust {
    /// Returns the TLS settings of a client.
    pub fn client(&self) -> anyhow::Result<ClientConfig> {
        let (Self::Certificates(file) | Self::Host(file)) = self;
        let certificates = read(file)?;
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        ensure!(taken > 0, "{} holds no certificate that can be read", file.display());
        let roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        let verifier = Verifier {
            known: certificates,
            any_name: matches!(self, Self::Host(_)),
            chains: roots.build().context("reading the certificates to trust")?,
        };
        let client = ClientConfig::builder_with_provider(Arc::<CryptoProvider>::clone(&provider))
            .with_safe_default_protocol_versions()
            .context("setting up TLS")?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        Ok(client)
    }
}

fn read(file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let pem = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.unwrap_or_default();
    ensure!(!certificates.is_empty(), "{} holds no certificate in PEM", file.display());
    Ok(certificates)
}

/// Accepts the known certificates themselves, and chains that end at one.
#[derive(Debug)]
struct Verifier {
    known: Vec<CertificateDer<'static>>,
    /// `true` if a known certificate is accepted for any name.
    any_name: bool,
    chains: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        // The chain comes first: it also checks the validity of a certificate
        // that a CA has signed.
        let error = match self.chains.verify_server_cert(
            end_entity,
            intermediates,
            server_name,
            ocsp_response,
            now,
        ) {
            Ok(verified) => return Ok(verified),
            Err(error) => error,
        };
        if matches!(&error, Error::InvalidCertificate(problem) if is_expired(problem))
            || !self.known.iter().any(|known| known.as_ref() == end_entity.as_ref())
        {
            return Err(error);
        }
        if !self.any_name {
            verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

fn is_expired(problem: &CertificateError) -> bool {
    matches!(problem, CertificateError::Expired | CertificateError::ExpiredContext { .. })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Returns a verifier for this certificate, and its DER.
    fn verifier(any_name: bool) -> (Verifier, CertificateDer<'static>) {
        let mut parameters = rcgen::CertificateParams::new(vec!["h.example".to_owned()]).unwrap();
        // As `openssl req -x509` makes it.
        parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("c.pem");
        std::fs::write(&file, certificate.pem()).unwrap();
        let known = read(&file).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(known.clone());
        let provider = Arc::new(ring::default_provider());
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let chains = chains.build().unwrap();
        (Verifier { known: known.clone(), any_name, chains }, known[0].clone())
    }

    #[test]
    fn a_certificate_of_a_host_is_accepted_as_its_own_authority() {
        for (any_name, name, expected) in [
            (false, "h.example", true),
            (false, "other.example", false),
            (true, "other.example", true),
        ] {
            let (verifier, certificate) = verifier(any_name);
            let name = ServerName::try_from(name).unwrap();
            let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
            let verified = verifier.verify_server_cert(&certificate, &[], &name, &[], now);
            assert_eq!(verified.is_ok(), expected, "{any_name} {name:?} {verified:?}");
        }
    }

    #[test]
    fn another_certificate_is_refused() {
        let (verifier, _) = verifier(true);
        let (_, other) = self::verifier(true);
        let name = ServerName::try_from("h.example").unwrap();
        let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        assert!(verifier.verify_server_cert(&other, &[], &name, &[], now).is_err());
    }
}
