//! Broken and malicious clients, and regular clients beside them.

use std::sync::Mutex;
use std::time::Duration;
use std::time::Instant;

use reqwest::Method;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use crate::csp;
use crate::harness::PATIENCE;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::eventually;
use crate::harness::job;

async fn host(environment: &[(&str, &str)]) -> (TestHost, mock_csp::MockCsp) {
    let csp = csp::sync().await;
    let setup = Setup::new().csp("CSP_TEST", &csp);
    let setup =
        environment.iter().fold(setup, |setup, (name, value)| setup.environment(name, value));
    (setup.start().await, csp)
}

async fn connect(host: &TestHost) -> TcpStream {
    let address = host.api().trim_start_matches("http://").to_owned();
    TcpStream::connect(address).await.expect("the host accepts connections")
}

/// The time to wait for more answers than expected.
const MOMENT: Duration = Duration::from_millis(300);

/// Sends these bytes, and reads the answer until the host closes the connection
/// or sends nothing for a while.
async fn exchange(host: &TestHost, bytes: &[u8]) -> String {
    exchange_many(host, bytes, 1).await
}

/// Sends these bytes, and reads `answers` answers in the same way.
async fn exchange_many(host: &TestHost, bytes: &[u8], answers: usize) -> String {
    let mut stream = connect(host).await;
    // The host may close the connection before it has read everything.
    let _ = stream.write_all(bytes).await;
    read(&mut stream, answers).await
}

/// Waits for `answers` whole answers, however long they take, and then a moment
/// for more.
pub async fn read(stream: &mut TcpStream, answers: usize) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 4 * 1_024];
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        let patience = if whole_answers(&text) < answers { PATIENCE } else { MOMENT };
        match tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) | Err(_) => return text,
            Ok(Ok(count)) => answer.extend_from_slice(&buffer[..count]),
        }
    }
}

/// Counts the answers that have arrived with their whole bodies.
fn whole_answers(mut answer: &str) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = answer.split_once("\r\n\r\n") {
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().expect("a number"));
        let Some(rest) = rest.get(length..) else { break };
        (answer, count) = (rest, count + 1);
    }
    count
}

/// Returns the status of every answer in the text.
fn statuses(answer: &str) -> Vec<u16> {
    let starts = answer.match_indices("HTTP/1.1 ").map(|(at, prefix)| at + prefix.len());
    starts.map(|at| answer[at..at + 3].parse().expect("a status")).collect()
}

fn post(headers: &str, body: &str) -> String {
    format!(
        "POST /cost-jobs HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{headers}\r\n{body}"
    )
}

#[tokio::test]
async fn malformed_http_is_refused_and_the_connection_closed() {
    let (host, csp) = host(&[]).await;
    let body = cost("r-1", "CSP_TEST").to_string();
    let length = body.len();
    let chunked = format!("{length:x}\r\n{body}\r\n0\r\n\r\n");
    let long_header = format!("x-long: {}\r\n", "x".repeat(64 * 1_024));
    let many_headers: String = (0..100).map(|n| format!("x-{n}: y\r\n")).collect();
    let get = |rest: &str| format!("GET /cost-jobs HTTP/1.1\r\nhost: localhost\r\n{rest}\r\n");
    for (what, request, status) in [
        ("no request", "hello\r\n\r\n".to_owned(), 400),
        ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned(), 400),
        ("a space before the colon", get("x-a : b\r\n"), 400),
        ("a folded header", get("x-a: b\r\n c\r\n"), 400),
        ("a header with a zero byte", get("x-a: b\0c\r\n"), 400),
        ("two lengths", post("content-length: 5\r\ncontent-length: 6\r\n", "hello"), 400),
        ("a negative length", post("content-length: -1\r\n", ""), 400),
        ("a length that is none", post("content-length: 0x10\r\n", ""), 400),
        ("an endless length", post("content-length: 99999999999999999999\r\n", ""), 400),
        ("another coding", post("transfer-encoding: gzip\r\n", ""), 400),
        ("chunked before another", post("transfer-encoding: chunked, gzip\r\n", &chunked), 400),
        ("a chunk size that is none", post("transfer-encoding: chunked\r\n", "xyz\r\n"), 400),
        (
            "an endless chunk size",
            post("transfer-encoding: chunked\r\n", "fffffffffffffffff\r\n"),
            400,
        ),
        ("a long header", get(&long_header), 431),
        ("many headers", get(&many_headers), 431),
        ("a long path", format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(70_000)), 431),
    ] {
        let answer = exchange(&host, request.as_bytes()).await;
        let statuses = statuses(&answer);
        assert_eq!(statuses, [status], "{what}: {answer}");
        assert!(!answer.contains("\"requestId\""), "{what} was accepted");
    }
    let one = "transfer-encoding: chunked\r\n";
    for (what, request) in [
        ("no host", "GET /cost-jobs HTTP/1.1\r\n\r\n".to_owned()),
        ("two hosts", get("host: other\r\n")),
        ("two codings", post(&format!("{one}{one}"), &chunked)),
    ] {
        let answer = exchange(&host, request.as_bytes()).await;
        assert_eq!(statuses(&answer), [400], "{what}: {answer}");
        assert!(answer.contains("connection: close"), "{what}: {answer}");
    }
    let older = exchange(&host, b"GET /cost-jobs HTTP/1.0\r\n\r\n").await;
    assert!(older.starts_with("HTTP/1.0 200 "), "{older}");
    // A client that speaks HTTP/2 would not understand an answer.
    assert_eq!(exchange(&host, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await, "");
    // RFC 9112 section 6.1: the coding counts, and the connection ends, so that
    // no request can hide behind the body.
    let both = "content-length: 5\r\ntransfer-encoding: chunked\r\n";
    let smuggled = format!("{}{}", post(both, &chunked), get(""));
    let answer = exchange(&host, smuggled.as_bytes()).await;
    assert_eq!(statuses(&answer), [202], "{answer}");
    host.settled().await;
    assert_eq!(csp::calls(&csp).len(), 1, "only that one was accepted");
    host.servicenow().cost_outcome().await;
}

