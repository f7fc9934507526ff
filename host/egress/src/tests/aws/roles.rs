//! Roles, whose keys STS grants for a time.

use expect_test::expect;

use super::*;
use crate::tests::server;

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
