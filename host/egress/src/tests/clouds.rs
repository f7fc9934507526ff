//! Tokens of Google Cloud and Microsoft Entra, and signatures of Oracle.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::SystemTime;

use expect_test::expect;
use secrecy::SecretString;
use serde_json::Value;
use serde_json::json;
use url::form_urlencoded;

use super::server::Server;
use super::server::answer;
use super::tokens::SECRET;
use super::tokens::grant;
use super::vectors;
use super::vectors::Jwt;
use super::*;
use crate::auth::sign::oci_signature;
use crate::auth::sign::oci_signature::OciKey;
use crate::auth::sign::rsa_key::RsaKey;
use hoth_core::domain::Timestamp;
use hoth_platform::clock::Clock;

/// Writes the files of the known keys. Returns their folder.
fn key_files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("key.pem", vectors::KEY),
        ("certificate.pem", vectors::CERTIFICATE),
        ("account.json", vectors::GOOGLE_ACCOUNT),
    ] {
        std::fs::write(dir.path().join(name), content).unwrap();
    }
    dir
}

fn file(dir: &tempfile::TempDir, name: &str) -> String {
    format!("{{ file = '{}' }}", dir.path().join(name).display())
}

/// Returns the form of a request as it arrived.
fn form(request: &str) -> BTreeMap<String, String> {
    let (_, body) = request.split_once("\r\n\r\n").unwrap();
    form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}

/// Verifies the assertion in a form. Returns its header and claims.
fn assertion(form: &BTreeMap<String, String>, field: &str, algorithm: &str) -> Jwt {
    let token = SecretString::from(form[field].clone());
    vectors::verify(&RsaKey::from_pem(vectors::KEY).unwrap(), algorithm, &token);
    Jwt::decode(&token)
}

/// Returns the seconds by which a claim is ahead of the wall clock.
fn ahead_s(claims: &Value, name: &str) -> i64 {
    claims[name].as_i64().unwrap() - (Clock::system().wall().as_millis() / 1000) as i64
}

fn header(request: &str, name: &str) -> Option<String> {
    let (head, _) = request.split_once("\r\n\r\n").unwrap();
    let found = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
    found.map(str::to_owned)
}

/// Returns a `Date` header that is this far ahead of the wall clock.
fn date(ahead: Duration) -> String {
    let wall = Duration::from_millis(Clock::system().wall().as_millis());
    format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + wall + ahead))
}

const HOUR: Duration = Duration::from_secs(3600);

fn entra(dir: &tempfile::TempDir, idp: &Server) -> String {
    format!(
        "[oauth2]
        token_url = '{}/tenant/oauth2/v2.0/token'
        client_id = 'me'
        scopes = ['https://management.core.usgovcloudapi.net/.default']
        client_certificate = {{ certificate = {}, key = {} }}",
        idp.url(),
        file(dir, "certificate.pem"),
        file(dir, "key.pem"),
    )
}

