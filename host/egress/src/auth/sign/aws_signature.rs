//! AWS Signature Version 4 in headers.

use aws_credential_types::Credentials;
use aws_sigv4::http_request::PayloadChecksumKind;
use aws_sigv4::http_request::SignableBody;
use aws_sigv4::http_request::SignableRequest;
use aws_sigv4::http_request::SigningError;
use aws_sigv4::http_request::SigningParams;
use aws_sigv4::http_request::SigningSettings;
use aws_sigv4::sign::v4;
use http::HeaderName;
use http::HeaderValue;
use http::header;
use ring::digest;

use crate::auth::sign::instant;
use crate::policy::aws_scope::AwsScope;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::Timestamp;

/// Signs a request. Adds `Authorization`, `X-Amz-Date` and, for temporary keys,
/// `X-Amz-Security-Token`. Returns the signature.
///
/// # Errors
///
/// Returns an error if the URL cannot be signed.
pub fn sign(
    request: &mut OutgoingRequest,
    keys: &Credentials,
    scope: &AwsScope,
    now: Timestamp,
) -> Result<String, SigningError> {
    let identity = keys.clone().into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::NoHeader;
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&scope.region)
        .name(&scope.service)
        .time(instant(now))
        .settings(settings)
        .build()
        .expect("every parameter is given");
    let (instructions, signature) = {
        let headers = request.headers.iter();
        let covered = headers.filter(|(name, _)| is_covered(name));
        let text = covered.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let body = request.body_bytes();
        // As a digest, because the library would trace a body.
        let digest = hex::encode(digest::digest(&digest::SHA256, body));
        let signable = SignableRequest::new(
            request.method.as_str(),
            request.url.as_str(),
            text,
            SignableBody::Precomputed(digest),
        )?;
        aws_sigv4::http_request::sign(signable, &SigningParams::V4(params))?.into_parts()
    };
    for (name, value) in instructions.headers() {
        let name = HeaderName::try_from(name).expect("AWS has valid header names");
        let mut value = HeaderValue::try_from(value).expect("keys and dates are visible ASCII");
        value.set_sensitive(true);
        request.headers.insert(name, value);
    }
    Ok(signature)
}

/// Returns true for the headers that the signature covers, besides `host`: those
/// that AWS asks for. A proxy may change others.
fn is_covered(name: &HeaderName) -> bool {
    name == header::CONTENT_TYPE || name.as_str().starts_with("x-amz-")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::tests::vectors;

    #[derive(Deserialize)]
    struct Vector {
        method: String,
        url: String,
        headers: BTreeMap<String, String>,
        body: String,
        access_key_id: String,
        secret_access_key: String,
        session_token: Option<String>,
        service: String,
        region: String,
        now_s: u64,
        signed: BTreeMap<String, String>,
    }

    #[test]
    fn signatures_are_those_of_botocore() {
        let known: Vec<Vector> = serde_json::from_str(vectors::AWS_SIGV4).unwrap();
        assert!(known.len() >= 14);
        for vector in known {
            let name = format!("{} {}", vector.method, vector.url);
            let mut request =
                vectors::request(&vector.method, &vector.url, &vector.headers, Some(vector.body));
            // Headers that a proxy may change are not covered.
            let headers = &mut request.headers;
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            headers.insert("idempotency-key", HeaderValue::from_static("job-1"));
            let keys = Credentials::new(
                vector.access_key_id,
                vector.secret_access_key,
                vector.session_token,
                None,
                "test",
            );
            let scope = AwsScope { service: vector.service, region: vector.region };
            let now = Timestamp::from_millis(vector.now_s * 1000);
            let signature = sign(&mut request, &keys, &scope, now).unwrap();
            for (header, expected) in &vector.signed {
                assert_eq!(request.headers[header].to_str().unwrap(), expected, "{name}");
            }
            assert!(vector.signed["authorization"].ends_with(&signature));
        }
    }
}
