//! Responses that come long after their requests: the connection is put aside
//! meanwhile.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::server::Act;
use super::server::End;
use super::server::Server;
use super::server::answer;
use super::server::bytes;
use super::*;
use hoth_core::domain::TransportCode;

/// Far above the time after which a call is slow in tests. Timers of one runtime
/// expire in their order, however busy the machine is.
const SLOW: Duration = Duration::from_millis(50);

/// Makes a call whose response begins with `first`, and ends with `end` when the
/// call has become slow. Returns the outcome and the body, and makes another
/// call. Returns the number of connections, too.
async fn slow_call(method: Method, first: &[u8], end: End) -> (String, usize) {
    let gate = Arc::new(Semaphore::new(0));
    let late = Act::Later(first.to_vec(), Arc::clone(&gate), end);
    let csp = Server::start([late, answer(200, "", "next")]).await;
    let client = client(&csp.url(), "");
    let post = HttpRequest {
        body: (method == Method::Post).then(|| b"{}".to_vec().into()),
        ..request(method, Target::Path("/x".into()))
    };
    let open = async {
        csp.reached(1).await;
        tokio::time::sleep(SLOW).await;
        gate.add_permits(1);
    };
    let (result, ()) = tokio::join!(exchange(&client, &post, &RetryPolicy::ONCE), open);
    let text = match &result.event {
        Event::Response(response) => {
            format!("{} {}", response.status, String::from_utf8_lossy(&response.body))
        }
        Event::TransportFailure(failure) => format!("{} {}", failure.code.as_str(), failure.sent),
        Event::Timer => unreachable!("an exchange ends with a response or a failure"),
    };
    let next = exchange(&client, &get("/x"), &RetryPolicy::ONCE).await;
    assert_eq!(next.response().body, b"next"[..]);
    let requests = csp.requests();
    assert_eq!(requests.len(), 2, "{requests:?}");
    (text, csp.connections())
}

#[tokio::test]
async fn a_late_response_is_read_wherever_it_was_cut() {
    let whole = [
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc",
    ];
    let whole = whole.concat().into_bytes();
    let calls = (0..whole.len()).map(async |cut| {
        let (first, rest) = whole.split_at(cut);
        let found = slow_call(Method::Post, first, End::Answer(rest.to_vec())).await;
        assert_eq!(found, ("200 abc".to_owned(), 1), "cut at {cut}");
    });
    futures_util::future::join_all(calls).await;
}

#[tokio::test]
async fn a_late_response_has_the_framing_of_its_request() {
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let large = "x".repeat(100_000);
    for (method, response, expected) in [
        (Method::Get, chunked.to_vec(), "200 abc"),
        (Method::Head, b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n".to_vec(), "200 "),
        (Method::Get, b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), "204 "),
        (Method::Put, bytes(200, "", &large), &format!("200 {large}")),
    ] {
        let found = slow_call(method, b"", End::Answer(response)).await;
        assert_eq!(found, (expected.to_owned(), 1));
    }
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec();
    let found = slow_call(Method::Get, b"", End::AnswerAndClose(until_close)).await;
    assert_eq!(found, ("200 abc".to_owned(), 2));
}

#[tokio::test]
async fn a_connection_that_fails_late_has_the_code_of_one_that_fails_at_once() {
    for (first, end, expected) in [
        (&b""[..], End::AnswerAndClose(Vec::new()), "reset true"),
        (b"", End::Reset, "reset true"),
        (b"HTTP/1.1 2", End::AnswerAndClose(Vec::new()), "reset true"),
        (b"", End::AnswerAndClose(b"220 mail.example.com\r\n".to_vec()), "truncated true"),
    ] {
        let found = slow_call(Method::Post, first, end).await;
        assert_eq!(found, (expected.to_owned(), 2));
    }
}

#[tokio::test]
async fn a_slow_call_ends_at_its_limit() {
    let csp = Server::start([Act::Hang(Vec::new())]).await;
    let client = client(&csp.url(), "timeout_ms = 200");
    let result = exchange(&client, &get("/x"), &RetryPolicy::ONCE).await;
    assert_eq!(result.failure().code, TransportCode::Timeout);
    csp.closed(1).await;
}
