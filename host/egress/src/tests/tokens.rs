//! Tokens: requesting, caching, renewing, and keeping them secret.

use std::io;
use std::sync::Arc;
use std::sync::Mutex;

use expect_test::Expect;
use expect_test::expect;
use tokio::sync::Semaphore;

use super::server;
use super::server::Act;
use super::server::ClosedPort;
use super::server::Server;
use super::server::answer;
use super::*;

/// Returns a request with these scopes.
fn reading(scopes: &[&str]) -> HttpRequest {
    HttpRequest { scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(), ..get("/x") }
}

pub fn oauth2(idp: &str, source: &str) -> String {
    format!("oauth2 = {{ token_url = '{idp}/token', client_id = 'me', client_secret = {source} }}")
}

/// A secret file that contains `hoth`.
pub const SECRET: &str =
    concat!("{ file = '", env!("CARGO_MANIFEST_DIR"), "/src/tests/client-secret.txt' }");

pub fn grant(token: &str, expires_in: u32) -> Act {
    let body = format!(
        r#"{{"access_token": "{token}", "token_type": "Bearer", "expires_in": {expires_in}}}"#
    );
    answer(200, "content-type: application/json\r\n", &body)
}

#[tokio::test]
async fn a_token_request_carries_the_client_credentials() {
    let idp = Server::start([grant("t1", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    exchange(&client, &reading(&["atat/write", "atat/read", "atat/write"]), &THRICE).await;
    let seen = idp.requests().concat().replace(&idp.url()["http://".len()..], "HOST");
    // me:hoth
    expect![[r#"
        POST /token HTTP/1.1
        accept-encoding: identity
        accept: application/json
        content-type: application/x-www-form-urlencoded
        user-agent: hoth/0.1.0
        authorization: Basic bWU6aG90aA==
        host: HOST
        content-length: 73

        grant_type=client_credentials&scope=atat%2Fread+atat%2Fwrite&client_id=me"#]]
    .assert_eq(&seen.replace('\r', ""));
    assert!(csp.requests().concat().contains("authorization: Bearer t1\r\n"));
}

#[tokio::test]
async fn a_token_is_cached_for_its_scopes() {
    let idp = Server::start([grant("t1", 3600), grant("t2", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    for scopes in [&["a", "b"][..], &["b", "a", "a"], &["a"], &["a"]] {
        assert_eq!(exchange(&client, &reading(scopes), &THRICE).await.outcome(), "200");
    }
    let sent: Vec<bool> = csp.requests().iter().map(|r| r.contains("Bearer t1\r\n")).collect();
    assert_eq!((idp.calls(), sent), (2, vec![true, true, false, false]));
}

#[tokio::test]
async fn an_expired_token_is_requested_again() {
    let idp = Server::start([grant("t1", 0), grant("t2", 0)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    exchange(&client, &reading(&[]), &THRICE).await;
    exchange(&client, &reading(&[]), &THRICE).await;
    assert_eq!(idp.calls(), 2);
    assert!(csp.requests()[1].contains("Bearer t2\r\n"));
}

#[tokio::test]
async fn token_responses_are_read_leniently() {
    for (body, calls) in [
        (r#"{"access_token": "t"}"#, 1),
        (r#"{"access_token": "t", "token_type": "bearer", "expires_in": "3600"}"#, 1),
        (r#"{"access_token": "t", "token_type": "BEARER", "expires_in": 3600.5}"#, 1),
        (r#"{"access_token": "t", "expires_in": null, "scope": "x", "id": 1}"#, 1),
        (r#"{"access_token": "t", "expires_in": "0"}"#, 2),
        (r#"{"access_token": "t", "token_type": "BearerToken", "expires_in": "soon"}"#, 1),
        (r#"{"access_token": "t", "token_type": null}"#, 1),
        (r#"{"access_token": "t", "token_type": ""} trailing"#, 1),
        ("\u{feff}{\"access_token\": \"t\", \"error\": null}", 1),
    ] {
        let idp = Server::start([answer(200, "content-type: text/plain\r\n", body)]).await;
        let csp = Server::start([answer(200, "", "")]).await;
        let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
        for _ in 0..2 {
            assert_eq!(exchange(&client, &reading(&[]), &THRICE).await.outcome(), "200", "{body}");
        }
        assert_eq!(idp.calls(), calls, "{body}");
    }
}

#[tokio::test]
async fn concurrent_requests_share_one_token_fetch() {
    let gate = Arc::new(Semaphore::new(0));
    let body = server::bytes(200, "", r#"{"access_token": "t", "expires_in": 0}"#);
    let idp = Server::start([Act::Gated(Arc::clone(&gate), body)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let request = reading(&["a"]);
    let exchanges = futures_util::future::join_all(
        (0..20).map(|_| exchange(&client, &request, &RetryPolicy::ONCE)),
    );
    let opener = async {
        idp.reached(1).await;
        gate.add_permits(1);
    };
    let (result, ()) = tokio::join!(exchanges, opener);
    assert!(result.iter().all(|result| result.outcome() == "200"));
    assert_eq!((idp.calls(), csp.calls()), (1, 20));
}

#[tokio::test]
async fn a_failed_token_fetch_is_shared_but_not_cached() {
    let gate = Arc::new(Semaphore::new(0));
    let failing = Act::Gated(Arc::clone(&gate), server::bytes(500, "", ""));
    let idp = Server::start([failing, grant("t", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let request = reading(&["a"]);
    let exchanges = futures_util::future::join_all(
        (0..20).map(|_| exchange(&client, &request, &RetryPolicy::ONCE)),
    );
    let opener = async {
        idp.reached(1).await;
        gate.add_permits(1);
    };
    let (result, ()) = tokio::join!(exchanges, opener);
    assert!(result.iter().all(|result| result.outcome() == "token-unavailable"));
    assert_eq!((idp.calls(), csp.calls()), (1, 0));
    assert_eq!(exchange(&client, &request, &RetryPolicy::ONCE).await.outcome(), "200");
}

#[tokio::test]
async fn a_token_fetch_is_cancelled_with_its_last_waiter() {
    let idp = Server::start([Act::Hang(Vec::new()), grant("t", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let request = reading(&[]);
    tokio::select! {
        result = exchange(&client, &request, &THRICE) => panic!("{result:?}"),
        () = idp.reached(1) => {}
    }
    assert_eq!(exchange(&client, &request, &THRICE).await.outcome(), "200");
}

#[tokio::test]
async fn a_wait_for_a_token_uses_no_call_slot() {
    let idp = Server::start([Act::Hang(Vec::new()), grant("t", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!("max_concurrent = 1\n{}", oauth2(&idp.url(), SECRET));
    let client = client(&csp.url(), &more);
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { exchange(&client, &reading(&["slow"]), &THRICE).await }
    });
    idp.reached(1).await;
    assert_eq!(exchange(&client, &reading(&["fast"]), &THRICE).await.outcome(), "200");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn a_401_causes_one_more_call_with_a_new_token() {
    let check = async |script: &[u16], expected: (&str, u32), tokens: usize| {
        let idp = Server::start([grant("t1", 3600), grant("t2", 3600)]).await;
        let csp = Server::start(script.iter().map(|status| answer(*status, "", ""))).await;
        let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
        let request = HttpRequest { retry: Retry::Unsent, ..reading(&["a"]) };
        let request = if script.contains(&503) { reading(&["a"]) } else { request };
        let result = exchange(&client, &request, &THRICE).await;
        assert_eq!((result.outcome().as_str(), result.calls), expected, "{script:?}");
        assert_eq!(idp.calls(), tokens, "{script:?}");
        if tokens == 2 {
            assert!(csp.requests().last().unwrap().contains("Bearer t2\r\n"));
        }
    };
    check(&[401, 200], ("200", 2), 2).await;
    check(&[401, 401, 200], ("401", 2), 2).await;
    check(&[401, 404], ("404", 2), 2).await;
    check(&[403], ("403", 1), 1).await;
    // The call after a renewal does not count as one of the three tries.
    check(&[503, 401, 503, 200], ("200", 4), 2).await;
    check(&[401, 503, 503, 503], ("503", 4), 2).await;
    check(&[401, 503, 401, 200], ("401", 3), 2).await;
}

#[tokio::test]
async fn a_401_without_a_credential_is_a_final_response() {
    let csp = Server::start([answer(401, "", ""), answer(200, "", "")]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("401", 1));
}

#[tokio::test]
async fn a_failed_renewal_keeps_the_401_as_the_last_response() {
    let idp = Server::start([grant("t1", 3600), answer(400, "", "")]).await;
    let csp = Server::start([answer(401, "", "expired")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let result = exchange(&client, &reading(&[]), &THRICE).await;
    let failure = result.failure();
    assert_eq!((failure.code.as_str(), failure.sent, result.calls), ("token-refused", true, 1));
    assert_eq!(failure.last_response.as_ref().unwrap().status, 401);
}

#[tokio::test]
async fn a_request_that_may_have_arrived_stays_sent_after_a_token_failure() {
    let idp = Server::start([grant("t1", 0), answer(500, "", "")]).await;
    let csp = Server::start([Act::Reset(Vec::new())]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let result = exchange(&client, &reading(&[]), &THRICE).await;
    let failure = result.failure();
    assert_eq!((failure.code.as_str(), failure.sent, result.calls), ("token-unavailable", true, 1));
}

/// Runs an exchange whose token endpoint always performs `act`. Returns the
/// message of the failure.
async fn failing(act: Act, code: &str, tries: usize) -> String {
    let patience = if matches!(act, Act::Hang(_)) { IMPATIENT } else { "" };
    let idp = Server::start([act]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let more = format!("{patience}{}", oauth2(&idp.url(), SECRET));
    let result = exchange(&client(&csp.url(), &more), &reading(&[]), &THRICE).await;
    let failure = result.failure();
    assert_eq!((failure.code.as_str(), failure.sent, result.calls), (code, false, 0));
    assert_eq!((idp.calls(), csp.connections()), (tries, 0));
    assert!(result.url.is_none());
    failure.message.clone()
}

#[tokio::test]
async fn a_refused_token_request_is_not_repeated() {
    let message =
        failing(answer(401, "", r#"{"error": "invalid_client"}"#), "token-refused", 1).await;
    expect!["cannot get a token for CSP_A: the token endpoint responded with status 401 (`invalid_client`)"]
        .assert_eq(&message);
    let message = failing(answer(400, "", "no JSON"), "token-refused", 1).await;
    expect!["cannot get a token for CSP_A: the token endpoint responded with status 400"]
        .assert_eq(&message);
    let evil = r#"{"error": "hoth-secret", "error_description": "the secret is hoth"}"#;
    let message = failing(answer(403, "", evil), "token-refused", 1).await;
    expect!["cannot get a token for CSP_A: the token endpoint responded with status 403"]
        .assert_eq(&message);
    let long = format!(r#"{{"error": "{}"}}"#, "e".repeat(1000));
    let message = failing(answer(404, "", &long), "token-refused", 1).await;
    expect!["cannot get a token for CSP_A: the token endpoint responded with status 404"]
        .assert_eq(&message);
}

#[tokio::test]
async fn a_refusal_is_one_whatever_its_status() {
    for (status, error) in [(200, "invalid_client"), (400, "unauthorized_client")] {
        let body = format!(r#"{{"error": "{error}"}}"#);
        let message = failing(answer(status, "", &body), "token-refused", 1).await;
        assert!(message.ends_with(&format!("status {status} (`{error}`)")), "{message}");
    }
    failing(answer(200, "", r#"{"error": "their own word"}"#), "token-refused", 1).await;
    for kind in ["mac", "DPoP", "N_A"] {
        let body = format!(r#"{{"access_token": "t", "token_type": "{kind}"}}"#);
        let message = failing(answer(200, "", &body), "token-refused", 1).await;
        assert!(message.ends_with("a token that is not a bearer token"), "{message}");
    }
    for status in [200, 400] {
        let body = r#"{"error": "temporarily_unavailable"}"#;
        failing(answer(status, "", body), "token-unavailable", 3).await;
    }
}

#[tokio::test]
async fn a_throttled_token_endpoint_is_left_alone_for_as_long_as_it_asks() {
    let idp = Server::start([answer(429, "retry-after: 1.5\r\n", ""), grant("t", 3600)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    // A poll does not wait. It passes the pause on, for its next turn.
    let poll = exchange(&client, &reading(&[]), &RetryPolicy::ONCE).await;
    assert_eq!(poll.outcome(), "token-unavailable");
    assert_eq!(poll.retry_after, Some(Duration::from_millis(1_500)));
    let again = exchange(&client, &reading(&["other"]), &RetryPolicy::ONCE).await;
    assert_eq!((again.outcome().as_str(), idp.calls()), ("token-unavailable", 1));
    // A job waits, and goes on.
    assert_eq!(exchange(&client, &reading(&[]), &THRICE).await.outcome(), "200");
    assert_eq!((idp.calls(), csp.calls()), (2, 1));

    let idp = Server::start([answer(503, "retry-after: 3600\r\n", "")]).await;
    let client = super::client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let refused = exchange(&client, &reading(&[]), &THRICE).await;
    assert!(refused.failure().message.contains("asks for a pause of 3600.0s"), "{refused:?}");
    assert_eq!(idp.calls(), 1);
}

#[tokio::test]
async fn an_unavailable_token_endpoint_is_tried_three_times() {
    let check = async |act: Act, expected: &Expect| {
        expected.assert_eq(&failing(act, "token-unavailable", 3).await);
    };
    check(
        answer(503, "", r#"{"error": "temporarily_unavailable"}"#),
        &expect!["cannot get a token for CSP_A: the token endpoint responded with status 503 (`temporarily_unavailable`) (3 tries)"],
    )
    .await;
    for status in [408, 425, 429, 500, 302] {
        failing(answer(status, "", ""), "token-unavailable", 3).await;
    }
    let unparsable = expect![
        "cannot get a token for CSP_A: the token endpoint's response cannot be parsed (3 tries)"
    ];
    for body in ["", "{", "[]", "{}", r#"{"access_token": 1}"#, "<html>"] {
        check(answer(200, "", body), &unparsable).await;
    }
    for body in [r#"{"access_token": ""}"#, r#"{"access_token": "a\r\nb"}"#] {
        check(
            answer(200, "", body),
            &expect![
                "cannot get a token for CSP_A: the token cannot be sent in a header (3 tries)"
            ],
        )
        .await;
    }
    check(
        Act::Hang(Vec::new()),
        &expect![
            "cannot get a token for CSP_A: the token endpoint did not respond within 1000 ms (3 tries)"
        ],
    )
    .await;
    check(
        answer(200, "", &"x".repeat(64 * 1024 + 1)),
        &expect!["cannot get a token for CSP_A: the token endpoint sent a body of more than 65536 bytes (3 tries)"],
    )
    .await;
}

#[tokio::test]
async fn an_unreachable_token_endpoint_is_named() {
    let csp = Server::start([answer(200, "", "")]).await;
    let closed = ClosedPort::bind();
    let client = client(&csp.url(), &oauth2(&closed.url(), SECRET));
    let result = exchange(&client, &reading(&[]), &THRICE).await;
    expect!["cannot get a token for CSP_A: cannot connect to the token endpoint: connection refused (3 tries)"]
        .assert_eq(&result.failure().message);
}

#[tokio::test]
async fn token_failures_count_as_tries_and_not_as_calls() {
    let idp = Server::start([answer(500, "", ""), grant("t", 3600)]).await;
    let csp = Server::start([answer(503, "", "")]).await;
    let client = client(&csp.url(), &oauth2(&idp.url(), SECRET));
    let result = exchange(&client, &reading(&[]), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("503", 2));
}

#[tokio::test]
async fn the_client_secret_is_read_for_each_token_request() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("secret");
    let idp = Server::start([grant("t", 0)]).await;
    let csp = Server::start([answer(200, "", "")]).await;
    let source = format!("{{ file = '{}' }}", file.display());
    let client = client(&csp.url(), &oauth2(&idp.url(), &source));

    let result = exchange(&client, &reading(&[]), &RetryPolicy::ONCE).await;
    expect!["the client secret for CSP_A cannot be read (1 try)"]
        .assert_eq(&result.failure().message);
    for secret in ["old\n", "new"] {
        std::fs::write(&file, secret).unwrap();
        assert_eq!(exchange(&client, &reading(&[]), &THRICE).await.outcome(), "200");
    }
    let seen = idp.requests();
    assert!(seen[0].contains("Basic bWU6b2xk\r\n") && seen[1].contains("Basic bWU6bmV3\r\n"));
}

/// A writer that collects the log.
#[derive(Debug, Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn log_and_debug_output_contain_no_secret() {
    // With a single subscriber, `tracing` caches for all threads whether the
    // first thread wants a line. A second subscriber prevents that.
    let _second = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::new());
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .finish();
    let guard = tracing::subscriber::set_default(subscriber);

    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("secret"), "hunter2").unwrap();
    let source = format!("{{ file = '{}/secret' }}", dir.path().display());
    let idp = Server::start([answer(500, "", "hunter2"), grant("t0ken", 3600)]).await;
    let csp =
        Server::start([answer(401, "", "b0dy"), answer(503, "", "b0dy"), answer(200, "", "b0dy")])
            .await;
    let client = client(&csp.url(), &oauth2(&idp.url(), &source));
    let request = HttpRequest {
        query: vec![("q".into(), "qu3ry".into())],
        body: Some(b"b0dy".to_vec().into()),
        ..reading(&["a"])
    };
    let result = exchange(&client, &request, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("200", 3));
    drop(guard);

    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    for fact in ["csp=CSP_A", "path=\"/x\"", "status=503", "token-unavailable", "attempt=2"] {
        assert!(log.contains(fact), "{fact} in {log}");
    }
    let debug = format!("{client:?}");
    for secret in ["hunter2", "t0ken", "bWU6aHVudGVyMg", "qu3ry", "b0dy"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!debug.contains(secret), "{secret} in {debug}");
    }
}
