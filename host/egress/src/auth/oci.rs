//! The signing key of a user of Oracle Cloud Infrastructure.

use std::sync::Arc;

use secrecy::ExposeSecret as _;

use crate::auth::config::OciSignatureConfig;
use crate::auth::issuer_client::IssuerSetup;
use crate::auth::reread::Reread;
use crate::auth::secret::read_secret;
use crate::auth::secret::unusable;
use crate::auth::sign::oci_signature::OciKey;
use crate::auth::sign::rsa_key::RsaKey;
use crate::auth::sign::signer::OciSigner;
use crate::auth::sign::signer::Signer;
use crate::auth::sign::signing_clock::SigningClock;
use crate::transport::failure::CallFailure;
use hoth_core::domain::CspName;

/// A credential that signs for Oracle. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OciCredential(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    csp: CspName,
    config: OciSignatureConfig,
    read: Reread<Arc<OciKey>>,
    clock: SigningClock,
}

impl OciCredential {
    pub fn new(setup: &IssuerSetup, config: &OciSignatureConfig) -> Self {
        Self(Arc::new(Inner {
            csp: setup.csp.clone(),
            config: config.clone(),
            read: Reread::default(),
            clock: SigningClock::new(&setup.csp, setup.clock.clone()),
        }))
    }

    /// Returns a signer with the key as it was read last.
    pub async fn signer(&self) -> Result<Signer, CallFailure> {
        let key = self.0.read.get(|| self.0.read_key()).await?;
        Ok(self.0.signer_of(key))
    }

    /// Returns a signer with a new key after the CSP refused one. Returns `None`
    /// if the source still holds the refused one.
    pub async fn renew(&self, refused: &Signer) -> Result<Option<Signer>, CallFailure> {
        let Signer::OciSignature(refused) = refused else { return Ok(None) };
        let key = self.0.read.get_anew(|| self.0.read_key()).await?;
        let is_new = key.key.public() != refused.key.key.public();
        Ok(is_new.then(|| self.0.signer_of(key)))
    }
}

impl Inner {
    fn signer_of(&self, key: Arc<OciKey>) -> Signer {
        Signer::OciSignature(OciSigner { key, clock: self.clock.clone() })
    }

    async fn read_key(&self) -> Result<Arc<OciKey>, CallFailure> {
        let OciSignatureConfig { tenancy, user, fingerprint, key: source } = &self.config;
        let pem = read_secret(&self.csp, source, "signing key").await?;
        let key = RsaKey::from_pem(pem.expose_secret())
            .map_err(|bad| unusable(&self.csp, source, "signing key", &bad))?;
        Ok(Arc::new(OciKey { key, key_id: format!("{tenancy}/{user}/{fingerprint}") }))
    }
}
