//! Requests signed for AWS: keys, roles, renewal, and the time of signatures.

use std::path::Path;
use std::time::SystemTime;

use aws_credential_types::Credentials as Keys;
use expect_test::expect;
use http::HeaderName;
use http::HeaderValue;

use super::server;
use super::server::Act;
use super::server::Server;
use super::server::answer;
use super::*;
use crate::auth::sign::aws_signature;
use crate::policy::aws_scope::AwsScope;
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
    let mut copy = reqwest::Request::new(method.parse().unwrap(), url.parse().unwrap());
    for line in head.lines().skip(1) {
        let (name, value) = line.split_once(": ").unwrap();
        // The ones that the signer sets itself.
        if ["authorization", "x-amz-date", "x-amz-security-token"].contains(&name) {
            continue;
        }
        let name: HeaderName = name.parse().unwrap();
        copy.headers_mut().append(name, HeaderValue::from_str(value).unwrap());
    }
    *copy.body_mut() = Some(body.to_owned().into());
    aws_signature::sign(&mut copy, keys, scope, date(request)).unwrap();
    let signed = copy.headers()["authorization"].to_str().unwrap();
    assert_eq!(header(request, "authorization").as_deref(), Some(signed));
    let token = copy.headers().get("x-amz-security-token").map(|it| it.to_str().unwrap());
    assert_eq!(header(request, "x-amz-security-token").as_deref(), token);
}

/// The answer of STS with keys of this id.
fn granted(id: &str, expiration: &str) -> Act {
    answer(
        200,
        "content-type: text/xml\r\n",
        &format!(
            "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">
              <AssumeRoleResult><AssumedRoleUser><Arn>arn</Arn></AssumedRoleUser><Credentials>
                <AccessKeyId>{id}</AccessKeyId>
                <SecretAccessKey>{id}-secret-key</SecretAccessKey>
                <SessionToken>{id}/session+token==</SessionToken>
                <Expiration>{expiration}</Expiration>
              </Credentials></AssumeRoleResult>
            </AssumeRoleResponse>"
        ),
    )
}

const LATER: &str = "2999-01-01T00:00:00Z";

fn refused(status: u16, code: &str) -> Act {
    let body = format!(
        "<ErrorResponse xmlns='x'><Error><Type>Sender</Type><Code>{code}</Code><Message>m</Message></Error></ErrorResponse>"
    );
    answer(status, "", &body)
}

/// The default credential of a role that is assumed with the keys of `base`.
fn role(files: &KeyFiles, sts: &Server) -> String {
    let (base, url) = (files.config(), sts.url());
    format!(
        "[aws_sigv4]
        signing = {{ service = 'organizations', region = 'us-gov-west-1' }}
        [aws_sigv4.assume_role]
        from = 'base'
        role_arn = 'arn:aws-us-gov:iam::111122223333:role/r'
        external_id = 'x y'
        sts_url = '{url}'
        region = 'us-gov-west-1'
        duration_s = 900
        [credentials.base.aws_sigv4]
        {base}"
    )
}

