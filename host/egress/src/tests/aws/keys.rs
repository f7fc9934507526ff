//! Keys that only their owner replaces, and the time of signatures.

use expect_test::expect;

use super::*;

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
