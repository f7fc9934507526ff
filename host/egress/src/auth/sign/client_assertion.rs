//! The assertion by which a client with a certificate proves its identity (RFC
//! 7523 section 2.2), in the form that Microsoft Entra asks for.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use secrecy::SecretString;
use serde_json::json;
use uuid::Uuid;

use crate::auth::sign::jwt;
use crate::auth::sign::jwt::Algorithm;
use crate::auth::sign::rsa_key::RsaKey;
use hoth_core::domain::Timestamp;

/// The value of `client_assertion_type`.
pub const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// The lifetime of an assertion. Microsoft's library has the same.
const LIFETIME: Duration = Duration::from_secs(600);

/// Signs an assertion of `client_id` for the token endpoint `audience`. `id`
/// differs in each one.
pub fn sign(
    key: &RsaKey,
    algorithm: Algorithm,
    thumbprint: &str,
    (client_id, audience): (&str, &str),
    (id, now): (Uuid, Timestamp),
) -> SecretString {
    let issued_at = now.as_millis() / 1000;
    let claims = json!({
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": id.to_string(),
        "iat": issued_at,
        "exp": issued_at + LIFETIME.as_secs(),
    });
    jwt::sign(key, algorithm, ("x5t#S256", thumbprint), &claims)
}

/// Returns the `x5t#S256` of the first certificate of a PEM text (RFC 7515
/// section 4.1.8). Returns `None` if the text has no certificate.
pub fn thumbprint(pem: &str) -> Option<String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    Some(URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &der)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::vectors;
    use crate::tests::vectors::Jwt;

    #[test]
    fn the_assertion_is_that_of_microsofts_library() {
        let known = vectors::jwt();
        let mut header = known.entra.header;
        // That library pads the thumbprint, which RFC 7515 does not.
        let padded = header["x5t#S256"].as_str().unwrap().trim_end_matches('=').to_owned();
        header["x5t#S256"] = padded.into();
        let claims = known.entra.claims;
        let key = RsaKey::from_pem(vectors::KEY).unwrap();
        vectors::verify(&key, "PS256", &known.entra.token);
        let client = (claims["iss"].as_str().unwrap(), claims["aud"].as_str().unwrap());
        let id = claims["jti"].as_str().unwrap().parse().unwrap();
        let thumbprint = thumbprint(vectors::CERTIFICATE).unwrap();
        for (algorithm, name) in [(Algorithm::Ps256, "PS256"), (Algorithm::Rs256, "RS256")] {
            let token = sign(&key, algorithm, &thumbprint, client, (id, known.now));
            vectors::verify(&key, name, &token);
            let signed = Jwt::decode(&token);
            header["alg"] = name.into();
            assert_eq!((signed.header, &signed.claims), (header.clone(), &claims));
        }
    }

    #[test]
    fn a_text_without_a_certificate_has_no_thumbprint() {
        assert_eq!(thumbprint(vectors::KEY), None);
        assert_eq!(thumbprint(""), None);
    }
}