#[tokio::test]
async fn a_request_is_signed_as_it_arrives() {
    let files = KeyFiles::new("AKID1");
    std::fs::write(files.0.path().join("token"), "session/token+==").unwrap();
    let csp = Server::start([answer(200, "", "")]).await;
    let token = file(files.0.path(), "token");
    let client = client(&csp.url(), &format!("{}session_token = {token}", keys(&files)));
    let request = HttpRequest {
        query: vec![("b".into(), "ü +/".into()), ("a".into(), String::new())],
        headers: vec![
            ("content-type".into(), "application/x-amz-json-1.1".into()),
            ("x-amz-target".into(), "AWSInsightsIndexService.GetCostAndUsage".into()),
        ],
        body: Some(r#"{"a": "ü"}"#.into()),
        ..request(Method::Post, Target::Path("/a b/c:d".replace(' ', "%20")))
    };
    assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
    let empty = HttpRequest { query: Vec::new(), headers: Vec::new(), body: None, ..request };
    assert_eq!(exchange(&client, &empty, &THRICE).await.outcome(), "200");
    let token = Some("session/token+==".to_owned());
    let keys = Keys::new("AKID1", "AKID1-secret-key", token, None, "test");
    let scope = AwsScope { service: "ce".to_owned(), region: "us-east-1".to_owned() };
    for request in csp.requests() {
        verify(&request, &keys, &scope);
        let behind = date(&request).since(Clock::system().wall());
        assert!(behind < Duration::from_secs(1), "the time is that of this machine");
    }
}

#[tokio::test]
async fn an_adapter_cannot_set_a_header_of_a_signature() {
    let files = KeyFiles::new("AKID1");
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &keys(&files));
    for name in ["X-Amz-Date", "x-amz-security-token", "X-Amz-Content-Sha256", "date"] {
        let request = HttpRequest { headers: vec![(name.into(), "x".into())], ..get("/") };
        let result = exchange(&client, &request, &THRICE).await;
        assert!(result.failure().message.contains("is reserved for the host"), "{name}");
    }
    assert_eq!(csp.connections(), 0);
}

#[tokio::test]
async fn a_host_without_a_scope_gets_no_request() {
    let csp = Server::start([answer(200, "", "")]).await;
    let files = KeyFiles::new("AKID1");
    let more = format!("named_credentials = ['k']\n[credentials.k.aws_sigv4]\n{}", files.config());
    let request = HttpRequest { credential: named("k"), ..get("/") };
    let result = exchange(&client(&csp.url(), &more), &request, &THRICE).await;
    expect!["HOTH cannot sign the request to CSP_A: the host name does not have the service and the region: configure `signing`"]
        .assert_eq(&result.failure().message);
    assert_eq!((result.outcome().as_str(), csp.connections()), ("request-refused", 0));
}

#[tokio::test]
async fn refused_keys_are_read_again_once() {
    let files = KeyFiles::new("AKID1");
    let script = [(400, EXPIRED), (400, EXPIRED), (200, ""), (403, SKEWED), (400, EXPIRED)];
    let csp = Server::start(script.map(|(status, body)| answer(status, "", body))).await;
    let client = client(&csp.url(), &keys(&files));
    // A request that must not be sent twice, which a refused one was not.
    let request = HttpRequest { retry: Retry::Unsent, ..get("/") };
    let result = exchange(&client, &request, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("400", 1), "the file is unchanged");
    files.write("AKID2");
    let result = exchange(&client, &request, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("200", 2));
    files.write("AKID3");
    let result = exchange(&client, &request, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("400", 2), "once is enough");
    let signers: Vec<_> = csp.requests().iter().map(|request| signer(request)).collect();
    let ids = ["AKID1", "AKID1", "AKID2", "AKID2", "AKID3"];
    assert_eq!(signers, ids.map(|id| format!("{id} us-east-1 ce")));
}