#[tokio::test]
async fn malformed_bodies_are_refused() {
    let (host, csp) = host(&[]).await;
    let good = cost("r-1", "CSP_TEST").to_string();
    let twice = good.replacen('{', "{\"requestId\": \"r-0\", ", 1);
    let deep = good.replacen('{', &format!("{{\"x\": {}{}, ", "[".repeat(64), "]".repeat(64)), 1);
    let deeper = format!("{}{}", "[".repeat(60_000), "]".repeat(60_000));
    let escaped = good.replacen("r-1", "r-\\ud800", 1);
    let zero = good.replacen("r-1", "r-\\u0000", 1);
    let mut invalid = good.clone().into_bytes();
    let at = good.find("r-1").expect("it is there");
    invalid[at] = 0xff;
    for (what, body, status) in [
        ("a key that is there twice", twice.as_bytes(), 400),
        ("deep nesting", deep.as_bytes(), 400),
        ("very deep nesting", deeper.as_bytes(), 400),
        ("half a character", escaped.as_bytes(), 400),
        ("a control character in an id", zero.as_bytes(), 400),
        ("bytes that are no text", &invalid, 400),
        ("more than the body", format!("{good}{good}").as_bytes(), 400),
        ("too much", "x".repeat(129 * 1_024).as_bytes(), 413),
    ] {
        let length = format!("content-length: {}\r\n", body.len());
        let request = [post(&length, "").as_bytes(), body].concat();
        let answer = exchange(&host, &request).await;
        assert_eq!(statuses(&answer), [status], "{what}: {answer}");
    }
    // The same body without an announced length.
    let endless = format!("{:x}\r\n{}\r\n", 200 * 1_024, "x".repeat(200 * 1_024));
    let answer = exchange(&host, post("transfer-encoding: chunked\r\n", &endless).as_bytes()).await;
    assert_eq!(statuses(&answer), [413], "{answer}");
    assert_eq!(csp::calls(&csp).len(), 0);
}

