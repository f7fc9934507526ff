//! The verifier against AWS's own signatures, and against tampered requests.

use std::time::Duration;

use http::Request;
use secrecy::SecretString;
use serde::Deserialize;

use super::*;
use crate::http::auth::Role;

/// AWS's signing test suite; `source` in the file names its origin. The cases
/// that hold for S3 only are left out: paths that are not normalised, or encoded
/// once.
const SUITE: &str = include_str!("fixtures/aws-signing-test-suite.json");

/// The date of the suite's signatures: 2015-08-30T12:36:00Z.
const SIGNED_AT: Timestamp = Timestamp::from_millis(1_440_938_160_000);

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Suite {
    access_key_id: String,
    secret: String,
    region: String,
    service: String,
    cases: Vec<Case>,
}

#[derive(Deserialize, Clone)]
#[serde(rename_all = "camelCase")]
struct Case {
    name: String,
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: String,
    signed_headers: String,
    signature: String,
}

impl Suite {
    fn read() -> Self {
        serde_json::from_str(SUITE).unwrap()
    }

    fn case(&self, name: &str) -> Case {
        self.cases.iter().find(|case| case.name == name).unwrap().clone()
    }

    fn signer(&self) -> Signer {
        Signer {
            principal: Principal { key: Some("suite".into()), role: Role::Read },
            access_key_id: self.access_key_id.clone(),
            secret: SecretString::from(self.secret.clone()),
            region: None,
        }
    }

    fn credentials(&self, case: &Case) -> String {
        format!(
            "Credential={}/20150830/{}/{}/aws4_request, SignedHeaders={}, Signature={}",
            self.access_key_id, self.region, self.service, case.signed_headers, case.signature
        )
    }