#[tokio::test]
async fn an_answer_about_rights_renews_nothing() {
    for (status, body) in [
        (403, r#"{"__type": "AccessDeniedException"}"#),
        (400, r#"{"__type": "TooManyRequestsException"}"#),
        (404, EXPIRED),
    ] {
        let files = KeyFiles::new("AKID1");
        let csp = Server::start([answer(200, "", ""), answer(status, "", body)]).await;
        let client = client(&csp.url(), &keys(&files));
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
        files.write("AKID2");
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!((result.outcome(), result.calls), (status.to_string(), 1), "{body}");
    }
}

/// Returns a `Date` header that is this far ahead of the wall clock.
fn ahead(by: Duration) -> String {
    let wall = Duration::from_millis(Clock::system().wall().as_millis());
    format!("date: {}\r\n", httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + wall + by))
}

#[tokio::test]
async fn a_signature_gets_the_time_of_the_csp_that_refuses_it() {
    let files = KeyFiles::new("AKID1");
    const HOURS: Duration = Duration::from_secs(3 * 60 * 60);
    let csp = Server::start([
        answer(403, &ahead(HOURS), SKEWED),
        answer(200, &ahead(HOURS), ""),
        answer(200, &ahead(HOURS), ""),
    ])
    .await;
    let client = client(&csp.url(), &keys(&files));
    for calls in [2, 1] {
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!((result.outcome().as_str(), result.calls), ("200", calls));
    }
    let wall = Clock::system().wall();
    let dates: Vec<_> = csp.requests().iter().map(|it| date(it).since(wall)).collect();
    assert_eq!(dates[0], Duration::ZERO);
    for corrected in &dates[1..] {
        // Some time passes in the test, and dates have whole seconds.
        assert!(*corrected + PATIENCE > HOURS && *corrected <= HOURS, "{corrected:?}");
    }
}

#[tokio::test]
async fn a_skew_of_more_than_a_day_is_not_corrected() {
    let files = KeyFiles::new("AKID1");
    let days = ahead(Duration::from_secs(2 * 24 * 60 * 60));
    let csp = Server::start([answer(403, &days, SKEWED)]).await;
    let client = client(&csp.url(), &keys(&files));
    let result = exchange(&client, &get("/"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("403", 1));
}

#[tokio::test]
async fn a_role_is_assumed_and_its_keys_are_cached() {
    let files = KeyFiles::new("AKID1");
    let sts = Server::start([granted("ASIA1", LATER)]).await;
    let csp =
        Server::start([answer(200, "", "ASIA1/session+token== ASIA1%2Fsession%2Btoken%3D%3D")])
            .await;
    let client = client(&csp.url(), &role(&files, &sts));
    for _ in 0..2 {
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!(result.outcome(), "200");
        assert_eq!(&result.response().body[..], b"*** ***", "the token is masked");
    }
    let scope = |service: &str| AwsScope {
        service: service.to_owned(),
        region: "us-gov-west-1".to_owned(),
    };
    let asked = &sts.requests()[0];
    verify(asked, &Keys::new("AKID1", "AKID1-secret-key", None, None, "test"), &scope("sts"));
    assert_eq!(sts.calls(), 1);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST / HTTP/1.1\r\n"));
    expect!["Action=AssumeRole&Version=2011-06-15&RoleSessionName=hoth&DurationSeconds=900&RoleArn=arn%3Aaws-us-gov%3Aiam%3A%3A111122223333%3Arole%2Fr&ExternalId=x+y"]
        .assert_eq(body);
    let token = Some("ASIA1/session+token==".to_owned());
    let keys = Keys::new("ASIA1", "ASIA1-secret-key", token, None, "test");
    for request in csp.requests() {
        verify(&request, &keys, &scope("organizations"));
    }
}

/// Returns a request with the role of an account.
fn of_account(parameters: &[(&str, &str)]) -> HttpRequest {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let (name, parameters) = ("account".to_owned(), parameters.iter().map(owned).collect());
    let credential = CredentialChoice::Named(CredentialUse { name, parameters });
    HttpRequest { credential, ..get("/") }
}

#[tokio::test]
async fn a_role_with_parameters_has_keys_for_each_of_their_values() {
    let files = KeyFiles::new("AKID1");
    let sts = Server::start(["ASIA1", "ASIA2"].map(|id| granted(id, LATER))).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "named_credentials = ['account']
        {}[credentials.account.aws_sigv4]
        signing = {{ service = 'organizations', region = 'us-east-1' }}
        [credentials.account.aws_sigv4.assume_role]
        role_arn = 'arn:aws:iam::{{account}}:role/r'
        parameters = {{ account = '[0-9]{{12}}' }}
        sts_url = '{}'
        region = 'us-east-1'",
        keys(&files),
        sts.url()
    );
    let client = client(&csp.url(), &more);
    for account in ["111122223333", "444455556666", "111122223333"] {
        let request = of_account(&[("account", account)]);
        assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
    }
    let forms: Vec<_> =
        sts.requests().iter().map(|it| it.rsplit_once("RoleArn=").unwrap().1.to_owned()).collect();
    assert_eq!(
        forms,
        ["111122223333", "444455556666"].map(|it| format!("arn%3Aaws%3Aiam%3A%3A{it}%3Arole%2Fr"))
    );
    let signers: Vec<_> = csp.requests().iter().map(|request| signer(request)).collect();
    let ids = ["ASIA1", "ASIA2", "ASIA1"];
    assert_eq!(signers, ids.map(|id| format!("{id} us-east-1 organizations")));
}

#[tokio::test]
async fn an_endpoint_has_a_service_and_a_region_of_its_own() {
    let files = KeyFiles::new("AKID1");
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "{}[endpoints.sso]\nurl = '{}/sso'\nsigning = {{ service = 'sso', region = 'us-west-2' }}",
        keys(&files),
        csp.url()
    );
    let client = client(&csp.url(), &more);
    let (endpoint, path) = ("sso".to_owned(), "/x".to_owned());
    let target = Target::Endpoint(EndpointPath { endpoint, path, parameters: Vec::new() });
    for request in [get("/x"), request(Method::Get, target)] {
        assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
    }
    let signers: Vec<_> = csp.requests().iter().map(|request| signer(request)).collect();
    assert_eq!(signers, ["AKID1 us-east-1 ce", "AKID1 us-west-2 sso"]);
}

