//! Requests signed with AWS Signature Version 4, made without HOTH's code.

use std::fmt::Write as _;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use hmac::Hmac;
use hmac::Mac as _;
use hoth_core::domain::Digest;
use sha2::Sha256;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::harness::TestHost;
use crate::harness::client;

/// A request signed with AWS Signature Version 4.
pub struct Signed<'a> {
    pub method: &'a str,
    /// Path and query, with names and values sorted and encoded.
    pub target: &'a str,
    pub body: &'a str,
    pub secret: &'a str,
    /// `true` if a header declares the body's digest.
    pub declared: bool,
    /// Seconds to add to the signing time.
    pub skew: i64,
}

const ACCESS_KEY_ID: &str = "AKIAIOSFODNN7EXAMPLE";

impl Signed<'_> {
    pub async fn send(&self, host: &TestHost) -> (u16, String) {
        self.send_to(&host.api()).await
    }

    pub async fn send_to(&self, base: &str) -> (u16, String) {
        let url: reqwest::Url = format!("{base}{}", self.target).parse().expect("a URL");
        let authority = url.authority().to_owned();
        let method = self.method.parse().expect("a method");
        let mut request = client().request(method, url).body(self.body.to_owned());
        for (name, value) in self.headers(&authority) {
            request = request.header(name, value);
        }
        let response = request.header("content-type", "application/json").send().await;
        let response = response.expect("HOTH answers");
        (response.status().as_u16(), response.text().await.expect("the answer is text"))
    }

    pub fn headers(&self, authority: &str) -> Vec<(&'static str, String)> {
        #[expect(clippy::disallowed_methods, reason = "clients read the wall clock")]
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is past 1970");
        let now = i64::try_from(now.as_secs()).expect("it is not that late") + self.skew;
        let date = OffsetDateTime::from_unix_timestamp(now)
            .expect("a time")
            .format(format_description!("[year][month][day]T[hour][minute][second]Z"))
            .expect("it can be written");
        let day = &date[..8];
        let payload = Digest::of(self.body.as_bytes()).to_string();
        let (path, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        let (mut signed, mut lines) = ("host".to_owned(), format!("host:{authority}\n"));
        if self.declared {
            signed.push_str(";x-amz-content-sha256");
            writeln!(lines, "x-amz-content-sha256:{payload}").expect("it is a string");
        }
        signed.push_str(";x-amz-date");
        writeln!(lines, "x-amz-date:{date}").expect("it is a string");
        let canonical = format!("{}\n{path}\n{query}\n{lines}\n{signed}\n{payload}", self.method);
        let scope = format!("{day}/us-gov-west-1/execute-api/aws4_request");
        let digest = Digest::of(canonical.as_bytes());
        let to_sign = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
        let mut key = format!("AWS4{}", self.secret).into_bytes();
        for part in [day, "us-gov-west-1", "execute-api", "aws4_request", &to_sign] {
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key of any length");
            mac.update(part.as_bytes());
            key = mac.finalize().into_bytes().to_vec();
        }
        let signature = key.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
        let mut headers = vec![
            ("x-amz-date", date),
            (
                "authorization",
                format!(
                    "AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/{scope}, SignedHeaders={signed}, \
                     Signature={signature}"
                ),
            ),
        ];
        if self.declared {
            headers.push(("x-amz-content-sha256", payload));
        }
        headers
    }
}

/// Returns the table of a key that signs, with the secret in a file.
pub fn signer(role: &str, secret_file: &std::path::Path) -> String {
    format!(
        "[[auth.sigv4]]\nname = \"signer\"\nrole = \"{role}\"\naccess_key_id = \"{ACCESS_KEY_ID}\"\n\
         secret = {{ file = \"{}\" }}\n",
        secret_file.display()
    )
}

/// The secret of the key.
pub const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
