//! Signatures of components: detached Ed25519 signatures in the format of
//! minisign, which has tools on every platform (`minisign`, `rsign`).

use minisign_verify::Error;
use minisign_verify::PublicKey;
use minisign_verify::Signature;

use serde::Deserialize;
use serde::Serialize;

use super::Package;
use hoth_core::domain::Digest;

/// Size of a signature file: two comments and two lines of base64.
pub const SIGNATURE_BYTES_MAX: usize = 4 << 10;

/// The characters of a signer's comment that are kept.
const COMMENT_CHARS_MAX: usize = 200;

/// The trusted public keys, and the requirement of a signature.
#[derive(Clone, Default)]
pub struct Trust {
    required: bool,
    /// Each with its text in the configuration.
    keys: Vec<(String, PublicKey)>,
}

/// The signer of a component, by a valid signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signer {
    /// The public key, as `adapters.trusted_keys` has it.
    pub key: String,
    /// The comment that is signed together with the component, cut.
    pub comment: String,
}

/// The trust configuration is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    #[error(
        "`{0}` is not a minisign public key; expected the second line of a `.pub` file, 56 \
         characters that start with RW"
    )]
    BadKey(String),
    #[error(
        "is true but `trusted_keys` is empty, so no component can be deployed; add \
         the public key of the signer"
    )]
    NoTrustedKey,
}

/// A component is not signed by a trusted key. The messages have the remedy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error(
        "component is not signed, but `adapters.require_signature` is set: sign it with `minisign -S -m FILE.wasm`, then deploy it with `--signature \
         FILE.wasm.minisig`, or put that file beside it"
    )]
    Missing,
    #[error("malformed signature; expected the complete file that minisign writes")]
    Unreadable,
    #[error(
        "component is signed with a key that is not in `adapters.trusted_keys`: add its public key \
         there and restart, or sign it with a trusted key"
    )]
    UnknownKey,
    #[error(
        "signature does not match the component: it was made for other bytes, or one of the two is \
         damaged"
    )]
    Invalid,
    #[error("signature has minisign's legacy format; sign without `-l`")]
    Legacy,
}

impl Trust {
    /// Parses the trusted `keys`, each the second line of minisign's `.pub` file.
    /// Several keys may be trusted, so that keys can be rotated.
    ///
    /// # Errors
    ///
    /// Returns [`TrustError`] if a text is not a key, or if a signature is
    /// required and no key is trusted.
    pub fn new(keys: &[String], required: bool) -> Result<Self, TrustError> {
        let keys = keys
            .iter()
            .map(|text| match PublicKey::from_base64(text) {
                Ok(key) => Ok((text.clone(), key)),
                Err(_) => Err(TrustError::BadKey(text.clone())),
            })
            .collect::<Result<Vec<_>, _>>()?;
        if required && keys.is_empty() {
            return Err(TrustError::NoTrustedKey);
        }
        Ok(Self { required, keys })
    }

    /// Checks a component on a thread for blocking work, and returns its digest
    /// and its signer: both read up to 64 MiB.
    pub(super) async fn check_and_digest(
        &self,
        package: &Package,
    ) -> Result<(Digest, Option<Signer>), SignatureError> {
        let (trust, package) = (self.clone(), package.clone());
        let checked = tokio::task::spawn_blocking(move || {
            let signer = trust.check(&package.wasm, package.signature.as_deref())?;
            Ok((Digest::of(&package.wasm), signer))
        });
        checked.await.expect("the check does not panic, and is not cancelled")
    }