#[tokio::test]
async fn a_request_without_the_parameters_of_its_credential_is_refused() {
    let files = KeyFiles::new("AKID1");
    let more = format!(
        "named_credentials = ['account']
        {}[credentials.account.aws_sigv4.assume_role]
        role_arn = 'arn:aws:iam::{{account}}:role/r'
        parameters = {{ account = '[0-9]+' }}
        sts_url = 'https://sts.us-east-1.amazonaws.com'",
        keys(&files)
    );
    let client = client("http://127.0.0.1:9", &more);
    for (given, reason) in [
        (&[][..], "its credential needs the parameter `account`"),
        (
            &[("account", "1x")],
            "its credential does not accept this value of the parameter `account`",
        ),
        (&[("account", "1"), ("role", "x")], "its credential has no parameter `role`"),
        (
            &[("account", "1"), ("account", "1")],
            "its credential gets the parameter `account` twice",
        ),
    ] {
        let result = exchange(&client, &of_account(given), &THRICE).await;
        let message = format!("HOTH refused the request to CSP_A: {reason}");
        assert_eq!(result.failure().message, message);
    }
}

#[tokio::test]
async fn expired_keys_of_a_role_are_replaced() {
    let files = KeyFiles::new("AKID1");
    // Those of the first answer expired long ago: they are used once.
    let script = [("ASIA1", "2000-01-01T00:00:00Z"), ("ASIA2", LATER), ("ASIA3", LATER)];
    let sts = Server::start(script.map(|(id, until)| granted(id, until))).await;
    let csp = Server::start([
        answer(200, "", ""),
        answer(200, "", ""),
        answer(400, "", EXPIRED),
        answer(200, "", ""),
    ])
    .await;
    let client = client(&csp.url(), &role(&files, &sts));
    for calls in [1, 1, 2] {
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!((result.outcome().as_str(), result.calls), ("200", calls));
    }
    let signers: Vec<_> = csp.requests().iter().map(|request| signer(request)).collect();
    let ids = ["ASIA1", "ASIA2", "ASIA2", "ASIA3"];
    assert_eq!(signers, ids.map(|id| format!("{id} us-gov-west-1 organizations")));
}

