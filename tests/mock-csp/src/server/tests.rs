//! Answers and faults as a plain socket sees them.

use std::io::ErrorKind;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use super::*;

/// The longest wait for anything that ends by itself.
const PATIENCE: Duration = Duration::from_secs(120);

const GET: &str = "GET /a?b=%20c HTTP/1.1\r\nHost: x\r\nX-Thing: one\r\n\r\n";

/// The answer of [`Echo`] to `GET`.
const ECHO: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/plain; charset=utf-8\r\n\
                    content-length: 3\r\n\r\nGET";

/// A behaviour that answers with the line of the call. `DELETE` breaks a rule.
struct Echo;

impl Behaviour for Echo {
    fn answer(&self, call: &Call) -> Reply {
        let broken = match call.method.as_str() {
            "DELETE" => vec!["nothing is deleted".to_owned()],
            _ => Vec::new(),
        };
        Reply { answer: Answer::text(200, &call.method), broken }
    }
}

async fn server() -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    Server::start(listener, Arc::new(Echo)).unwrap()
}

async fn scripted(answers: impl IntoIterator<Item = Answer>) -> Server {
    let server = server().await;
    server.script(answers);
    server
}

async fn connect(server: &Server) -> TcpStream {
    TcpStream::connect(server.origin().strip_prefix("http://").unwrap()).await.unwrap()
}

async fn send(client: &mut TcpStream, request: &str) {
    client.write_all(request.as_bytes()).await.unwrap();
}

/// Reads until the server ends the connection, and returns the text and the
/// error, if there was one.
async fn read_to_end(client: &mut TcpStream) -> (String, Option<ErrorKind>) {
    let mut bytes = Vec::new();
    let end = tokio::time::timeout(PATIENCE, client.read_to_end(&mut bytes)).await;
    let end = end.expect("the server ends the connection");
    (String::from_utf8(bytes).unwrap(), end.err().map(|error| error.kind()))
}

async fn read(client: &mut TcpStream, bytes: usize) -> String {
    let mut buffer = vec![0; bytes];
    let read = tokio::time::timeout(PATIENCE, client.read_exact(&mut buffer)).await;
    read.expect("the server answers in time").unwrap();
    String::from_utf8(buffer).unwrap()
}

/// Sends one call to a server with this script, and reads to the end.
async fn asked_once(answer: Answer) -> (String, Option<ErrorKind>) {
    let server = scripted([answer]).await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    let read = read_to_end(&mut client).await;
    assert_eq!(server.call_count(), 1);
    assert_eq!(server.at_once(), 0);
    read
}

#[tokio::test]
async fn calls_are_recorded_verbatim() {
    let server = server().await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    assert_eq!(read(&mut client, ECHO.len()).await, ECHO);
    send(&mut client, "POST /c HTTP/1.1\r\nContent-Length: 4\r\n\r\nbo").await;
    send(&mut client, "dy").await;
    read(&mut client, ECHO.len() + 1).await;
    let mut other = connect(&server).await;
    send(&mut other, GET).await;
    read(&mut other, ECHO.len()).await;

    let calls = server.calls();
    assert_eq!(calls.len(), 3);
    assert_eq!(calls[0].line(), "GET /a?b=%20c");
    assert_eq!((calls[0].path(), calls[0].query()), ("/a", Some("b=%20c")));
    assert_eq!(calls[0].headers[1], ("X-Thing".to_owned(), "one".to_owned()));
    assert_eq!(calls[0].header("x-thing"), Some("one"));
    assert_eq!(calls[1].body, "body");
    assert_eq!(calls[0].connection, calls[1].connection);
    assert_ne!(calls[0].connection, calls[2].connection);
    assert!(calls[0].arrived <= calls[1].arrived);
}

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order() {
    let server = server().await;
    let mut client = connect(&server).await;
    send(&mut client, &GET.repeat(3)).await;
    assert_eq!(read(&mut client, 3 * ECHO.len()).await, ECHO.repeat(3));
}

#[tokio::test]
async fn a_connection_close_request_is_honoured() {
    let server = server().await;
    for last in ["GET / HTTP/1.1\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"] {
        let mut client = connect(&server).await;
        send(&mut client, last).await;
        assert_eq!(read_to_end(&mut client).await, (ECHO.to_owned(), None));
    }
}

#[tokio::test]
async fn without_recording_calls_are_only_counted() {
    let server = server().await;
    server.record(false);
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    read(&mut client, ECHO.len()).await;
    assert_eq!((server.calls().len(), server.call_count()), (0, 1));
}

#[tokio::test]
async fn broken_rules_are_named_with_their_call() {
    let server = server().await;
    let mut client = connect(&server).await;
    send(&mut client, "DELETE /a HTTP/1.1\r\n\r\n").await;
    assert_eq!(server.violations_after(0).await, ["DELETE /a: nothing is deleted"]);
    assert_eq!(server.violations(), ["DELETE /a: nothing is deleted"]);
}

