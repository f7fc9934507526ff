//! The results that count as an outage of a CSP, and the breaker that opens on
//! them.

use super::server::Act;
use super::server::ClosedPort;
use super::server::Server;
use super::server::answer;
use super::tokens::SECRET;
use super::tokens::oauth2;
use super::*;
use crate::BreakerPhase;

/// A breaker that opens when two jobs have failed, without a minimum time.
const QUICK: &str = "breaker = { failures = 2, over_ms = 0, open_ms = 50 }\n";

async fn exchange_of(job: &str, client: &Client) -> String {
    let context = Context { job, ..CONTEXT };
    client.exchange(&get("/x"), &context).await.outcome()
}

#[tokio::test]
async fn missing_responses_and_gateway_errors_count_as_outages() {
    for (act, failures) in [
        (answer(200, "", ""), 0),
        (answer(400, "", ""), 0),
        (answer(401, "", ""), 0),
        (answer(404, "", ""), 0),
        (answer(408, "", ""), 0),
        (answer(429, "", ""), 0),
        (answer(501, "", ""), 0),
        (answer(200, "", &"x".repeat(1025)), 0),
        (answer(500, "", ""), 0),
        (answer(502, "", ""), 1),
        (answer(503, "", ""), 1),
        (answer(503, "", &"x".repeat(1025)), 1),
        (answer(504, "", ""), 1),
        (answer(505, "", ""), 0),
        (Act::ResetUnread, 1),
        (Act::Hang(Vec::new()), 1),
        (Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n".to_vec()), 1),
    ] {
        let case = format!("{act:?}");
        let csp = Server::start([act]).await;
        let more = format!("{IMPATIENT}{QUICK}max_response_bytes = 1024");
        let client = client(&csp.url(), &more);
        exchange_of("job-1", &client).await;
        assert_eq!(client.breaker().status().failures, failures, "{case}");
    }
}

#[tokio::test]
async fn failed_connections_and_tokens_count_as_outages_and_refusals_do_not() {
    let closed = ClosedPort::bind();
    let nowhere = client(&closed.url(), QUICK);
    exchange_of("job-1", &nowhere).await;
    assert_eq!(nowhere.breaker().status().failures, 1);

    let csp = Server::start([answer(200, "", "")]).await;
    for (status, failures) in [(503, 1), (400, 0)] {
        let idp = Server::start([answer(status, "", "")]).await;
        let more = format!("{QUICK}{}", oauth2(&idp.url(), SECRET));
        let client = client(&csp.url(), &more);
        exchange_of("job-1", &client).await;
        assert_eq!(client.breaker().status().failures, failures, "{status}");
    }

    let client = client(&csp.url(), QUICK);
    let refused = exchange(&client, &get("/../x"), &THRICE).await;
    assert_eq!(refused.outcome(), "request-refused");
    assert_eq!(client.breaker().status().failures, 0);
}

#[tokio::test]
async fn a_second_failing_job_opens_the_breaker_and_waits_for_a_response() {
    let csp =
        Server::start(std::iter::repeat_n(answer(503, "", ""), 12).chain([answer(404, "", "")]))
            .await;
    let client = client(&csp.url(), QUICK);
    for _ in 0..3 {
        assert_eq!(exchange_of("job-1", &client).await, "503");
        assert_eq!(client.breaker().status().phase, BreakerPhase::Closed);
    }
    // Nine calls were made before. The tenth opens the breaker, and two failed
    // probes count as no tries.
    assert_eq!(exchange_of("job-2", &client).await, "404");
    assert_eq!(csp.calls(), 13);
    assert_eq!(client.breaker().status().phase, BreakerPhase::Closed);
}

#[tokio::test]
async fn an_origin_that_is_down_holds_back_no_call_to_another_one() {
    let csp = Server::start([answer(200, "", "")]).await;
    let down = ClosedPort::bind();
    let more = format!(
        "allowed_origins = ['{}']\nbreaker = {{ failures = 1, over_ms = 0, open_ms = 300000, \
         max_open_ms = 300000 }}",
        down.url()
    );
    let client = client(&csp.url(), &more);
    let location = Target::Location(format!("{}/jobs/1", down.url()));
    let poll = request(Method::Get, location);
    let context = Context { retry: &RetryPolicy::ONCE, is_poll: true, ..CONTEXT };
    let failed = client.exchange(&poll, &context).await;
    assert_eq!((failed.outcome().as_str(), failed.calls), ("connect", 1));
    assert!(!client.other_breakers()[0].1.status().allows_jobs());

    assert!(client.breaker().status().allows_jobs(), "the other origin is up");
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
    // A poll of the origin that is down waits for its next turn, not in hand.
    let held = client.exchange(&poll, &context).await;
    assert_eq!((held.outcome().as_str(), held.calls, held.url), ("connect", 0, None));
}

#[tokio::test]
async fn polls_are_received_while_any_origin_responds() {
    let status = Server::start([answer(200, "", "")]).await;
    let down = ClosedPort::bind();
    let more = format!(
        "allowed_origins = ['{}']\nbreaker = {{ failures = 1, over_ms = 0, open_ms = 300000, \
         max_open_ms = 300000 }}",
        status.url()
    );
    let client = client(&down.url(), &more);
    let context = Context { retry: &RetryPolicy::ONCE, is_poll: true, ..CONTEXT };
    let failed = client.exchange(&get("/x"), &context).await;
    assert_eq!((failed.outcome().as_str(), failed.calls), ("connect", 1));
    assert!(!client.breaker().status().allows_jobs());

    let (_, permit) = client.poll_permit().await;
    assert_eq!(permit.probe, None, "the other origin is up");
    let held = client.exchange(&get("/x"), &context).await;
    assert_eq!((held.outcome().as_str(), held.calls), ("connect", 0));
    let location = Target::Location(format!("{}/jobs/1", status.url()));
    let poll = client.exchange(&request(Method::Get, location), &context).await;
    assert_eq!((poll.outcome().as_str(), poll.calls), ("200", 1));
}
