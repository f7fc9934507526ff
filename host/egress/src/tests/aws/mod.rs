//! Requests signed for AWS: keys, roles, renewal, and the time of signatures.

mod keys;
mod roles;

use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials as Keys;
use http::HeaderName;
use http::HeaderValue;

use super::server::Act;
use super::server::Server;
use super::server::answer;
use super::*;
use crate::auth::sign::aws_signature;
use crate::policy::aws_scope::AwsScope;
use crate::transport::request::OutgoingRequest;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

const EXPIRED: &str = r#"{"__type": "ExpiredTokenException", "message": "expired"}"#;
const SKEWED: &str = r#"{"__type": "InvalidSignatureException", "message": "too old"}"#;

/// Files with keys, which a test may replace.
struct KeyFiles(tempfile::TempDir);

impl KeyFiles {
    fn new(id: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write(id);
        files
    }

    /// Writes keys whose secret is the id with `-secret-key`.
    fn write(&self, id: &str) {
        std::fs::write(self.0.path().join("id"), id).unwrap();
        std::fs::write(self.0.path().join("secret"), format!("{id}-secret-key\n")).unwrap();
    }

    fn config(&self) -> String {
        let file = |name: &str| file(self.0.path(), name);
        format!("access_key_id = {}\nsecret_access_key = {}\n", file("id"), file("secret"))
    }
}

fn file(folder: &Path, name: &str) -> String {
    format!("{{ file = '{}' }}", folder.join(name).display())
}

/// The default credential of static keys that sign for Cost Explorer.
fn keys(files: &KeyFiles) -> String {
    let keys = files.config();
    format!("[aws_sigv4]\n{keys}signing = {{ service = 'ce', region = 'us-east-1' }}\n")
}

/// Returns the value of a header of a request as it arrived.
fn header(request: &str, name: &str) -> Option<String> {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.map(str::to_owned)
}

/// Returns the key id and the scope that signed a request.
fn signer(request: &str) -> String {
    let value = header(request, "authorization").expect("a signature");
    let credential = value.strip_prefix("AWS4-HMAC-SHA256 Credential=").unwrap();
    let (credential, _) = credential.split_once(", ").unwrap();
    let parts: Vec<_> = credential.split('/').collect();
    format!("{} {} {}", parts[0], parts[2], parts[3])
}

/// Parses an `X-Amz-Date`.
fn date(request: &str) -> Timestamp {
    let text = header(request, "x-amz-date").expect("a date");
    let at = |from: usize, to: usize| text[from..to].to_owned();
    let rfc3339 = format!(
        "{}-{}-{}T{}:{}:{}Z",
        at(0, 4),
        at(4, 6),
        at(6, 8),
        at(9, 11),
        at(11, 13),
        at(13, 15)
    );
    let format = &time::format_description::well_known::Rfc3339;
    let time = time::OffsetDateTime::parse(&rfc3339, format).unwrap();
    Timestamp::from_millis(time.unix_timestamp() as u64 * 1000)
}

/// Verifies the signature of a request as it arrived.
#[track_caller]
fn verify(request: &str, keys: &Keys, scope: &AwsScope) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (method, rest) = head.split_once(' ').unwrap();
    let (path, _) = rest.split_once(' ').unwrap();
    let url = format!("http://{}{path}", header(request, "host").unwrap());
    let mut copy = OutgoingRequest::new(method.parse().unwrap(), url.parse().unwrap());
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        // The ones that the signer sets itself.
        if ["authorization", "x-amz-date", "x-amz-security-token"].contains(&name) {
            continue;
        }
        let name: HeaderName = name.parse().unwrap();
        copy.headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    copy.body = Some(body.to_owned().into());
    aws_signature::sign(&mut copy, keys, scope, date(request)).unwrap();
    let signed = copy.headers["authorization"].to_str().unwrap();
    assert_eq!(header(request, "authorization").as_deref(), Some(signed));
    let token = copy.headers.get("x-amz-security-token").map(|it| it.to_str().unwrap());
    assert_eq!(header(request, "x-amz-security-token").as_deref(), token);
}

/// Returns a `Date` header that is this far ahead of the wall clock.
fn ahead(by: Duration) -> String {
    let wall = Duration::from_millis(Clock::system().wall().as_millis());
    format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + wall + by))
}
