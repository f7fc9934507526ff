//! The table `oci_signature`.

use serde::Deserialize;

use super::kind::Kind;
use super::kind::Secret;
use super::kind::SecretForm;
use hoth_core::config::Names;
use hoth_core::config::Problem;
use hoth_core::config::Table;
use hoth_platform::secret::SecretSource;

/// The table `oci_signature`: an API signing key of Oracle Cloud Infrastructure.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OciSignatureConfig {
    /// The OCID of the tenancy.
    pub tenancy: String,
    /// The OCID of the user.
    pub user: String,
    /// The fingerprint of the key, as Oracle's console shows it: `20:3b:…`.
    pub fingerprint: String,
    /// The RSA key in PEM, without a passphrase. Read again every few seconds.
    pub key: SecretSource,
}

impl Kind for OciSignatureConfig {
    fn secrets(&mut self) -> Vec<Secret<'_>> {
        vec![Secret::new("key", &mut self.key, SecretForm::RsaKey)]
    }
}

impl Table for OciSignatureConfig {
    fn check(&self, _: &Names<'_>) -> Vec<Problem> {
        // The three are joined by `/`, within quotes.
        let fits = |text: &str| {
            let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"\"/\\".contains(&byte);
            !text.is_empty() && text.bytes().all(is_plain)
        };
        let mut problems = Vec::new();
        for (key, ocid) in [("tenancy", &self.tenancy), ("user", &self.user)] {
            if !ocid.starts_with("ocid1.") || !fits(ocid) {
                problems.push(Problem::new(key, "must be an OCID: `ocid1.…`"));
            }
        }
        let pairs: Vec<&str> = self.fingerprint.split(':').collect();
        let is_pair =
            |pair: &&str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
        if pairs.len() != 16 || !pairs.iter().all(is_pair) {
            let message = "must be 16 pairs of hexadecimal digits, joined by colons";
            problems.push(Problem::new("fingerprint", message));
        }
        problems
    }
}
