//! The number of calls for a request, and its final result.

use h2::Reason;

use super::h2_server;
use super::h2_server::H2Server;
use super::server::Act;
use super::server::ClosedPort;
use super::server::Server;
use super::server::answer;
use super::tls_server::Authority;
use super::*;
use hoth_core::domain::JobEventKind;
use hoth_core::domain::RequestTried;
use hoth_core::domain::TransportCode;
use hoth_core::workflow::Finding;

/// Plays a script and compares the result and the number of calls.
async fn check<const N: usize>(script: [Act; N], retry: Retry, expected: (&str, u32)) {
    let hangs = script.iter().any(|act| matches!(act, Act::Hang(_)));
    let csp = Server::start(script).await;
    let request = HttpRequest { retry, ..get("/x") };
    let result =
        exchange(&client(&csp.url(), if hangs { IMPATIENT } else { "" }), &request, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), expected);
    assert_eq!(csp.calls() as u32, expected.1);
}

fn status(status: u16) -> Act {
    answer(status, "", "")
}

#[tokio::test]
async fn transient_failures_are_tried_three_times_in_all() {
    for code in [408, 425, 429, 500, 502, 503, 504] {
        check([status(code)], Retry::Safe, (&code.to_string(), 3)).await;
        check([status(code), status(200)], Retry::Safe, ("200", 2)).await;
    }
    check([status(503), status(429), status(201)], Retry::Safe, ("201", 3)).await;
    check([status(503), status(503), status(503), status(200)], Retry::Safe, ("503", 3)).await;
    check([status(503), status(404)], Retry::Safe, ("404", 2)).await;
    check([Act::ResetUnread, Act::Reset(Vec::new()), status(200)], Retry::Safe, ("200", 3)).await;
    check([Act::Hang(Vec::new()), status(200)], Retry::Safe, ("200", 2)).await;
    check([Act::Reset(Vec::new())], Retry::Safe, ("reset", 3)).await;
}

#[tokio::test]
async fn every_other_status_is_final() {
    for code in [200, 201, 202, 204, 301, 302, 307, 308, 400, 401, 402, 403, 404, 405, 409, 422] {
        check([status(code)], Retry::Safe, (&code.to_string(), 1)).await;
    }
}

#[tokio::test]
async fn a_request_that_is_not_idempotent_is_repeated_only_if_it_had_no_effect() {
    check([status(503), status(200)], Retry::Unsent, ("503", 1)).await;
    check([Act::Reset(Vec::new()), status(200)], Retry::Unsent, ("reset", 1)).await;
    check([Act::Hang(Vec::new()), status(200)], Retry::Unsent, ("timeout", 1)).await;
    check([status(429), status(200)], Retry::Unsent, ("200", 2)).await;
    let closed = ClosedPort::bind();
    let client = client(&closed.url(), "");
    let request = HttpRequest { retry: Retry::Unsent, ..get("/x") };
    assert_eq!(exchange(&client, &request, &THRICE).await.calls, 3);
}

#[tokio::test]
async fn a_request_that_is_never_repeated_is_called_once() {
    check([status(503), status(200)], Retry::Never, ("503", 1)).await;
    check([status(429), status(200)], Retry::Never, ("429", 1)).await;
    check([Act::ResetUnread, status(200)], Retry::Never, ("reset", 1)).await;
}

