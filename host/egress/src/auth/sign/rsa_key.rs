//! RSA private keys, which sign with SHA-256.

use std::fmt;

use ring::rand::SystemRandom;
use ring::rsa::KeyPair;
use ring::signature::RSA_PKCS1_SHA256;
use ring::signature::RSA_PSS_SHA256;
use ring::signature::RsaEncoding;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;

/// An RSA private key of 2048 bits or more.
pub struct RsaKey(KeyPair);

/// The reason why a text is no usable RSA key. It quotes nothing of the text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)")]
    NotPem,
    #[error("is encrypted: store it without a passphrase, as `openssl pkey -in FILE` writes it")]
    Encrypted,
    #[error("is no RSA key")]
    NotRsa,
    /// The reason is one of the words of `ring`, such as `TooSmall`.
    #[error("is no usable RSA key of 2048 bits or more: {0}")]
    Unusable(String),
}

impl RsaKey {
    /// Reads a key in PEM, as PKCS#8 or PKCS#1.
    ///
    /// # Errors
    ///
    /// Returns the reason if the text has no key, or one that cannot sign.
    pub fn from_pem(pem: &str) -> Result<Self, BadKey> {
        // The two spellings of an encrypted key: in the label (RFC 7468), and
        // in the header of the old form.
        if pem.contains("BEGIN ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type: 4,ENCRYPTED") {
            return Err(BadKey::Encrypted);
        }
        let der = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| BadKey::NotPem)?;
        let read = match &der {
            PrivateKeyDer::Pkcs1(key) => KeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => KeyPair::from_pkcs8(key.secret_pkcs8_der()),
            PrivateKeyDer::Sec1(_) | _ => return Err(BadKey::NotRsa),
        };
        read.map(Self).map_err(|rejected| match rejected.to_string().as_str() {
            "WrongAlgorithm" => BadKey::NotRsa,
            reason => BadKey::Unusable(reason.to_owned()),
        })
    }

    /// Signs by RSASSA-PKCS1-v1_5, the `RS256` of RFC 7518 and the `rsa-sha256`
    /// of HTTP signatures.
    pub fn sign_pkcs1(&self, message: &[u8]) -> Vec<u8> {
        self.sign(&RSA_PKCS1_SHA256, message)
    }

    /// Signs by RSASSA-PSS, the `PS256` of RFC 7518. Each signature differs.
    pub fn sign_pss(&self, message: &[u8]) -> Vec<u8> {
        self.sign(&RSA_PSS_SHA256, message)
    }

    fn sign(&self, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message, &mut signature)
            .expect("a key of 2048 bits or more has room for the padding");
        signature
    }

    /// Returns the public key in the form of PKCS#1.
    pub fn public(&self) -> &[u8] {
        self.0.public().as_ref()
    }
}

impl fmt::Debug for RsaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RsaKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::vectors;

    #[test]
    fn a_key_is_read_from_both_encodings() {
        let (pkcs8, pkcs1) = (vectors::KEY, vectors::KEY_PKCS1);
        let signed = |pem| RsaKey::from_pem(pem).unwrap().sign_pkcs1(b"x");
        assert_eq!(signed(pkcs8), signed(pkcs1));
        assert_eq!(signed(pkcs8), signed(&format!("Bag Attributes\n{pkcs8}\n\n")));
    }

    #[test]
    fn the_reason_is_given_for_a_text_that_is_no_rsa_key() {
        let elliptic = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let cut = vectors::KEY.replace("MII", "AII");
        for (pem, reason) in [
            ("", "has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)"),
            ("hunter2", "has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)"),
            (vectors::CERTIFICATE, "has no private key in PEM (`-----BEGIN PRIVATE KEY-----`)"),
            (&elliptic, "is no RSA key"),
            (
                vectors::KEY_ENCRYPTED,
                "is encrypted: store it without a passphrase, as `openssl pkey -in FILE` writes it",
            ),
            (&cut, "is no usable RSA key of 2048 bits or more: InvalidEncoding"),
        ] {
            assert_eq!(RsaKey::from_pem(pem).unwrap_err().to_string(), reason);
        }
    }
}
