//! Request signatures of Oracle Cloud Infrastructure, version 1 of Oracle's
//! "Request Signatures", after draft-cavage-http-signatures-08.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;
use http::HeaderValue;
use http::Method;
use http::header;
use ring::digest;
use url::Position;
use url::Url;

use crate::auth::sign::instant;
use crate::auth::sign::rsa_key::RsaKey;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::Timestamp;

const X_CONTENT_SHA256: HeaderName = HeaderName::from_static("x-content-sha256");

/// The media type of a body without one, as in Oracle's own libraries.
const MEDIA_TYPE_DEFAULT: HeaderValue = HeaderValue::from_static("application/json");

/// A signing key, and the id under which the CSP knows it.
#[derive(Debug)]
pub struct OciKey {
    pub key: RsaKey,
    /// `<tenancy>/<user>/<fingerprint>`.
    pub key_id: String,
}

/// Signs a request. Adds the headers that the signature covers, and the
/// signature. Returns the signature.
pub fn sign(request: &mut OutgoingRequest, key: &OciKey, now: Timestamp) -> String {
    let date = HeaderValue::try_from(httpdate::fmt_http_date(instant(now)))
        .expect("a date is visible ASCII");
    request.headers.insert(header::DATE, date);
    let mut covered = vec!["date", "(request-target)", "host"];
    if may_have_body(&request.method) {
        add_body_headers(request);
        covered.extend(["content-length", "content-type", "x-content-sha256"]);
    }
    let lines = covered.iter().map(|name| line(name, request)).collect::<Vec<_>>().join("\n");
    let signature = STANDARD.encode(key.key.sign_pkcs1(lines.as_bytes()));
    let value = format!(
        r#"Signature version="1",keyId="{}",algorithm="rsa-sha256",headers="{}",signature="{signature}""#,
        key.key_id,
        covered.join(" ")
    );
    let mut value = HeaderValue::try_from(value).expect("the key's id is visible ASCII");
    value.set_sensitive(true);
    request.headers.insert(header::AUTHORIZATION, value);
    signature
}

/// Returns true for the methods whose body is signed, even if it is empty.
fn may_have_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn add_body_headers(request: &mut OutgoingRequest) {
    let body = request.body_bytes();
    let (length, hash) = (body.len(), digest::digest(&digest::SHA256, body));
    let hash = HeaderValue::try_from(STANDARD.encode(hash)).expect("base64 is visible ASCII");
    let headers = &mut request.headers;
    headers.insert(header::CONTENT_LENGTH, length.into());
    headers.entry(header::CONTENT_TYPE).or_insert(MEDIA_TYPE_DEFAULT);
    headers.insert(X_CONTENT_SHA256, hash);
}

/// Returns the line of the signed text for one covered name.
fn line(name: &str, request: &OutgoingRequest) -> String {
    match name {
        "(request-target)" => {
            let method = request.method.as_str().to_ascii_lowercase();
            format!("{name}: {method} {}", target(&request.url))
        }
        "host" => format!("{name}: {}", host(&request.url)),
        _ => {
            let values = request.headers.get_all(name).iter();
            let values: Vec<_> =
                values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect();
            format!("{name}: {}", values.join(", "))
        }
    }
}

/// Returns the path and the query of a request, as they are sent.
fn target(url: &Url) -> &str {
    &url[Position::BeforePath..Position::AfterQuery]
}

/// Returns the field value of `Host`: with the port unless it is the scheme's.
fn host(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
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
        body: Option<String>,
        tenancy: String,
        user: String,
        fingerprint: String,
        now_s: u64,
        signed: BTreeMap<String, String>,
    }

    #[test]
    fn signatures_are_those_of_oracles_library() {
        let known: Vec<Vector> = serde_json::from_str(vectors::OCI_SIGNATURE).unwrap();
        assert!(known.len() >= 7);
        for vector in known {
            let name = format!("{} {}", vector.method, vector.url);
            let mut request =
                vectors::request(&vector.method, &vector.url, &vector.headers, vector.body);
            let key_id = format!("{}/{}/{}", vector.tenancy, vector.user, vector.fingerprint);
            let key = OciKey { key: RsaKey::from_pem(vectors::KEY).unwrap(), key_id };
            let now = Timestamp::from_millis(vector.now_s * 1000);
            let signature = sign(&mut request, &key, now);
            for (header, expected) in vector.signed {
                let value = request.headers[&header].to_str().unwrap();
                // The order of parameters differs, and means nothing.
                let sorted = |value: &str| {
                    let parameters = value.trim_start_matches("Signature ");
                    let mut parameters: Vec<_> = parameters.split(',').map(str::to_owned).collect();
                    parameters.sort();
                    parameters
                };
                match header.as_str() {
                    "authorization" => assert_eq!(sorted(value), sorted(&expected), "{name}"),
                    _ => assert_eq!(value, expected, "{name}"),
                }
            }
            assert!(!signature.is_empty());
        }
    }
}