#[tokio::test]
async fn malformed_requests_are_refused_with_a_reason() {
    let endless = format!("GET / HTTP/1.1\r\nx: {}", "x".repeat(request::HEAD_BYTES_MAX));
    for (sent, status, reason) in [
        ("no http\r\n\r\n", 400, "not HTTP"),
        (&endless, 431, "the header has over"),
        ("POST / HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400, "`content-length`"),
        (
            "POST / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            400,
            "content-length",
        ),
        ("POST / HTTP/1.1\r\ncontent-length: 99999999\r\n\r\n", 413, "99999999 bytes"),
        ("POST / HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 413, "bytes"),
        ("POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n", 411, "without its length"),
    ] {
        let server = server().await;
        let mut client = connect(&server).await;
        send(&mut client, sent).await;
        client.shutdown().await.unwrap();
        let (answer, end) = read_to_end(&mut client).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(end, None);
        assert!(server.violations()[0].contains(reason), "{:?}", server.violations());
        assert_eq!(server.call_count(), 0);
    }
}

#[tokio::test]
async fn a_script_repeats_its_last_answer() {
    let server = scripted([Answer::text(503, ""), Answer::behave()]).await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    let first = "HTTP/1.1 503 Service Unavailable\r\n\
                 content-type: text/plain; charset=utf-8\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(read(&mut client, first.len()).await, first);
    for _ in 0..2 {
        send(&mut client, GET).await;
        assert_eq!(read(&mut client, ECHO.len()).await, ECHO);
    }
}

#[tokio::test]
async fn a_specific_script_precedes_the_general_one() {
    let server = scripted([Answer::bytes(200, "general")]).await;
    server.script_for(Matching::path("/p-1"), [Answer::bytes(200, "path   ")]);
    server.script_for(Matching::path("/p-2").and_method("PUT"), [Answer::bytes(200, "both   ")]);
    let mut client = connect(&server).await;
    for (line, said) in
        [("GET /x/p-1/y", "path   "), ("PUT /p-2", "both   "), ("GET /p-2", "general")]
    {
        send(&mut client, &format!("{line} HTTP/1.1\r\n\r\n")).await;
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n";
        assert_eq!(read(&mut client, head.len() + 7).await, format!("{head}{said}"), "{line}");
    }
    server.script([]);
    send(&mut client, GET).await;
    assert_eq!(read(&mut client, ECHO.len()).await, ECHO);
}

#[tokio::test]
async fn answers_contain_the_given_status_headers_and_body() {
    let answer = Answer::json(202, &json!({"a": 1})).header("Location", "/b").then(Then::Close);
    let written = "HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\n\
                   Location: /b\r\ncontent-length: 7\r\n\r\n{\"a\":1}";
    assert_eq!(asked_once(answer).await, (written.to_owned(), None));
    let answer = Answer::bytes(204, "").then(Then::Close);
    assert_eq!(asked_once(answer).await, ("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), None));
    let answer = Answer::bytes(599, "").then(Then::Close);
    assert!(asked_once(answer).await.0.starts_with("HTTP/1.1 599 Unknown\r\n"));
}

#[tokio::test]
async fn bodies_can_have_any_size() {
    let (answer, _) = asked_once(Answer::of_size(1024 * 1024).then(Then::Close)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("content-length: 1048576"), "{head}");
    assert_eq!(body.len(), 1024 * 1024);
}

#[tokio::test]
async fn a_reset_answer_resets_the_connection() {
    for answer in [Answer::reset_after_read(), Answer::reset_before_read()] {
        assert_eq!(asked_once(answer).await, (String::new(), Some(ErrorKind::ConnectionReset)));
    }
}

#[tokio::test]
async fn only_a_reset_after_the_read_waits_for_the_body() {
    let head = "POST /a HTTP/1.1\r\ncontent-length: 4\r\n\r\n";
    let server = scripted([Answer::reset_before_read()]).await;
    let mut client = connect(&server).await;
    send(&mut client, head).await;
    assert_eq!(read_to_end(&mut client).await.1, Some(ErrorKind::ConnectionReset));
    assert_eq!(server.call_count(), 1);

    let server = scripted([Answer::reset_after_read()]).await;
    let mut client = connect(&server).await;
    send(&mut client, head).await;
    let early = tokio::time::timeout(Duration::from_millis(50), client.read_u8()).await;
    assert!(early.is_err(), "the body was not awaited: {early:?}");
    send(&mut client, "body").await;
    assert_eq!(read_to_end(&mut client).await.1, Some(ErrorKind::ConnectionReset));
    assert_eq!(server.calls()[0].body, "body");
}

#[tokio::test]
async fn a_close_answer_closes_without_a_reset() {
    assert_eq!(asked_once(Answer::close()).await, (String::new(), None));
    assert_eq!(asked_once(Answer::raw("HTTP/1.1 20")).await, ("HTTP/1.1 20".to_owned(), None));
}

#[tokio::test]
async fn announced_lengths_can_be_too_long_or_too_short() {
    let (answer, end) = asked_once(Answer::truncated()).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("content-length: {}", body.len() + 100)), "{head}");
    assert_eq!(end, None);

    let (answer, _) = asked_once(Answer::wrong_length().then(Then::Close)).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with("content-length: 10"), "{head}");
    assert!(body.len() > 10, "{body}");
}

#[tokio::test]
async fn a_body_can_end_in_a_reset() {
    let answer = Answer::truncated().then(Then::Reset);
    let server = scripted([answer]).await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    assert_eq!(read_to_end(&mut client).await.1, Some(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn a_chunk_can_be_invalid() {
    let (answer, _) = asked_once(Answer::bytes(200, "abcdef").chunked_badly()).await;
    let written = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nno size\r\n";
    assert_eq!(answer, written);
    assert!(asked_once(Answer::bad_chunk()).await.0.ends_with("no size\r\n"));
}

#[tokio::test]
async fn a_body_can_be_sent_slowly() {
    let every = Duration::from_millis(20);
    let server = scripted([Answer::bytes(200, "abcde").dripping(2, every)]).await;
    let mut client = connect(&server).await;
    let started_at = Instant::now();
    send(&mut client, GET).await;
    let whole = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nabcde";
    assert_eq!(read(&mut client, whole.len()).await, whole);
    assert!(started_at.elapsed() >= 3 * every, "{:?}", started_at.elapsed());
}

#[tokio::test]
async fn a_delay_comes_before_the_answer() {
    let delay = Duration::from_millis(50);
    let server = scripted([Answer::behave().after(delay)]).await;
    let mut client = connect(&server).await;
    let started_at = Instant::now();
    send(&mut client, GET).await;
    assert_eq!(read(&mut client, ECHO.len()).await, ECHO);
    assert!(started_at.elapsed() >= delay, "{:?}", started_at.elapsed());
}

#[tokio::test]
async fn an_answer_is_held_until_its_gate_opens() {
    let gate = Gate::closed();
    let server = scripted([Answer::behave().held_by(&gate)]).await;
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = connect(&server).await;
        send(&mut client, GET).await;
        clients.push(client);
    }
    server.wait_for_calls(2).await;
    assert_eq!(server.at_once(), 2, "both are held");
    gate.open();
    for client in &mut clients {
        assert_eq!(read(client, ECHO.len()).await, ECHO);
    }
    // One that comes later is not held at all.
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    assert_eq!(read(&mut client, ECHO.len()).await, ECHO);
}

#[tokio::test]
async fn hanging_lasts_until_the_client_gives_up() {
    let long = Duration::from_secs(3600);
    for answer in
        [Answer::hang(), Answer::behave().after(long), Answer::text(200, "a").dripping(1, long)]
    {
        let server = scripted([answer]).await;
        let mut client = connect(&server).await;
        send(&mut client, GET).await;
        server.wait_for_calls(1).await;
        assert_eq!(server.at_once(), 1);
        drop(client);
        let started_at = Instant::now();
        while server.at_once() > 0 {
            assert!(started_at.elapsed() < PATIENCE, "the server did not see the client go");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

#[tokio::test]
async fn a_header_can_be_endless() {
    let server = scripted([Answer::endless_head()]).await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    let read = read(&mut client, 1024 * 1024).await;
    assert!(read.starts_with("HTTP/1.1 200 OK\r\nx-endless: x"));
    assert!(!read.contains("\r\n\r\n"));
}

#[tokio::test]
async fn concurrent_calls_are_counted() {
    let server = scripted([Answer::hang()]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect(&server).await;
        send(&mut client, GET).await;
        clients.push(client);
    }
    server.wait_for_calls(3).await;
    assert_eq!((server.at_once(), server.most_at_once()), (3, 3));

    let server = scripted([Answer::behave()]).await;
    for _ in 0..20 {
        let mut client = connect(&server).await;
        send(&mut client, GET).await;
        read(&mut client, ECHO.len()).await;
    }
    assert_eq!(server.most_at_once(), 1);
}

#[tokio::test]
async fn a_server_that_is_dropped_cuts_its_connections() {
    let server = server().await;
    let mut client = connect(&server).await;
    send(&mut client, GET).await;
    read(&mut client, ECHO.len()).await;
    drop(server);
    assert_eq!(read_to_end(&mut client).await.0, "");
}

#[tokio::test]
async fn a_refused_port_accepts_no_connections() {
    let nowhere = Refused::bind().unwrap();
    let refused = TcpStream::connect(nowhere.strip_prefix("http://").unwrap()).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}