    /// Verifies a case with these credentials.
    fn verify(
        &self,
        case: &Case,
        credentials: &str,
        signer: &Signer,
        now: Timestamp,
    ) -> Result<Principal, Denied> {
        let mut request = Request::builder().method(case.method.as_str()).uri(&case.target);
        for (name, value) in &case.headers {
            request = request.header(name, value.as_bytes());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let pending = Claim::parse(credentials)?.verify_head(signer, &head, now, &self.service)?;
        pending.verify_body(case.body.as_bytes())
    }

    fn verify_as_signed(&self, case: &Case) -> Result<Principal, Denied> {
        self.verify(case, &self.credentials(case), &self.signer(), SIGNED_AT)
    }
}

#[test]
fn every_request_of_the_suite_is_accepted() {
    let suite = Suite::read();
    assert_eq!(suite.cases.len(), 30, "the suite has changed");
    for case in &suite.cases {
        assert_eq!(suite.verify_as_signed(case), Ok(suite.signer().principal), "{}", case.name);
    }
}

#[test]
fn a_request_that_differs_from_the_signed_one_is_denied() {
    let suite = Suite::read();
    let form = suite.case("post-x-www-form-urlencoded");
    let sorted = suite.case("get-vanilla-query-order-key-case");
    let vanilla = suite.case("post-vanilla");
    let header = suite.case("post-header-key-sort");
    type Tampering = fn(&mut Case);
    let cases: [(&Case, Tampering, Denied); 9] = [
        (&vanilla, |case| case.method = "PUT".to_owned(), Denied::Signature),
        (&vanilla, |case| case.target = "/other".to_owned(), Denied::Signature),
        (&vanilla, |case| case.target = "/?lease=1".to_owned(), Denied::Signature),
        (&vanilla, |case| case.body = "{}".to_owned(), Denied::Signature),
        (&vanilla, |case| case.headers[0].1 = "other.example".to_owned(), Denied::Signature),
        (&header, |case| case.headers[1].1 = "value2".to_owned(), Denied::Signature),
        (&sorted, |case| case.target = "/?Param1=value1".to_owned(), Denied::Signature),
        (&form, |case| case.body = "Param1=value2".to_owned(), Denied::Payload),
        (&header, |case| drop(case.headers.remove(1)), Denied::HeaderMissing("my-header1".into())),
    ];
    for (n, (case, tamper, expected)) in cases.into_iter().enumerate() {
        let mut case = case.clone();
        tamper(&mut case);
        assert_eq!(suite.verify_as_signed(&case), Err(expected), "{n}");
    }
}

#[test]
fn only_documented_credential_forms_are_accepted() {
    let suite = Suite::read();
    let case = suite.case("get-vanilla");
    let good = suite.credentials(&case);
    let check = |from: &str, to: &str, expected: Result<(), Denied>| {
        let changed = good.replace(from, to);
        assert!(from.is_empty() || changed != good, "`{from}` is not there");
        let verified = suite.verify(&case, &changed, &suite.signer(), SIGNED_AT).map(drop);
        assert_eq!(verified, expected, "{changed}");
    };
    let malformed = |why| Err(Denied::Malformed(why));
    check(", ", ",", Ok(()));
    check("us-east-1", "us-west-1", Err(Denied::Signature));
    check("service/", "s3/", Err(Denied::Scope("service")));
    check("/20150830", "/20150829", Err(Denied::Scope("day")));
    check("/20150830", "/2015083", Err(Denied::Scope("day")));
    check(
        "/aws4_request",
        "/aws3",
        malformed("Credential is not id/day/region/service/aws4_request"),
    );
    check("Signature=5", "Signature=6", Err(Denied::Signature));
    check("Signature=5", "Signature=", malformed("Signature is not 64 hex digits"));
    check("Signature=", "Signature=5", malformed("Signature is not 64 hex digits"));
    check("host;x-amz-date", "x-amz-date", Err(Denied::Uncovered("host")));
    check("host;", "host;host;", malformed("SignedHeaders are not sorted, or one is given twice"));
    check(
        "host;x-amz-date",
        "x-amz-date;host",
        malformed("SignedHeaders are not sorted, or one is given twice"),
    );
    check("host;", "Host;host;", malformed("SignedHeaders are not in lower case"));
    check("SignedHeaders", "Credential", malformed("a part is given twice"));
    check("SignedHeaders", "Signed", malformed("a part is unknown"));
    check(", Signature=", ", Signature", malformed("a part has no value"));
    check(", SignedHeaders=host;x-amz-date", "", malformed("a part is missing"));
}

#[test]
fn a_signature_is_valid_only_near_its_date() {
    let suite = Suite::read();
    let case = suite.case("get-vanilla");
    let at = |seconds: i64| {
        let millis = SIGNED_AT.as_millis().checked_add_signed(seconds * 1_000).unwrap();
        let now = Timestamp::from_millis(millis);
        suite.verify(&case, &suite.credentials(&case), &suite.signer(), now).map(drop)
    };
    assert_eq!(at(300), Ok(()));
    assert_eq!(at(-300), Ok(()));
    assert_eq!(at(301), Err(Denied::Skewed(301)));
    assert_eq!(at(-301), Err(Denied::Skewed(301)));
    let far = SIGNED_AT + Duration::from_secs(u64::from(u32::MAX));
    let verified = suite.verify(&case, &suite.credentials(&case), &suite.signer(), far);
    assert_eq!(verified, Err(Denied::Skewed(u64::from(u32::MAX))));
    let mut undated = case.clone();
    undated.headers.retain(|(name, _)| name != DATE);
    assert_eq!(suite.verify_as_signed(&undated), Err(Denied::Malformed("X-Amz-Date is missing")));
    let mut badly = case.clone();
    badly.headers.iter_mut().filter(|(name, _)| name == DATE).for_each(|h| h.1.push('0'));
    let bad = Denied::Malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ");
    assert_eq!(suite.verify_as_signed(&badly), Err(bad));
}

#[test]
fn a_key_may_be_pinned_to_a_region() {
    let suite = Suite::read();
    let case = suite.case("get-vanilla");
    let verify = |region: &str| {
        let signer = Signer { region: Some(region.to_owned()), ..suite.signer() };
        suite.verify(&case, &suite.credentials(&case), &signer, SIGNED_AT).map(drop)
    };
    assert_eq!(verify("us-east-1"), Ok(()));
    assert_eq!(verify("us-gov-west-1"), Err(Denied::Scope("region")));
}

#[test]
fn a_signature_with_another_secret_is_denied() {
    let suite = Suite::read();
    let case = suite.case("get-vanilla");
    let signer = Signer { secret: SecretString::from("guess"), ..suite.signer() };
    let verified = suite.verify(&case, &suite.credentials(&case), &signer, SIGNED_AT);
    assert_eq!(verified, Err(Denied::Signature));
}

#[test]
fn the_body_digest_must_be_signed_and_well_formed() {
    let suite = Suite::read();
    let with = |value: &str| {
        let mut case = suite.case("post-vanilla");
        case.headers.push((CONTENT_SHA256.to_owned(), value.to_owned()));
        suite.verify_as_signed(&case)
    };
    assert_eq!(with(&Digest::of(b"").to_string()), Err(Denied::Uncovered(CONTENT_SHA256)));
    let mut case = suite.case("post-x-www-form-urlencoded");
    let unsigned = "X-Amz-Content-Sha256 is not a digest; unsigned payloads are not accepted";
    for value in ["UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", ""] {
        for header in case.headers.iter_mut().filter(|(name, _)| name == CONTENT_SHA256) {
            value.clone_into(&mut header.1);
        }
        assert_eq!(suite.verify_as_signed(&case), Err(Denied::Malformed(unsigned)), "{value}");
    }
}

#[test]
fn a_signed_digest_authenticates_before_the_body_arrives() {
    let suite = Suite::read();
    for (name, signed) in [("post-x-www-form-urlencoded", true), ("post-vanilla", false)] {
        let case = suite.case(name);
        let mut request = Request::builder().method("POST").uri("/");
        for (name, value) in &case.headers {
            request = request.header(name, value);
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        let credentials = suite.credentials(&case);
        let claim = Claim::parse(&credentials).unwrap();
        let verified = claim.verify_head(&suite.signer(), &head, SIGNED_AT, "service");
        let Ok(pending) = verified else { panic!("{name} was denied") };
        assert_eq!(pending.covers_declared_digest(), signed, "{name}");
    }
}

#[test]
fn paths_are_normalised_and_encoded_as_they_arrive() {
    for (path, expected) in [
        ("/", "/"),
        ("", "/"),
        ("/provisioning-jobs", "/provisioning-jobs"),
        ("/provisioning-jobs/", "/provisioning-jobs/"),
        ("//a//b//", "/a/b/"),
        ("/a/./b/../c", "/a/c"),
        ("/../..", "/"),
        ("/example space/", "/example%20space/"),
        // From the suite: `double-encode-path` and `double-url-encode`.
        ("/test/@connections/JBDvjfGEIAMCERw%3D", "/test/%40connections/JBDvjfGEIAMCERw%253D"),
        ("/functions/arn%3Aaws%3Alambda", "/functions/arn%253Aaws%253Alambda"),
    ] {
        assert_eq!(canonical::path(path), expected, "{path}");
    }
}

#[test]
fn queries_are_sorted_and_encoded_once() {
    for (query, expected) in [
        ("", ""),
        ("wait=20&lease=60", "lease=60&wait=20"),
        ("b=2&b=1&a", "a=&b=1&b=2"),
        ("a=x%20y&%61=%2f", "a=%2F&a=x%20y"),
        ("a=1+1&&a=b=c", "a=1%2B1&a=b%3Dc"),
        ("a=100%", "a=100%25"),
    ] {
        assert_eq!(canonical::query(query), expected, "{query}");
    }
}
