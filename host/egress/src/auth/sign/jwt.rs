//! Signed JSON Web Tokens (RFC 7515, RFC 7519).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;

use crate::auth::sign::rsa_key::RsaKey;

/// A signature algorithm of RFC 7518 section 3.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    #[default]
    Ps256,
}

/// Signs claims. `named` is the header parameter that says which key signed:
/// `kid` or `x5t#S256`, with its value.
pub fn sign(
    key: &RsaKey,
    algorithm: Algorithm,
    named: (&str, &str),
    claims: &Value,
) -> SecretString {
    let header = json!({"alg": algorithm.name(), "typ": "JWT", named.0: named.1});
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&header), part(claims));
    let signature = match algorithm {
        Algorithm::Rs256 => key.sign_pkcs1(signed.as_bytes()),
        Algorithm::Ps256 => key.sign_pss(signed.as_bytes()),
    };
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)).into()
}

impl Algorithm {
    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Ps256 => "PS256",
        }
    }
}