    /// Checks a component. A present signature must be valid even if none is
    /// required. Without trusted keys signatures are not checked, and there is
    /// no signer.
    fn check(
        &self,
        wasm: &[u8],
        signature: Option<&[u8]>,
    ) -> Result<Option<Signer>, SignatureError> {
        let Some(signature) = signature else {
            return if self.required { Err(SignatureError::Missing) } else { Ok(None) };
        };
        if self.keys.is_empty() {
            return Ok(None);
        }
        let text = str::from_utf8(signature).map_err(|_| SignatureError::Unreadable)?;
        let signature = Signature::decode(text).map_err(|_| SignatureError::Unreadable)?;
        // Keys are told apart by their id; the error of a key with the right id
        // says more than `UnknownKey`.
        let mut refused = SignatureError::UnknownKey;
        for (text, key) in &self.keys {
            match key.verify(wasm, &signature, false) {
                Ok(()) => {
                    let comment = signature.trusted_comment().chars().take(COMMENT_CHARS_MAX);
                    return Ok(Some(Signer { key: text.clone(), comment: comment.collect() }));
                }
                Err(Error::UnexpectedKeyId) => {}
                Err(Error::UnsupportedLegacyMode | Error::UnexpectedAlgorithm) => {
                    refused = SignatureError::Legacy;
                }
                Err(_) => refused = SignatureError::Invalid,
            }
        }
        Err(refused)
    }
}

impl std::fmt::Debug for Trust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trust")
            .field("required", &self.required)
            .field("keys", &self.keys.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signed(key: &minisign::KeyPair, wasm: &[u8]) -> String {
        minisign::sign(Some(&key.pk), &key.sk, wasm, None, None).unwrap().into_string()
    }

    fn key() -> minisign::KeyPair {
        minisign::KeyPair::generate_unencrypted_keypair().unwrap()
    }

    #[test]
    fn a_signature_is_valid_if_a_trusted_key_made_it_for_these_bytes() {
        let [old, new, stranger] = [key(), key(), key()];
        let keys = [old.pk.to_base64(), new.pk.to_base64()];
        let required = Trust::new(&keys, true).unwrap();
        let optional = Trust::new(&keys, false).unwrap();
        let legacy = "untrusted comment: x\n".to_owned() + &signed(&old, b"wasm");
        let rows = [
            (Some(signed(&old, b"wasm")), Ok(()), Ok(())),
            (Some(signed(&new, b"wasm")), Ok(()), Ok(())),
            (None, Err(SignatureError::Missing), Ok(())),
            (
                Some(signed(&stranger, b"wasm")),
                Err(SignatureError::UnknownKey),
                Err(SignatureError::UnknownKey),
            ),
            (
                Some(signed(&new, b"wasn")),
                Err(SignatureError::Invalid),
                Err(SignatureError::Invalid),
            ),
            (
                Some("RW nonsense".to_owned()),
                Err(SignatureError::Unreadable),
                Err(SignatureError::Unreadable),
            ),
            (Some(legacy), Err(SignatureError::Unreadable), Err(SignatureError::Unreadable)),
        ];
        for (signature, when_required, otherwise) in rows {
            let bytes = signature.as_ref().map(|text| text.as_bytes());
            assert_eq!(required.check(b"wasm", bytes).map(drop), when_required, "{signature:?}");
            assert_eq!(optional.check(b"wasm", bytes).map(drop), otherwise, "{signature:?}");
        }
        let no_keys = Trust::default();
        assert_eq!(no_keys.check(b"wasm", Some(signed(&stranger, b"other").as_bytes())), Ok(None));
    }

    #[test]
    fn a_signature_made_by_minisign_itself_is_accepted() {
        // By minisign 0.11: `printf 'wasm' > a; minisign -G -W; minisign -S -m a`.
        let key = include_str!("fixtures/minisign.pub").lines().nth(1).unwrap();
        let trust = Trust::new(&[key.to_owned()], true).unwrap();
        let signature = include_bytes!("fixtures/wasm.minisig");
        let signer = trust.check(b"wasm", Some(signature)).unwrap().unwrap();
        assert_eq!(signer.key, key);
        assert_eq!(signer.comment, "for a test");
        assert_eq!(trust.check(b"wasn", Some(signature)), Err(SignatureError::Invalid));
        let legacy = include_bytes!("fixtures/wasm.legacy.minisig");
        assert_eq!(trust.check(b"wasm", Some(legacy)), Err(SignatureError::Legacy));
    }

    #[test]
    fn a_configuration_that_no_component_can_satisfy_is_refused() {
        assert_eq!(Trust::new(&[], true).unwrap_err(), TrustError::NoTrustedKey);
        let bad = Trust::new(&["RWQ".to_owned()], false).unwrap_err();
        assert_eq!(bad, TrustError::BadKey("RWQ".to_owned()));
    }
}