#[tokio::test]
async fn sts_gets_new_keys_and_the_right_time_when_it_refuses_them() {
    let files = KeyFiles::new("AKID1");
    let skewed = server::bytes(
        403,
        &ahead(Duration::from_secs(3600)),
        "<Error><Code>SignatureDoesNotMatch</Code></Error>",
    );
    let sts = Server::start([
        granted("ASIA1", "2000-01-01T00:00:00Z"),
        Act::Answer(skewed),
        refused(403, "InvalidClientTokenId"),
        granted("ASIA2", LATER),
    ])
    .await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &role(&files, &sts));
    assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    files.write("AKID2");
    assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    let signers: Vec<_> = sts.requests().iter().map(|request| signer(request)).collect();
    let ids = ["AKID1", "AKID1", "AKID1", "AKID2"];
    assert_eq!(signers, ids.map(|id| format!("{id} us-gov-west-1 sts")));
    let wall = Clock::system().wall();
    let dates: Vec<_> = sts.requests().iter().map(|it| date(it).since(wall)).collect();
    assert!(dates[1].is_zero() && dates[2..].iter().all(|it| !it.is_zero()), "{dates:?}");
}

#[tokio::test]
async fn failures_of_sts_say_who_refused_and_whether_it_may_pass() {
    let check = async |act: Act, code: &str, calls: usize, message: expect_test::Expect| {
        let files = KeyFiles::new("AKID1");
        let sts = Server::start([act]).await;
        let client = client("http://127.0.0.1:9", &role(&files, &sts));
        let result = exchange(&client, &get("/"), &THRICE).await;
        assert_eq!((result.outcome().as_str(), sts.calls()), (code, calls));
        message.assert_eq(&result.failure().message);
    };
    check(
        refused(403, "AccessDenied"),
        "token-refused",
        1,
        expect!["cannot get keys for CSP_A: STS responded with status 403 (`AccessDenied`)"],
    )
    .await;
    check(
        refused(403, "hunter2"),
        "token-refused",
        1,
        expect!["cannot get keys for CSP_A: STS responded with status 403"],
    )
    .await;
    check(
        refused(400, "Throttling"),
        "token-unavailable",
        3,
        expect![
            "cannot get keys for CSP_A: STS responded with status 400 (`Throttling`) (3 tries)"
        ],
    )
    .await;
    check(
        answer(200, "", "<html>"),
        "token-unavailable",
        3,
        expect!["cannot get keys for CSP_A: STS's response cannot be parsed (3 tries)"],
    )
    .await;
    let bomb = "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>";
    check(
        answer(200, "", bomb),
        "token-unavailable",
        3,
        expect!["cannot get keys for CSP_A: STS's response cannot be parsed (3 tries)"],
    )
    .await;
}

#[tokio::test]
async fn a_web_identity_is_read_for_each_request_to_sts() {
    let dir = tempfile::tempdir().unwrap();
    let script = ["ASIA1", "ASIA2"].map(|id| granted(id, "2000-01-01T00:00:00Z"));
    let sts = Server::start(script).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!(
        "[aws_sigv4]
        signing = {{ service = 'ce', region = 'us-east-1' }}
        [aws_sigv4.web_identity]
        role_arn = 'arn:aws:iam::111122223333:role/r'
        token = {}
        sts_url = '{}'
        session_name = 'host-1'",
        file(dir.path(), "token"),
        sts.url()
    );
    let client = client(&csp.url(), &more);
    for token in ["t0ken-1", "t0ken-2\n"] {
        std::fs::write(dir.path().join("token"), token).unwrap();
        assert_eq!(exchange(&client, &get("/"), &THRICE).await.outcome(), "200");
    }
    let bodies: Vec<_> = sts
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(header(request, "authorization"), None, "the token is enough");
            request.split_once("\r\n\r\n").unwrap().1.to_owned()
        })
        .collect();
    expect![[r#"
        Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=host-1&DurationSeconds=3600&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fr&WebIdentityToken=t0ken-1
        Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=host-1&DurationSeconds=3600&RoleArn=arn%3Aaws%3Aiam%3A%3A111122223333%3Arole%2Fr&WebIdentityToken=t0ken-2"#]]
    .assert_eq(&bodies.join("\n"));
    assert_eq!(signer(&csp.requests()[1]), "ASIA2 us-east-1 ce");
}
