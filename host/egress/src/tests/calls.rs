//! One call: the request on the wire, the response, and the code of each failure.

use std::io::Read as _;
use std::io::Write as _;
use std::sync::Arc;

use expect_test::Expect;
use expect_test::expect;
use tokio::sync::Semaphore;

use bytes::Bytes;

use super::server;
use super::server::Act;
use super::server::ClosedPort;
use super::server::Server;
use super::server::answer;
use super::*;

#[tokio::test]
async fn the_csp_gets_the_request_of_the_adapter() {
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&format!("{}/atat/api/v1/", csp.url()), "");
    let request = HttpRequest {
        query: vec![("start_date".into(), "2026 01".into())],
        headers: vec![
            ("User-Agent".into(), "ATAT CSP Api Client".into()),
            ("Content-Type".into(), "application/json".into()),
        ],
        body: Some(b"{\"name\":\"x\"}".to_vec().into()),
        ..request(
            Method::Post,
            Target::Path("/portfolios/this%3Aneeds%2Fto%3Bbe%20encoded%2C".into()),
        )
    };
    let result = exchange(&client, &request, &THRICE).await;
    assert_eq!((result.response().status, result.calls), (200, 1));
    let url = "/atat/api/v1/portfolios/this%3Aneeds%2Fto%3Bbe%20encoded%2C?start_date=2026%2001";
    assert_eq!(result.response().url, format!("{}{url}", csp.url()));
    assert_eq!(result.response().tries, 1);
    let seen = csp.requests().concat().replace(&csp.url()["http://".len()..], "HOST");
    expect![[r#"
        POST /atat/api/v1/portfolios/this%3Aneeds%2Fto%3Bbe%20encoded%2C?start_date=2026%2001 HTTP/1.1
        user-agent: ATAT CSP Api Client
        content-type: application/json
        accept: application/json
        accept-encoding: identity
        idempotency-key: job-1
        host: HOST
        content-length: 12

        {"name":"x"}"#]]
    .assert_eq(&seen.replace('\r', ""));
}

#[tokio::test]
async fn a_get_carries_no_idempotency_key_and_no_body() {
    let csp = Server::start([answer(200, "", "")]).await;
    exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    let seen = csp.requests().concat().replace(&csp.url()["http://".len()..], "HOST");
    expect![[r#"
        GET /x HTTP/1.1
        accept: application/json
        user-agent: hoth/0.1.0
        accept-encoding: identity
        host: HOST

    "#]]
    .assert_eq(&seen.replace('\r', ""));
}

#[tokio::test]
async fn the_adapter_gets_the_response_of_the_csp() {
    let mut raw = b"HTTP/1.1 418 I'm a teapot\r\nX-One: 1\r\nx-one: 2\r\nx-bad: \xff\r\nX-Utf8: \xc3\xbc\r\ncontent-length: 3\r\n\r\n".to_vec();
    raw.extend_from_slice(b"\x00\xffx");
    let csp = Server::start([Act::Answer(raw)]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    let response = result.response();
    let headers: Vec<_> =
        response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    assert_eq!(response.status, 418);
    assert_eq!(headers, ["x-one: 1", "x-one: 2", "x-utf8: ü", "content-length: 3"]);
    assert_eq!(&response.body[..], b"\x00\xffx");
    assert_eq!(result.url.unwrap().as_str(), format!("{}/x", csp.url()));
}

#[tokio::test]
async fn the_announced_body_of_a_head_response_is_not_read() {
    let raw = b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n".to_vec();
    let csp = Server::start([Act::Answer(raw)]).await;
    let head = request(Method::Head, Target::Path("/x".into()));
    let result = exchange(&client(&csp.url(), ""), &head, &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.response().body.len()), ("200", 0));
}

async fn check(act: Act, expected: &Expect) {
    check_with("", act, expected).await;
}

async fn check_with(more: &str, act: Act, expected: &Expect) {
    let csp = Server::start([act]).await;
    let client = client(&csp.url(), &format!("{more}max_response_bytes = 1024"));
    let result = exchange(&client, &get("/x"), &RetryPolicy::ONCE).await;
    let text = match &result.event {
        Event::Response(response) => format!("{} {:?}", response.status, response.body),
        Event::TransportFailure(failure) => {
            format!("{} sent={} {}", failure.code.as_str(), failure.sent, failure.message)
        }
        Event::Timer => unreachable!("an exchange ends with a response or a failure"),
    };
    expected.assert_eq(&text);
}

#[tokio::test]
async fn a_connection_closed_before_the_response_is_a_reset() {
    let reset =
        expect!["reset sent=true CSP_A closed the connection without a response (1 call made)"];
    check(Act::ResetUnread, &reset).await;
    check(Act::Reset(b"".to_vec()), &reset).await;
    check(Act::AnswerAndClose(b"".to_vec()), &reset).await;
    check(Act::AnswerAndClose(b"HTTP/1.1 200 OK\r\ncont".to_vec()), &reset).await;
}

#[tokio::test]
async fn a_response_that_ends_early_is_truncated() {
    let truncated = expect!["truncated sent=true the response of CSP_A ended early (1 call made)"];
    let short = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_vec();
    check(Act::AnswerAndClose(short), &truncated).await;
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n".to_vec();
    check(Act::AnswerAndClose(chunked), &truncated).await;
    let bad_chunk = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n".to_vec();
    check(Act::AnswerAndClose(bad_chunk), &truncated).await;
    check(
        Act::AnswerAndClose(b"220 mail.example.com ESMTP\r\n".to_vec()),
        &expect!["truncated sent=true the response of CSP_A is not valid HTTP (1 call made)"],
    )
    .await;
}

#[tokio::test]
async fn a_server_error_that_ends_early_keeps_its_status() {
    let check = async |head: &str, expected: &str| {
        let short = format!("HTTP/1.1 {head}\r\ncontent-length: 9\r\n\r\nabc");
        let csp = Server::start([Act::AnswerAndClose(short.into())]).await;
        let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
        let Event::TransportFailure(failure) = &result.event else {
            panic!("not a failure: {:?}", result.event)
        };
        let last = failure.last_response.as_ref().map(|last| last.status);
        assert_eq!(format!("{} {} {last:?}", result.calls, failure.code), expected, "{head}");
    };
    check("503 x", "3 truncated Some(503)").await;
    check("599 x", "3 truncated Some(599)").await;
    // Any other response is useless without its body.
    check("200 x", "3 truncated None").await;
    check("404 x", "3 truncated None").await;
    check("429 x", "3 truncated None").await;
}

#[tokio::test]
async fn bytes_beyond_the_announced_length_are_not_read() {
    let long = b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdefghijklmnop".to_vec();
    check(Act::AnswerAndClose(long), &expect![[r#"200 b"abc""#]]).await;
    let until_close = b"HTTP/1.1 200 OK\r\n\r\nabc".to_vec();
    check(Act::AnswerAndClose(until_close), &expect![[r#"200 b"abc""#]]).await;
}

#[tokio::test]
async fn a_peer_that_sends_nothing_more_is_a_timeout() {
    let late = expect!["timeout sent=true CSP_A did not respond within 1000 ms (1 call made)"];
    let silences = [
        Act::Hang(b"".to_vec()),
        Act::Hang(b"HTTP/1.1 200 OK\r\n".to_vec()),
        Act::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\na".to_vec()),
        // A header that never ends.
        Act::Drip(b"HTTP/1.1 200 OK\r\nx: ".to_vec()),
    ];
    // All at once, because each takes a whole timeout.
    let checks = silences.map(|act| check_with(IMPATIENT, act, &late));
    futures_util::future::join_all(checks).await;
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_too_large() {
    let large = expect![
        "too-large sent=true CSP_A sent a body of more than 1024 bytes (`max_response_bytes`)"
    ];
    check(Act::Answer(server::bytes(200, "", "0123456789")), &expect![[r#"200 b"0123456789""#]])
        .await;
    let more = "x".repeat(1025);
    check(Act::Answer(server::bytes(200, "", &more)), &large).await;
    check(Act::Answer(server::bytes(503, "", &more)), &large).await;
    // The announced length is enough: the bytes are not awaited.
    check(Act::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec()), &large)
        .await;
    let chunked =
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n401\r\n{more}\r\n0\r\n\r\n");
    check(Act::Answer(chunked.into()), &large).await;
    check(Act::Drip(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()), &large).await;
}

#[tokio::test]
async fn a_header_beyond_the_bound_is_too_large() {
    let large =
        expect!["too-large sent=true CSP_A sent a header of more than 65536 bytes or 512 fields"];
    let one = format!("HTTP/1.1 200 OK\r\nx: {}\r\ncontent-length: 0\r\n\r\n", "x".repeat(65_536));
    check(Act::Answer(one.into()), &large).await;
    let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1_000_000));
    check(Act::Answer(endless.into()), &large).await;
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(1_000));
    check(Act::Answer(many.into()), &large).await;
}

#[tokio::test]
async fn a_byte_order_mark_before_json_is_ignored() {
    for (body, expected) in [
        ("\u{feff}{}", "{}"),
        ("\u{feff} [1]", " [1]"),
        ("\u{feff}text", "\u{feff}text"),
        ("{}\u{feff}", "{}\u{feff}"),
    ] {
        let csp = Server::start([answer(200, "", body)]).await;
        let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
        assert_eq!(result.response().body, expected, "{body:?}");
    }
}

/// Returns a response whose body is `text` in gzip.
fn zipped(coding: &str, text: &[u8]) -> Act {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, text).unwrap();
    let body = encoder.finish().unwrap();
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {length}\r\n\r\n"
    );
    Act::Answer([head.as_bytes(), &body].concat())
}

#[tokio::test]
async fn a_response_in_gzip_is_decoded_within_the_bound() {
    for coding in ["gzip", "x-gzip"] {
        let csp = Server::start([zipped(coding, br#"{"id": 1}"#)]).await;
        let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
        let response = result.response();
        assert_eq!((response.body.as_ref(), response.headers.len()), (&br#"{"id": 1}"#[..], 0));
        assert!(csp.requests()[0].contains("accept-encoding: identity\r\n"));
    }
    // Some kilobytes that hold ten megabytes.
    let csp = Server::start([zipped("gzip", &vec![b' '; 10_000_000])]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.calls), ("too-large", 1));
}

#[tokio::test]
async fn a_content_coding_that_cannot_be_decoded_is_named_and_not_repeated() {
    let csp = Server::start([zipped("br", b"x")]).await;
    let client = client(&csp.url(), "breaker = { failures = 1, over_ms = 0 }");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    assert_eq!(
        (result.failure().message.as_str(), result.calls),
        (
            "CSP_A sent a body that has the content coding `br`, although the request allows \
             `identity` only (1 call made)",
            1
        )
    );
    assert!(client.breaker().status().allows_jobs(), "the CSP is up");
}

#[tokio::test]
async fn a_response_may_have_hundreds_of_header_fields() {
    let many = format!("HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n", "a: b\r\n".repeat(500));
    let csp = Server::start([Act::Answer(many.into())]).await;
    let result = exchange(&client(&csp.url(), ""), &get("/x"), &THRICE).await;
    assert_eq!(result.response().headers.len(), 501);
}

#[tokio::test]
async fn the_status_of_a_response_that_is_too_large_decides_on_a_retry() {
    let check = async |answers: Vec<Act>, expected: &str| {
        let csp = Server::start(answers).await;
        let client = client(&csp.url(), "max_response_bytes = 1024");
        let result = exchange(&client, &get("/x"), &THRICE).await;
        let last = match &result.event {
            Event::Response(response) => format!("{}", response.status),
            Event::TransportFailure(failure) => {
                let last = failure.last_response.as_ref().map(|last| (last.status, &*last.body));
                format!("{} {last:?}", failure.code)
            }
            Event::Timer => unreachable!("an exchange ends with a response or a failure"),
        };
        assert_eq!(format!("{} calls: {last}", result.calls), expected);
    };
    let large = |status| answer(status, "", &"x".repeat(1025));
    check(vec![large(200)], "1 calls: too-large Some((200, []))").await;
    check(vec![large(403)], "1 calls: too-large Some((403, []))").await;
    check(vec![large(503), answer(200, "", "x")], "2 calls: 200").await;
    check(vec![answer(503, "", "x"), large(503)], "3 calls: too-large Some((503, []))").await;
}

#[tokio::test]
async fn a_refused_connection_is_unsent() {
    let closed = ClosedPort::bind();
    let client = client(&closed.url(), "");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    let failure = result.failure();
    expect!["cannot connect to CSP_A: connection refused (3 calls made)"]
        .assert_eq(&failure.message);
    assert_eq!((failure.code.as_str(), failure.sent, result.calls), ("connect", false, 3));
    assert!(failure.last_response.is_none());
}

#[tokio::test]
async fn a_connection_that_times_out_is_unsent() {
    // The kernel accepts the connection, but the TLS handshake gets no reply.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base_url = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let client = client(&base_url, "connect_timeout_ms = 50");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    let failure = result.failure();
    expect!["cannot connect to CSP_A: timed out (`connect_timeout_ms`) (3 calls made)"]
        .assert_eq(&failure.message);
    assert_eq!((failure.code.as_str(), failure.sent), ("connect", false));
}

#[tokio::test]
async fn a_name_with_a_private_address_is_not_called() {
    let csp = Server::start([answer(200, "", "")]).await;
    let base_url = csp.url().replace("http://127.0.0.1", "https://csp-a.example.com");
    let client = resolving("127.0.0.1", &base_url, "");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    expect!["CSP_A cannot be called: `csp-a.example.com` resolves to 127.0.0.1, which is private and not in `private_networks`"]
        .assert_eq(&result.failure().message);
    assert_eq!((result.outcome().as_str(), result.failure().sent), ("origin-refused", false));
    assert_eq!((result.calls, csp.connections()), (1, 0));
}

#[tokio::test]
async fn an_allowed_private_network_is_called_over_tls_only() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let base_url = format!("https://csp-a.example.com:{port}");
    std::thread::spawn(move || {
        let (mut socket, _) = listener.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]);
        let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let client = resolving("127.0.0.1", &base_url, "private_networks = ['127.0.0.0/8']");
    let result = exchange(&client, &get("/x"), &THRICE).await;
    assert_eq!((result.outcome().as_str(), result.failure().sent), ("tls", false));
    assert_eq!(result.calls, 1);
}

#[tokio::test]
async fn localhost_needs_no_private_networks_setting() {
    let csp = Server::start([answer(200, "", "")]).await;
    let base_url = csp.url().replace("127.0.0.1", "localhost");
    let result = exchange(&client(&base_url, ""), &get("/x"), &THRICE).await;
    assert_eq!(result.outcome(), "200");
}

#[tokio::test]
async fn a_request_that_breaks_the_rules_is_not_sent() {
    let csp = Server::start([answer(200, "", "")]).await;
    let client = client(&csp.url(), "");
    let header = |name: &str, value: &str| HttpRequest {
        headers: vec![(name.into(), value.into())],
        ..get("/x")
    };
    let cases = [
        (get("/../admin"), "its path has a dot segment"),
        (get("https://evil.example/"), "its path does not begin with `/`"),
        (header("Host", "evil.example"), "the header `host` is reserved for the host"),
        (
            header("Authorization", "Bearer x"),
            "the header `authorization` is reserved for the host",
        ),
        (header("x", "a\r\nb: c"), "the header `x` has an invalid value"),
        (
            HttpRequest { credential: named("other"), ..get("/x") },
            "it asks for the credential \"other\", and there is no `[csp.CSP_A.credentials.other]`",
        ),
        (
            HttpRequest { body: Some(vec![0; 1024 * 1024 + 1].into()), ..get("/x") },
            "its body has more than 1048576 bytes",
        ),
        (
            HttpRequest { scopes: vec!["x".repeat(4097)], ..get("/x") },
            "its scopes have more than 4096 bytes",
        ),
    ];
    for (request, reason) in cases {
        let result = exchange(&client, &request, &THRICE).await;
        let failure = result.failure();
        assert_eq!(failure.message, format!("HOTH refused the request to CSP_A: {reason}"));
        assert_eq!((failure.code.as_str(), failure.sent), ("request-refused", false));
        assert!(result.calls == 0 && result.url.is_none());
    }
    assert_eq!(csp.connections(), 0);
}

#[tokio::test]
async fn concurrent_calls_are_bounded() {
    let gate = Arc::new(Semaphore::new(0));
    let csp = Server::start([Act::Gated(Arc::clone(&gate), server::bytes(200, "", ""))]).await;
    let client = client(&csp.url(), "max_concurrent = 2");
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { exchange(&client, &get("/x"), &THRICE).await.outcome() })
        })
        .collect();
    for started in 2..=6 {
        csp.reached(started).await;
        gate.add_permits(1);
    }
    gate.add_permits(1);
    for call in calls {
        assert_eq!(call.await.unwrap(), "200");
    }
    assert_eq!(csp.in_flight_max(), 2);
}

#[tokio::test]
async fn a_dropped_call_frees_its_slot() {
    let csp = Server::start([Act::Hang(b"".to_vec()), answer(200, "", "")]).await;
    let client = client(&csp.url(), "max_concurrent = 1");
    let request = get("/x");
    tokio::select! {
        result = exchange(&client, &request, &THRICE) => panic!("{result:?}"),
        () = csp.reached(1) => {}
    }
    assert_eq!(exchange(&client, &get("/x"), &THRICE).await.outcome(), "200");
}

/// Returns the head of the request with this body, and the calls that were made.
async fn head_of(method: Method, body: Option<&'static [u8]>, more: &str) -> String {
    let csp = Server::start([answer(200, "", "")]).await;
    let body = body.map(Bytes::from_static);
    let request = HttpRequest { body, ..request(method, Target::Path("/x".into())) };
    let result = exchange(&client(&csp.url(), more), &request, &THRICE).await;
    assert_eq!(result.outcome(), "200");
    csp.requests().remove(0).to_ascii_lowercase()
}

#[tokio::test]
async fn an_empty_body_differs_from_none() {
    for method in [Method::Post, Method::Put, Method::Patch, Method::Delete, Method::Get] {
        let empty = head_of(method, Some(b""), "").await;
        assert!(empty.contains("content-length: 0\r\n"), "{method:?}: {empty}");
        let none = head_of(method, None, "").await;
        assert!(!none.contains("content-length"), "{method:?}: {none}");
        assert!(!none.contains("transfer-encoding"), "{method:?}: {none}");
    }
}

#[tokio::test]
async fn the_idempotency_key_can_be_switched_off() {
    let with = head_of(Method::Post, None, "").await;
    assert!(with.contains("idempotency-key: job-1\r\n"), "{with}");
    let without = head_of(Method::Post, None, "headers.idempotency_key = false").await;
    assert!(!without.contains("idempotency-key"), "{without}");
}