/// Plays `first` and then a response with 200, on HTTP/2. Only a request that
/// was not processed is repeated although it is not idempotent.
async fn check_http2(first: h2_server::Act, is_processed: bool) {
    let (dir, authority) = (tempfile::tempdir().unwrap(), Authority::new());
    let more = trusting(&authority, dir.path());
    for retry in [Retry::Safe, Retry::Unsent] {
        let script = vec![first.clone(), h2_server::Act::Answer];
        let csp = H2Server::start(&authority, script).await;
        let client = resolving("127.0.0.1", &csp.url(), &more);
        let request = HttpRequest { retry, ..get("/x") };
        let result = exchange(&client, &request, &THRICE).await;
        if retry == Retry::Safe || !is_processed {
            assert_eq!((result.outcome().as_str(), result.calls), ("200", 2), "{first:?}");
        } else {
            assert_eq!((result.failure().sent, result.calls), (true, 1), "{first:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_an_http2_server_did_not_process_is_repeated() {
    use h2_server::Act;
    for unprocessed in [
        Act::Reset(Reason::REFUSED_STREAM),
        Act::GoAway { last: 0, reason: Reason::NO_ERROR },
        Act::GoAway { last: 0, reason: Reason::ENHANCE_YOUR_CALM },
    ] {
        check_http2(unprocessed, false).await;
    }
    for processed in [
        Act::Reset(Reason::CANCEL),
        Act::Reset(Reason::INTERNAL_ERROR),
        // Not what a server may do: it has responded.
        Act::BeginAndReset(Reason::REFUSED_STREAM),
        Act::GoAway { last: 1, reason: Reason::NO_ERROR },
        Act::GoAway { last: 1, reason: Reason::INTERNAL_ERROR },
    ] {
        check_http2(processed, true).await;
    }
}

#[tokio::test]
async fn a_poll_is_made_once() {
    let csp = Server::start([status(503)]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &RetryPolicy::ONCE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("503", 1));
}

#[tokio::test]
async fn every_copy_of_a_request_is_the_same() {
    let csp = Server::start([status(503)]).await;
    let request = HttpRequest {
        body: Some(b"{}".to_vec().into()),
        ..request(Method::Put, Target::Path("/x".into()))
    };
    exchange(&client(&csp.url(), ""), &request, &THRICE).await;
    let seen = csp.requests();
    assert_eq!(seen.len(), 3);
    assert!(seen.iter().all(|copy| *copy == seen[0] && copy.contains("idempotency-key: job-1")));
}

#[tokio::test]
async fn the_last_response_survives_a_later_timeout() {
    let csp = Server::start([
        answer(503, "", "first"),
        answer(500, "retry-after: 0\r\n", "second"),
        Act::Hang(Vec::new()),
    ])
    .await;
    let result = exchange(&client(&csp.url(), IMPATIENT), &get("/x"), &THRICE).await;
    let failure = result.failure();
    assert_eq!((failure.code.as_str(), failure.sent, result.calls), ("timeout", true, 3));
    assert_eq!(failure.message, "CSP_A did not respond within 1000 ms (3 calls made)");
    let last = failure.last_response.as_ref().unwrap();
    assert_eq!((last.status, &last.body[..]), (500, &b"second"[..]));
    assert_eq!(result.retry_after, Some(Duration::ZERO));
}

#[tokio::test]
async fn retry_after_is_obeyed_and_passed_on() {
    let csp = Server::start([answer(503, "retry-after: 1\r\n", ""), status(200)]).await;
    let started_at = std::time::Instant::now();
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.retry_after), ("200", None));
    assert!(started_at.elapsed() >= Duration::from_secs(1));

    let csp = Server::start([answer(202, "retry-after: 120\r\n", "")]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!(result.retry_after, Some(Duration::from_secs(120)));
}

#[tokio::test]
async fn a_pause_that_is_longer_than_allowed_ends_the_exchange() {
    let csp = Server::start([answer(429, "retry-after: 11\r\n", "quota"), status(200)]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("429", 1));
    assert_eq!(result.finding, Some(Finding::AskedToWait(Duration::from_secs(11))));
    // A poll passes the pause on.
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &RetryPolicy::ONCE).await;
    assert_eq!(result.finding, None);
}

#[tokio::test]
async fn a_fraction_of_a_second_in_retry_after_is_obeyed() {
    let csp = Server::start([answer(503, "retry-after: 0.4\r\n", ""), status(200)]).await;
    let started_at = std::time::Instant::now();
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!(result.outcome(), "200");
    assert!(started_at.elapsed() >= Duration::from_millis(400));
}

#[tokio::test]
async fn a_backoff_uses_no_call_slot() {
    let csp = Server::start([answer(503, "retry-after: 3600\r\n", ""), status(200)]).await;
    let client = client(&csp.url(), "max_concurrent = 1");
    let patient = RetryPolicy { max_retry_after: Duration::from_secs(3600), ..THRICE };
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { exchange(&client, &get("/waits"), &patient).await }
    });
    csp.reached(1).await;
    assert_eq!(exchange(&client, &get("/goes"), &THRICE).await.outcome(), "200");
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test]
async fn every_try_is_an_event() {
    let csp = Server::start([answer(503, "retry-after: 0\r\n", ""), status(404)]).await;
    let request = HttpRequest { query: vec![("key".to_owned(), "v".to_owned())], ..get("/a/b") };
    let result = exchange(&client(&csp.url(), ""), &request, &THRICE).await;
    let tried = |event: &crate::ExchangeEvent| {
        let JobEventKind::RequestTried(tried) = &event.what else { panic!("{event:?}") };
        RequestTried::clone(tried)
    };
    let tries: Vec<_> = result.events.events.iter().map(tried).collect();
    let first = RequestTried {
        request: 1,
        attempt: 1,
        method: Method::Get,
        endpoint: None,
        origin: csp.url().trim_end_matches('/').into(),
        path: "/a/b".into(),
        status: Some(503),
        failure: None,
        retry_after_ms: Some(0),
        credential_refused: false,
        next_ms: tries[0].next_ms,
    };
    assert!(first.next_ms.is_some(), "it is repeated");
    let (status, attempt) = (Some(404), 2);
    let last =
        RequestTried { attempt, status, retry_after_ms: None, next_ms: None, ..first.clone() };
    assert_eq!(tries, [first, last]);
    let closed = ClosedPort::bind();
    let result = exchange(&client(&closed.url(), ""), &get("/x"), &RetryPolicy::ONCE).await;
    let refused = tried(&result.events.events[0]);
    assert_eq!((refused.status, refused.failure), (None, Some(TransportCode::Connect)));
}