#[tokio::test]
async fn paths_and_queries_are_taken_literally() {
    let (host, _csp) = host(&[]).await;
    let snow = host.servicenow();
    for (method, path, status) in [
        (Method::GET, "/provisioning-jobs/", 404),
        (Method::GET, "//provisioning-jobs", 404),
        (Method::GET, "/provisioning%2Djobs", 404),
        (Method::GET, "/Provisioning-Jobs", 404),
        (Method::GET, "/provisioning-jobs/ack", 405),
        (Method::GET, "/provisioning-jobs?wait=0&wait=0", 400),
        (Method::GET, "/provisioning-jobs?lease=60&lease=60", 400),
        (Method::GET, "/provisioning-jobs?wait=20.5", 400),
        (Method::GET, "/provisioning-jobs?wait=", 400),
        (Method::GET, "/provisioning-jobs?wait=21", 400),
        (Method::GET, "/provisioning-jobs?lease=0", 400),
        (Method::GET, "/provisioning-jobs?lease=43201", 400),
        (Method::GET, "/provisioning-jobs?lease=-1", 400),
        (Method::GET, "/provisioning-jobs?lease=99999999999999999999", 400),
        (Method::GET, "/provisioning-jobs?lease=60&ack=guess", 400),
        (Method::GET, "/provisioning-jobs?ack=guess", 400),
        (Method::GET, "/provisioning-jobs?colour=red", 400),
        (Method::GET, "/provisioning-jobs?%77ait=0", 200),
        (Method::GET, "/provisioning-jobs?lease=43200&wait=0", 200),
        (Method::OPTIONS, "/provisioning-jobs?wait=99", 200),
        (Method::OPTIONS, "/provisioning-jobs/ack", 200),
        (Method::TRACE, "/provisioning-jobs", 405),
    ] {
        let answer = snow.send(method.clone(), path, None).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text);
        assert_eq!(answer.status == 405, answer.headers.contains_key("allow"), "{path}");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_one_after_the_other() {
    let (host, _csp) = host(&[]).await;
    let mut requests = String::new();
    for n in 0..5 {
        let body = cost(&format!("r-{n}"), "CSP_TEST").to_string();
        requests += &post(&format!("content-length: {}\r\n", body.len()), &body);
    }
    let answer = exchange_many(&host, requests.as_bytes(), 5).await;
    assert_eq!(statuses(&answer), [202; 5], "{answer}");
    let order: Vec<usize> =
        (0..5).map(|n| answer.find(&format!("r-{n}")).expect("it is answered")).collect();
    assert!(order.is_sorted(), "{answer}");
    host.settled().await;
    // Two at once: the second does not get the messages that the first
    // consumed.
    let get = "GET /cost-jobs HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(2);
    let answer = exchange_many(&host, get.as_bytes(), 2).await;
    assert_eq!(statuses(&answer), [200, 200], "{answer}");
    assert_eq!(answer.matches("\"requestId\"").count(), 5, "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_refused_in_time() {
    let (host, csp) = host(&[("HOTH__API__BODY_TIMEOUT_MS", "500")]).await;
    let body = cost("r-1", "CSP_TEST").to_string();
    let mut stream = connect(&host).await;
    let head = post(&format!("content-length: {}\r\n", body.len()), "");
    stream.write_all(head.as_bytes()).await.expect("the head is taken");
    let started_at = Instant::now();
    for byte in body.as_bytes() {
        // The whole body would take 20 s and more.
        if stream.write_all(&[*byte]).await.is_err() || started_at.elapsed() > PATIENCE {
            break;
        }
        let answered = tokio::time::timeout(Duration::from_millis(200), stream.readable()).await;
        if answered.is_ok() {
            break;
        }
    }
    let answer = read(&mut stream, 1).await;
    assert_eq!(statuses(&answer), [408], "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    assert_eq!(csp::calls(&csp).len(), 0);
}

#[tokio::test]
async fn a_client_that_does_not_read_is_disconnected_and_loses_no_message() {
    let large = "x".repeat(900 * 1_024);
    let csp = csp::scripted([csp::Answer::json(200, &json!({"id": large}))]).await;
    let host = Setup::new()
        .csp_with("CSP_TEST", &csp, "max_response_bytes = 1000000")
        // Enough for a client that reads, on a busy machine as well.
        .environment("HOTH__LIMITS__SEND_TIMEOUT_MS", "5000")
        .environment("HOTH__API__MAX_BATCH_BYTES", "16777216")
        .start()
        .await;
    let snow = host.servicenow();
    for n in 0..10 {
        snow.provision(&job(&format!("job-{n}"), "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    host.settled().await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1_024).expect("a small window");
    let address = host.api().trim_start_matches("http://").parse().expect("an address");
    let mut lazy = socket.connect(address).await.expect("the host accepts connections");
    let get = b"GET /provisioning-jobs HTTP/1.1\r\nhost: localhost\r\n\r\n";
    lazy.write_all(get).await.expect("the request is taken");
    eventually("the host to begin its answer", || async {
        (lazy.peek(&mut [0]).await.expect("it is open") > 0).then_some(())
    })
    .await;
    // Each lease ends by itself, so the messages need not come back together.
    let messages = Mutex::new(Vec::new());
    eventually("the messages to come back", || async {
        let more = snow.collect("/provisioning-jobs").await;
        let mut messages = messages.lock().expect("no test panics meanwhile");
        messages.extend(more);
        (messages.len() >= 10).then_some(())
    })
    .await;
    let messages = messages.into_inner().expect("no test panics meanwhile");
    assert_eq!(messages.len(), 10);
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0, "each of them once");
    let mut rest = Vec::new();
    let read = tokio::time::timeout(PATIENCE, lazy.read_to_end(&mut rest)).await;
    read.expect("the connection has ended").ok();
    assert!(rest.len() < 9 * 1_024 * 1_024, "the lazy client has it all");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let (host, _csp) = host(&[("HOTH__LIMITS__HEAD_TIMEOUT_MS", "3000")]).await;
    let mut stream = connect(&host).await;
    for _ in 0..3 {
        let get = b"GET /cost-jobs HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(get).await.expect("the connection is kept");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n[]") {
            answer.push(stream.read_u8().await.expect("the connection is kept"));
        }
    }
    let ended = tokio::time::timeout(PATIENCE, stream.read(&mut [0])).await;
    assert_eq!(ended.expect("it ends").expect("it ends well"), 0);
}

#[tokio::test]
async fn a_client_above_the_rate_limit_is_told_when_to_retry() {
    let (host, _csp) =
        host(&[("HOTH__LIMITS__REQUESTS_PER_SECOND", "1"), ("HOTH__LIMITS__BURST", "5")]).await;
    let snow = host.servicenow();
    // The slower the machine is, the more are let through meanwhile.
    let refused = eventually("a refusal", || async {
        let together = (0..20).map(|_| snow.send(Method::GET, "/cost-jobs", None));
        let answers = futures_util::future::join_all(together).await;
        answers.into_iter().find(|answer| answer.status != 200)
    })
    .await;
    assert_eq!((refused.status, &refused.json()["code"]), (429, &json!("OTHER")));
    assert_eq!(refused.headers["retry-after"], "1");
    // Operators are not counted.
    host.admin_json("/queues").await;
    eventually("its next turn", || async {
        let answer = snow.send(Method::GET, "/cost-jobs", None).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_rate_limit_of_one_key_does_not_affect_other_keys() {
    let key = |name: &str, role: &str| {
        let sha256 = hoth_core::domain::Digest::of(name.as_bytes());
        format!("[[auth.bearer]]\nname = \"{name}\"\nrole = \"{role}\"\nsha256 = \"{sha256}\"\n")
    };
    let keys = [key("greedy", "write"), key("modest", "write"), key("operator", "admin")];
    let csp = csp::sync().await;
    let host = Setup::new()
        .csp("CSP_TEST", &csp)
        .with(&keys.concat())
        .admin_token("operator")
        .environment("HOTH__LIMITS__REQUESTS_PER_SECOND", "1")
        .environment("HOTH__LIMITS__BURST", "3")
        .start()
        .await;
    let ask = async |token: Option<&str>| {
        let caller = crate::harness::ServiceNow::at(crate::harness::client(), host.api(), token);
        caller.send(Method::GET, "/cost-jobs", None).await.status
    };
    eventually("a refusal", || async {
        let together = (0..10).map(|_| ask(Some("greedy")));
        let statuses = futures_util::future::join_all(together).await;
        statuses.contains(&429).then_some(())
    })
    .await;
    assert_eq!(ask(Some("modest")).await, 200);
    // An unknown client learns no more than that.
    assert_eq!(ask(None).await, 401);
}

/// Opens more connections than the host takes, as far as this process may have
/// so many: each one idle, or with half a head.
#[tokio::test]
async fn ten_thousand_idle_connections_do_not_block_requests() {
    let limit = hoth_platform::descriptors::raise_limit();
    let wanted = usize::try_from(limit / 2).unwrap_or(usize::MAX).min(10_000);
    let granted = (wanted * 4 / 5).to_string();
    let (host, _csp) = host(&[("HOTH__API__MAX_CONNECTIONS", granted.as_str())]).await;
    let snow = host.servicenow();
    let before = host.memory();
    let mut crowd = Vec::with_capacity(wanted);
    for n in 0..wanted {
        let mut stream = connect(&host).await;
        if n % 2 == 0 {
            let half = b"POST /cost-jobs HTTP/1.1\r\nhost: ho";
            stream.write_all(half).await.expect("a new connection is not closed");
        }
        crowd.push(stream);
        if n % 1_000 == 0 {
            snow.ask_cost(&cost(&format!("r-{n}"), "CSP_TEST")).await;
        }
    }
    snow.provision(&job("job-1", "CSP_TEST", "ADD_PORTFOLIO")).await;
    let outcome = snow.outcome().await;
    assert_eq!(outcome.code(), 200);
    snow.collect_all("/cost-jobs", wanted.div_ceil(1_000)).await;
    let grown = host.memory().saturating_sub(before);
    let each = grown / wanted as u64;
    assert!(each < 48 * 1_024, "{each} bytes for each of {wanted} connections");
    println!("{wanted} connections, {granted} slots: {grown} bytes more, {each} each");
}

#[tokio::test]
async fn a_host_without_keys_answers_to_no_foreign_name() {
    let (host, _csp) = host(&[]).await;
    for (base, path) in [(host.api(), "/cost-jobs"), (host.admin(), "/queues")] {
        for (name, status) in
            [("evil.example", 403), ("127.0.0.1.evil.example:8081", 403), ("localhost:1", 200)]
        {
            let request = crate::harness::client().get(format!("{base}{path}"));
            let response = request.header("host", name).send().await.expect("HOTH answers");
            assert_eq!(response.status().as_u16(), status, "{name} {path}");
        }
    }
}