#[tokio::test]
async fn a_client_with_a_certificate_signs_an_assertion() {
    let dir = key_files();
    let idp = Server::start([grant("t1", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &entra(&dir, &idp));
    assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    assert_eq!(header(&csp.requests()[0], "authorization").as_deref(), Some("Bearer t1"));
    let request = &idp.requests()[0];
    assert_eq!(header(request, "authorization"), None);
    let form = form(request);
    let plain: Vec<_> = ["grant_type", "client_id", "scope", "client_assertion_type"]
        .map(|name| form[name].as_str())
        .into();
    expect![[r#"
        client_credentials
        me
        https://management.core.usgovcloudapi.net/.default
        urn:ietf:params:oauth:client-assertion-type:jwt-bearer"#]]
    .assert_eq(&plain.join("\n"));
    assert_eq!(form.len(), 5, "{form:?}");
    let Jwt { claims, .. } = assertion(&form, "client_assertion", "PS256");
    assert_eq!((&claims["iss"], &claims["sub"]), (&json!("me"), &json!("me")));
    assert_eq!(claims["aud"], format!("{}/tenant/oauth2/v2.0/token", idp.url()));
    assert!((-120..=0).contains(&ahead_s(&claims, "iat")));
    assert!((480..=600).contains(&ahead_s(&claims, "exp")));
}

#[tokio::test]
async fn an_assertion_gets_the_time_of_the_endpoint_that_refuses_it() {
    let dir = key_files();
    let refused = answer(401, &date(HOUR), r#"{"error": "invalid_client"}"#);
    let idp = Server::start([refused.clone(), grant("t1", 0), grant("t2", 0), refused]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &entra(&dir, &idp));
    for outcome in ["200", "200", "token-refused"] {
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), outcome);
    }
    let ahead: Vec<_> = idp
        .requests()
        .iter()
        .map(|request| assertion(&form(request), "client_assertion", "PS256"))
        .map(|token| ahead_s(&token.claims, "iat") > 3000)
        .collect();
    assert_eq!(ahead, [false, true, true, true]);
}

#[tokio::test]
async fn an_assertion_of_another_party_is_read_for_each_token() {
    let dir = key_files();
    let idp = Server::start([grant("t", 0)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "oauth2 = {{ token_url = '{}/token', client_id = 'me', client_assertion = {} }}",
        idp.url(),
        file(&dir, "assertion")
    );
    let client = client(&csp.url(), &more);
    for assertion in ["a.b.c\n", "d.e.f"] {
        std::fs::write(dir.path().join("assertion"), assertion).unwrap();
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    }
    let sent: Vec<_> =
        idp.requests().iter().map(|it| form(it)["client_assertion"].clone()).collect();
    assert_eq!(sent, ["a.b.c", "d.e.f"]);
}

#[tokio::test]
async fn a_client_secret_may_stand_in_the_form_with_further_parameters() {
    let idp = Server::start([grant("t", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "[oauth2]
        token_url = '{}/token?p=a%20b'
        client_id = 'me'
        client_secret = {SECRET}
        client_authentication = 'post'
        scopes = ['b', 'a']
        parameters = {{ audience = 'https://api', resource = 'r&s' }}",
        idp.url()
    );
    let client = client(&csp.url(), &more);
    let asked = HttpRequest { scopes: vec!["c".to_owned()], ..get("/") };
    for request in [&get("/"), &asked, &get("/")] {
        assert_eq!(exchange(&client, request, &THRICE).await.outcome(), "200");
    }
    let requests = idp.requests();
    assert_eq!(requests.len(), 2, "the default scopes are cached, too");
    assert!(requests[0].starts_with("POST /token?p=a%20b HTTP/1.1\r\n"), "{}", requests[0]);
    assert_eq!(header(&requests[0], "authorization"), None);
    let bodies: Vec<_> = requests.iter().map(|it| it.split_once("\r\n\r\n").unwrap().1).collect();
    expect![[r#"
        grant_type=client_credentials&scope=a+b&client_id=me&client_secret=hoth&audience=https%3A%2F%2Fapi&resource=r%26s
        grant_type=client_credentials&scope=c&client_id=me&client_secret=hoth&audience=https%3A%2F%2Fapi&resource=r%26s"#]]
    .assert_eq(&bodies.join("\n"));
}

#[tokio::test]
async fn a_key_that_cannot_sign_is_named() {
    let dir = key_files();
    let csp = Server::start([answer(200, "", "")]).await;
    std::fs::write(dir.path().join("bad"), "hunter2").unwrap();
    let bad = file(&dir, "bad");
    let good = file(&dir, "certificate.pem");
    for (more, message) in [
        (
            format!(
                "oauth2 = {{ token_url = 'http://127.0.0.1:9', client_id = 'me', client_certificate = {{ certificate = {good}, key = {bad} }} }}"
            ),
            "the key of the client certificate for CSP_A has no private key in PEM (`-----BEGIN PRIVATE KEY-----`) (3 tries)",
        ),
        (
            format!("google_service_account = {{ key = {bad}, token_url = 'http://127.0.0.1:9' }}"),
            "the service account key for CSP_A is no service account key: it is no JSON object with `client_email`, `private_key` and `private_key_id` (3 tries)",
        ),
        (
            format!(
                "oci_signature = {{ tenancy = 'ocid1.t', user = 'ocid1.u', fingerprint = '{FINGERPRINT}', key = {bad} }}"
            ),
            "the signing key for CSP_A has no private key in PEM (`-----BEGIN PRIVATE KEY-----`) (3 tries)",
        ),
    ] {
        let result = exchange(&client(&csp.url(), &more), &get("/"), &THRICE).await;
        assert_eq!(result.failure().message, message);
    }
    assert_eq!(csp.connections(), 0);
}

#[tokio::test]
async fn a_service_account_exchanges_an_assertion_for_a_token() {
    let dir = key_files();
    let idp = Server::start([grant("t1", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "google_service_account = {{ key = {}, token_url = '{}/token' }}",
        file(&dir, "account.json"),
        idp.url()
    );
    let client = client(&csp.url(), &more);
    for _ in 0..2 {
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    }
    assert_eq!(idp.calls(), 1);
    let form = form(&idp.requests()[0]);
    assert_eq!(form["grant_type"], "urn:ietf:params:oauth:grant-type:jwt-bearer");
    assert_eq!(form.len(), 2);
    let Jwt { claims, .. } = assertion(&form, "assertion", "RS256");
    assert_eq!(claims["scope"], "https://www.googleapis.com/auth/cloud-platform");
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token", "wherever it is sent");
    assert!((3480..=3600).contains(&ahead_s(&claims, "exp")));
}

#[tokio::test]
async fn another_service_account_is_impersonated() {
    let dir = key_files();
    std::fs::write(dir.path().join("subject"), "sub.ject.token").unwrap();
    let account = |sts: &Server, iam: &Server| {
        format!(
            "[google_service_account]
            key = {}
            token_url = '{}/token'
            impersonate = 'hoth@p.iam.gserviceaccount.com'
            iam_url = '{}/base/'",
            file(&dir, "account.json"),
            sts.url(),
            iam.url()
        )
    };
    let federation = |sts: &Server, iam: &Server| {
        format!(
            "[google_federation]
            audience = '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/x'
            subject_token = {}
            sts_url = '{}/v1/token'
            impersonate = 'hoth@p.iam.gserviceaccount.com'
            iam_url = '{}/base'",
            file(&dir, "subject"),
            sts.url(),
            iam.url()
        )
    };
    for is_federated in [false, true] {
        let sts = Server::start([grant("first", 3600)]).await;
        let later = r#"{"accessToken": "second", "expireTime": "2999-01-01T00:00:00.5Z"}"#;
        let iam = Server::start([answer(200, "", later)]).await;
        let csp = Server::start([answer(200, "", "")]).await;
        let config = match is_federated {
            false => account(&sts, &iam),
            true => federation(&sts, &iam),
        };
        let client = client(&csp.url(), &config);
        let request = HttpRequest { scopes: vec!["b".to_owned(), "a".to_owned()], ..get("/") };
        for _ in 0..2 {
            assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
        }
        assert_eq!((sts.calls(), iam.calls()), (1, 1));
        let authorization = header(&csp.requests()[0], "authorization");
        assert_eq!(authorization.as_deref(), Some("Bearer second"));
        let asked = &iam.requests()[0];
        assert!(asked.starts_with("POST /base/v1/projects/-/serviceAccounts/hoth@p.iam.gserviceaccount.com:generateAccessToken HTTP/1.1\r\n"), "{asked}");
        assert_eq!(header(asked, "authorization").as_deref(), Some("Bearer first"));
        let body: Value = serde_json::from_str(asked.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!(body, json!({"scope": ["a", "b"], "lifetime": "3600s"}));
        let first = form(&sts.requests()[0]);
        let scope = match first.get("assertion") {
            Some(_) => assertion(&first, "assertion", "RS256").claims["scope"].clone(),
            None => first["scope"].clone().into(),
        };
        assert_eq!(scope, "https://www.googleapis.com/auth/cloud-platform");
    }
}

#[tokio::test]
async fn a_token_of_another_issuer_is_exchanged() {
    let dir = key_files();
    let sts = Server::start([grant("t", 0)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "google_federation = {{ audience = '//iam/x', subject_token = {}, scopes = ['s'], sts_url = '{}/v1/token' }}",
        file(&dir, "subject"),
        sts.url()
    );
    let client = client(&csp.url(), &more);
    for token in ["a.b.c", "d.e.f"] {
        std::fs::write(dir.path().join("subject"), token).unwrap();
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
        let form = form(sts.requests().last().unwrap());
        let expected = [
            ("audience", "//iam/x"),
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"),
            ("scope", "s"),
            ("subject_token", token),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(form, BTreeMap::from(expected));
    }
}

#[tokio::test]
async fn a_refused_impersonation_is_told_from_one_that_may_pass() {
    let dir = key_files();
    for (status, body, code, message) in [
        (
            403,
            r#"{"error": {"code": 403, "status": "PERMISSION_DENIED", "message": "hunter2"}}"#,
            "token-refused",
            "cannot get a token for CSP_A: the IAM credentials API responded with status 403 (`PERMISSION_DENIED`)",
        ),
        (
            429,
            r#"{"error": {"status": "hunter2"}}"#,
            "token-unavailable",
            "cannot get a token for CSP_A: the IAM credentials API responded with status 429 (3 tries)",
        ),
        (
            200,
            "{}",
            "token-unavailable",
            "cannot get a token for CSP_A: the IAM credentials API's response cannot be parsed (3 tries)",
        ),
    ] {
        let idp = Server::start([grant("t", 3600)]).await;
        let iam = Server::start([answer(status, "", body)]).await;
        let more = format!(
            "google_service_account = {{ key = {}, token_url = '{}', impersonate = 'a@b', iam_url = '{}' }}",
            file(&dir, "account.json"),
            idp.url(),
            iam.url()
        );
        let result = exchange(&client("http://127.0.0.1:9", &more), &get("/"), &THRICE).await;
        assert_eq!((result.outcome().as_str(), &*result.failure().message), (code, message));
    }
}

const FINGERPRINT: &str = "20:3b:97:13:55:1c:5b:0d:d3:37:d8:50:4e:c5:3a:34";

fn oci(key: &Path) -> String {
    format!(
        "oci_signature = {{ tenancy = 'ocid1.t', user = 'ocid1.u', fingerprint = '{FINGERPRINT}', key = {{ file = '{}' }} }}",
        key.display()
    )
}

/// Verifies the signature of a request as it arrived.
#[track_caller]
fn verify_oci(request: &str) {
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let (method, rest) = head.split_once(' ').unwrap();
    let (path, _) = rest.split_once(' ').unwrap();
    let url = format!("http://{}{path}", header(request, "host").unwrap());
    let set = ["content-type"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), header(request, name)?)));
    let mut copy = vectors::request(method, &url, &set.collect(), Some(body.to_owned()));
    let key = RsaKey::from_pem(vectors::KEY).unwrap();
    let key = OciKey { key, key_id: format!("ocid1.t/ocid1.u/{FINGERPRINT}") };
    let at = httpdate::parse_http_date(&header(request, "date").unwrap()).unwrap();
    let at = Timestamp::from_unix(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
    oci_signature::sign(&mut copy, &key, at);
    for name in ["authorization", "x-content-sha256", "content-length"] {
        let signed = copy.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(header(request, name), signed, "{name} of {request}");
    }
}

#[tokio::test]
async fn a_request_to_oracle_is_signed_as_it_arrives() {
    let dir = key_files();
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oci(&dir.path().join("key.pem")));
    let path = || Target::Path("/20160918/compartments".to_owned());
    let full = HttpRequest {
        query: vec![("a b".into(), "ü+".into())],
        headers: vec![("Content-Type".into(), "application/scim+json".into())],
        body: Some("{\"ü\": 1}".into()),
        ..request(Method::Put, path())
    };
    for request in [
        full,
        HttpRequest { body: Some("{}".into()), ..request(Method::Post, path()) },
        HttpRequest { body: Some("".into()), ..request(Method::Post, path()) },
        request(Method::Post, path()),
        request(Method::Patch, path()),
        request(Method::Get, path()),
        request(Method::Delete, path()),
    ] {
        assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
        verify_oci(csp.requests().last().unwrap());
    }
    assert_eq!(header(&csp.requests()[3], "content-length").as_deref(), Some("0"));
    assert_eq!(header(&csp.requests()[5], "x-content-sha256"), None);
}

#[tokio::test]
async fn oracle_may_refuse_the_time_or_the_key_of_a_signature() {
    let dir = key_files();
    let key = dir.path().join("key.pem");
    let refused = r#"{"code": "NotAuthenticated", "message": "m"}"#;
    let csp = Server::start([
        answer(401, &date(HOUR), refused),
        answer(200, "", ""),
        answer(401, "", refused),
        answer(401, "", refused),
    ])
    .await;
    let client = client(&csp.url(), &oci(&key));
    for (outcome, calls) in [("200", 2), ("401", 1)] {
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!((result.outcome().as_str(), result.calls), (outcome, calls));
    }
    for request in csp.requests() {
        verify_oci(&request);
    }
    // Another key, which is still refused.
    std::fs::write(&key, include_str!("vectors/other-key.pem")).unwrap();
    let result = exchange(&client, &get("/"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("401", 2));
    let last: Vec<_> =
        csp.requests().iter().rev().take(2).map(|it| header(it, "authorization")).collect();
    assert_ne!(last[0], last[1]);
}
