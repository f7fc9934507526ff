//! Known answers of the signers, made by `vectors/make.py` with the libraries
//! of the clouds.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderName;
use http::HeaderValue;
use ring::signature::RSA_PKCS1_2048_8192_SHA256;
use ring::signature::RSA_PSS_2048_8192_SHA256;
use ring::signature::UnparsedPublicKey;
use secrecy::ExposeSecret as _;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use crate::auth::sign::rsa_key::RsaKey;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::Timestamp;

pub const AWS_SIGV4: &str = include_str!("vectors/aws_sigv4.json");
pub const OCI_SIGNATURE: &str = include_str!("vectors/oci_signature.json");
pub const GOOGLE_ACCOUNT: &str = include_str!("vectors/google_account.json");
/// An RSA key in PKCS#8.
pub const KEY: &str = include_str!("vectors/key.pkcs8.pem");
/// The same key in PKCS#1.
pub const KEY_PKCS1: &str = include_str!("vectors/key.pkcs1.pem");
/// The same key with a passphrase.
pub const KEY_ENCRYPTED: &str = include_str!("vectors/key.encrypted.pem");
/// The certificate of the key.
pub const CERTIFICATE: &str = include_str!("vectors/certificate.pem");

/// A token, and its parts as another library decodes them.
#[derive(Deserialize)]
pub struct Jwt {
    pub token: SecretString,
    pub header: Value,
    pub claims: Value,
}

/// The tokens of the libraries of Microsoft and Google.
#[derive(Deserialize)]
pub struct Jwts {
    #[serde(rename = "now_s", deserialize_with = "seconds")]
    pub now: Timestamp,
    pub entra: Jwt,
    pub google: Jwt,
}

fn seconds<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    u64::deserialize(deserializer).map(|seconds| Timestamp::from_millis(seconds * 1000))
}

pub fn jwt() -> Jwts {
    serde_json::from_str(include_str!("vectors/jwt.json")).unwrap()
}

impl Jwt {
    pub fn decode(token: &SecretString) -> Self {
        let mut parts = token.expose_secret().split('.').map(|part| {
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap_or_default()
        });
        let (header, claims) = (parts.next().unwrap(), parts.next().unwrap());
        Self { token: token.clone(), header, claims }
    }
}

/// Verifies the signature of a token.
#[track_caller]
pub fn verify(key: &RsaKey, algorithm: &str, token: &SecretString) {
    let (signed, signature) = token.expose_secret().rsplit_once('.').unwrap();
    let encoding = match algorithm {
        "PS256" => &RSA_PSS_2048_8192_SHA256,
        "RS256" => &RSA_PKCS1_2048_8192_SHA256,
        other => panic!("{other}"),
    };
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let verified = UnparsedPublicKey::new(encoding, key.public());
    verified.verify(signed.as_bytes(), &signature).expect("the signature is valid");
}

/// Makes the request of a vector.
pub fn request(
    method: &str,
    url: &str,
    headers: &BTreeMap<String, String>,
    body: Option<String>,
) -> OutgoingRequest {
    let mut request = OutgoingRequest::new(method.parse().unwrap(), url.parse().unwrap());
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        request.headers.insert(name, HeaderValue::try_from(value).unwrap());
    }
    request.body = body.map(Bytes::from);
    request
}
