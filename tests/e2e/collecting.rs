//! Collecting without loss: clients that hang up at any byte, two at once, in
//! both modes.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;

use reqwest::Method;
use serde_json::Value;
use serde_json::json;
use tokio::io::AsyncReadExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::net::TcpStream;

use mock_csp::MockCsp;

use crate::csp;
use crate::csp::Answer;
use crate::harness::Outcome;
use crate::harness::PATIENCE;
use crate::harness::ServiceNow;
use crate::harness::Setup;
use crate::harness::TestHost;
use crate::harness::cost;
use crate::harness::job;

/// Outcomes on the queue, and the portfolios over which they are spread.
const OUTCOMES: usize = 40;
const PORTFOLIOS: usize = 8;

/// Connections of each of two clients in one round, and the number of rounds.
/// More than a thousand of all are broken; the others find an empty queue,
/// whose answer is short.
const HANG_UPS: usize = 50;
const ROUNDS: usize = 18;

fn id(number: usize) -> String {
    format!("{:02}-{number:03}", number % PORTFOLIOS)
}

fn all() -> BTreeSet<String> {
    (0..OUTCOMES).map(id).collect()
}

/// Starts a host with outcomes of a few bytes up to more than a socket's
/// buffer.
async fn stocked() -> (TestHost, MockCsp) {
    let sizes = [20, 3_000, 70_000, 200_000];
    let csp = csp::scripted(sizes.map(Answer::of_size).into_iter().cycle().take(OUTCOMES)).await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for number in 0..OUTCOMES {
        let mut job = job(&id(number), "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!(format!("p-{}", number % PORTFOLIOS));
        snow.provision(&job).await;
    }
    host.settled().await;
    (host, csp)
}

fn ids(messages: &[Outcome]) -> Vec<String> {
    messages.iter().map(|message| message.job_id().to_owned()).collect()
}

/// Sends a request, reads up to `bytes` bytes of the answer, and hangs up.
/// Returns the header and the messages if the answer was complete.
async fn break_off(
    host: &TestHost,
    target: &str,
    bytes: usize,
    reset: bool,
) -> Option<(String, Vec<Outcome>)> {
    let address = host.api().trim_start_matches("http://").to_owned();
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it reads");
    let mut received = Vec::new();
    let mut part = vec![0; 16 * 1024];
    let whole = loop {
        if let Some(whole) = whole(&received) {
            break Some(whole);
        }
        let most = part.len().min(bytes - received.len());
        if most == 0 {
            break None;
        }
        match stream.read(&mut part[..most]).await {
            Ok(0) | Err(_) => break None,
            Ok(read) => received.extend_from_slice(&part[..read]),
        }
    };
    if reset {
        stream.set_zero_linger().expect("a socket can be reset");
    }
    whole
}

fn whole(received: &[u8]) -> Option<(String, Vec<Outcome>)> {
    let end = received.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(received[..end].to_vec()).expect("a header is text");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "))?;
    let length: usize = length.parse().expect("a number");
    let body = received.get(end..end + length)?;
    Some((head, serde_json::from_slice(body).expect("a list of messages")))
}

/// Returns the byte at which a client hangs up: at every byte of the header in
/// turn, anywhere in the body, or after the whole answer.
fn limit(round: usize, turn: usize) -> usize {
    let number = round * HANG_UPS + turn;
    match turn % 16 {
        15 => usize::MAX,
        3 | 8 | 13 => number * 997 % 3_000,
        5 | 10 => number * 7_919 % 400_000,
        _ => number % 160,
    }
}

/// Runs both clients of a round at once, and returns the answers that they read
/// to the end.
async fn hang_up(host: &TestHost, target: &str, round: usize) -> Vec<(String, Vec<Outcome>)> {
    let client = async |first: usize| {
        let mut read = Vec::new();
        for turn in first..first + HANG_UPS {
            read.extend(break_off(host, target, limit(round, turn), turn % 3 == 0).await);
        }
        read
    };
    let (one, other) = tokio::join!(client(0), client(1));
    [one, other].concat()
}

/// Asserts that each portfolio's outcomes are in order.
#[track_caller]
fn check_order(ids: &[String]) {
    for portfolio in 0..PORTFOLIOS {
        let prefix = format!("{portfolio:02}-");
        let of: Vec<&String> = ids.iter().filter(|id| id.starts_with(&prefix)).collect();
        assert!(of.is_sorted_by(|one, next| one < next), "{of:?}");
    }
}

/// Collects until the queue is empty.
async fn drain(host: &TestHost) -> Vec<String> {
    let (snow, started_at, mut drained) = (host.servicenow(), Instant::now(), Vec::new());
    loop {
        drained.extend(ids(&snow.collect("/provisioning-jobs").await));
        let answer = host.admin_json("/queues").await;
        let queues = answer["queues"].as_array().expect("a list");
        let outcomes = queues.iter().find(|queue| queue["name"] == "provisioning-jobs");
        let outcomes = outcomes.expect("it is listed");
        if outcomes["depth"] == 0 && outcomes["inFlight"] == 0 {
            return drained;
        }
        assert!(started_at.elapsed() < PATIENCE, "still {outcomes}");
    }
}

async fn redeliver(snow: &ServiceNow, route: &str, which: Value) -> u64 {
    let answer = snow.send(Method::POST, &format!("{route}/redeliver"), Some(&which)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()["redelivered"].as_u64().expect("a count")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outcomes_lost_to_broken_connections_can_be_redelivered() {
    let (host, _csp) = stocked().await;
    let snow = host.servicenow();
    let (mut broken, mut taken) = (0, 0);
    for round in 0..ROUNDS {
        let read = hang_up(&host, "/provisioning-jobs", round).await;
        broken += 2 * HANG_UPS - read.len();
        let mut got: Vec<String> = read.iter().flat_map(|(_, messages)| ids(messages)).collect();
        let rest = drain(&host).await;
        check_order(&rest);
        got.extend(rest);
        taken += recover(&host, &mut got).await;
        assert_eq!(got.len(), OUTCOMES, "round {round}: each comes once");
        assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), all(), "round {round}");
        let everything = json!({"since": "2000-01-01T00:00:00Z"});
        assert_eq!(redeliver(&snow, "/provisioning-jobs", everything).await, OUTCOMES as u64);
    }
    eprintln!(
        "{broken} broken connections; {taken} outcomes were taken by the kernel alone, and came back"
    );
    assert!(broken > 1_000 && taken > 0, "{broken} broken, {taken} taken");
    let mut got = drain(&host).await;
    recover(&host, &mut got).await;
    assert_eq!(got.len(), OUTCOMES, "each comes once");
}

/// Has everything redelivered that is not in `got`, until it is, and returns
/// how many outcomes were missing at first: the kernel alone had taken them.
/// Requests whose clients have hung up may still be served meanwhile, and take
/// some of them once more.
async fn recover(host: &TestHost, got: &mut Vec<String>) -> usize {
    let (snow, started_at) = (host.servicenow(), Instant::now());
    let missing = |got: &[String]| -> Vec<String> {
        all().into_iter().filter(|id| !got.contains(id)).collect()
    };
    let at_first = missing(got).len();
    loop {
        let lost = missing(got);
        if lost.is_empty() {
            return at_first;
        }
        assert!(started_at.elapsed() < PATIENCE, "still {lost:?}");
        let count = lost.len() as u64;
        let which = json!({"jobIds": lost});
        assert_eq!(redeliver(&snow, "/provisioning-jobs", which).await, count);
        let again = drain(host).await;
        check_order(&again);
        got.extend(again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_broken_connections_lose_no_leased_outcome() {
    let (host, _csp) = stocked().await;
    host.leaves_work("the last round redelivers every outcome");
    let snow = host.servicenow();
    let mut broken = 0;
    for round in 0..ROUNDS {
        let read = hang_up(&host, "/provisioning-jobs?lease=1", round).await;
        broken += 2 * HANG_UPS - read.len();
        // Broken batches are not acknowledged and come back when their leases
        // end.
        let mut acknowledged = BTreeSet::new();
        let (started_at, mut ack) = (Instant::now(), String::new());
        while acknowledged.len() < OUTCOMES {
            assert!(started_at.elapsed() < PATIENCE, "{} of {OUTCOMES}", acknowledged.len());
            let path = format!("/provisioning-jobs?lease=60&wait=2{ack}");
            let leased = snow.send(Method::GET, &path, None).await;
            assert_eq!(leased.status, 200, "{}", leased.text);
            let messages = ids(&leased.messages());
            for id in messages {
                assert!(acknowledged.insert(id.clone()), "round {round}: {id} came twice");
            }
            // The next call acknowledges this batch.
            let batch = leased.headers.get("hoth-batch").map(|batch| batch.to_str().expect("text"));
            ack = batch.map(|batch| format!("&ack={batch}")).unwrap_or_default();
        }
        let last = snow.send(Method::GET, &format!("/provisioning-jobs?lease=60{ack}"), None).await;
        assert_eq!((last.status, last.text.as_str()), (200, "[]"));
        assert_eq!(acknowledged, all(), "round {round}");
        let everything = json!({"since": "2000-01-01T00:00:00Z"});
        assert_eq!(redeliver(&snow, "/provisioning-jobs", everything).await, OUTCOMES as u64);
    }
    eprintln!("{broken} broken connections while leasing");
    assert!(broken > 1_000, "{broken}");
}

#[tokio::test]
async fn two_clients_share_the_outcomes_and_keep_the_order_of_each_portfolio() {
    let (host, _csp) = stocked().await;
    // Both clients continue until they have every outcome together. One client
    // may get none for a while, because the outcomes of the other one are still
    // being deleted.
    let (taken, started_at) = (AtomicUsize::new(0), Instant::now());
    let client = async || {
        let (snow, mut got) = (host.servicenow(), Vec::new());
        while taken.load(Ordering::SeqCst) < OUTCOMES {
            let batch = snow.collect("/provisioning-jobs?wait=1").await;
            taken.fetch_add(batch.len(), Ordering::SeqCst);
            got.extend(ids(&batch));
            assert!(started_at.elapsed() < PATIENCE, "{got:?}");
        }
        got
    };
    let (one, other) = tokio::join!(client(), client());
    check_order(&one);
    check_order(&other);
    assert_eq!(one.len() + other.len(), OUTCOMES, "none comes twice");
    assert_eq!(one.into_iter().chain(other).collect::<BTreeSet<_>>(), all());
}

#[tokio::test]
async fn costs_are_redelivered_by_request_id_and_since_a_time() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for number in 0..3 {
        snow.ask_cost(&cost(&format!("r-{number}"), "CSP_TEST")).await;
    }
    let all = snow.collect_all("/cost-jobs", 3).await;
    host.emptied().await;
    assert_eq!(redeliver(&snow, "/cost-jobs", json!({"requestIds": ["r-1", "r-9"]})).await, 1);
    assert_eq!(snow.collect_all("/cost-jobs", 1).await, all[1..2]);
    host.emptied().await;
    assert_eq!(redeliver(&snow, "/cost-jobs", json!({"since": "2999-01-01T00:00:00Z"})).await, 0);
    assert_eq!(redeliver(&snow, "/cost-jobs", json!({"since": "2000-01-01T00:00:00Z"})).await, 3);
    assert_eq!(snow.collect_all("/cost-jobs", 3).await, all);
}

#[tokio::test]
async fn an_unreadable_outcome_becomes_a_dead_letter_and_blocks_no_other() {
    let (mut host, _csp) = stocked().await;
    host.leaves_work("the dead letters are kept for an operator");
    host.kill().await;
    let file = host.directory().join("data/hoth.db");
    let queue = rusqlite::Connection::open(file).expect("the queue is one SQLite file");
    for broken in [id(0), id(13), id(27)] {
        let changed = queue.execute(
            "UPDATE bodies SET body = 'no outcome' WHERE seq =
             (SELECT seq FROM messages WHERE key = ?1 AND consumed_at IS NULL
              AND queue = (SELECT id FROM queues WHERE name = 'provisioning-jobs'))",
            [&broken],
        );
        assert_eq!(changed.expect("it can be written"), 1, "{broken}");
    }
    drop(queue);
    host.restart().await;
    let got = drain(&host).await;
    check_order(&got);
    let readable = all().into_iter().filter(|one| ![id(0), id(13), id(27)].contains(one));
    assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), readable.collect());
    let letters = host.admin_json("/queues/provisioning-jobs/dead-letters").await;
    let letters = letters["deadLetters"].as_array().expect("a list");
    assert_eq!(letters.len(), 3, "they are kept for an operator: {letters:?}");
}

#[tokio::test]
async fn outcomes_that_cannot_be_deleted_at_first_are_collected_once() {
    // Together more than the largest send buffer of the kernel.
    const OUTCOMES: usize = 9;
    let large = json!({"id": "x".repeat(900 * 1_024)});
    let csp = csp::scripted([Answer::json(200, &large)]).await;
    let setup = Setup::new().csp_with("CSP_TEST", &csp, "max_response_bytes = 1000000");
    let setup = setup.environment("HOTH__API__MAX_BATCH_BYTES", "16777216");
    let host = setup.start().await;
    let snow = host.servicenow();
    for number in 0..OUTCOMES {
        snow.provision(&job(&id(number), "CSP_TEST", "ADD_PORTFOLIO")).await;
    }
    host.settled().await;
    // The kernel holds only a part of the response, so the outcomes are leased
    // and not deleted while the client does not read.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 * 1_024).expect("a small window");
    let address = host.api().trim_start_matches("http://").parse().expect("an address");
    let mut lazy = socket.connect(address).await.expect("it listens");
    let get = b"GET /provisioning-jobs HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    lazy.write_all(get).await.expect("it reads");
    let mut received = vec![lazy.read_u8().await.expect("the response has begun")];

    let file = host.directory().join("data/hoth.db");
    let other = rusqlite::Connection::open(file).expect("the queue is one SQLite file");
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock is free");
    lazy.read_to_end(&mut received).await.expect("the response is complete");
    assert_eq!(whole(&received).expect("a response").1.len(), OUTCOMES);
    // The first refusal shows that the deletion has begun to wait for the lock,
    // and the second one that it was refused, too.
    for _ in 0..2 {
        let posted = job(&id(OUTCOMES), "CSP_TEST", "ADD_PORTFOLIO");
        let refused = snow.send(Method::POST, "/provisioning-jobs", Some(&posted)).await;
        assert_eq!(refused.status, 503, "{}", refused.text);
    }
    other.execute_batch("ROLLBACK").expect("a transaction is open");
    assert_eq!(snow.collect("/provisioning-jobs").await.len(), 0, "outcomes were delivered twice");
    host.emptied().await;
}

#[tokio::test]
async fn an_act_on_dead_letters_needs_a_selection_with_its_content_type() {
    let csp = csp::sync().await;
    let host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let json = Some("application/json");
    for (content_type, body, status) in [
        (None, "", 400),
        (None, "{}", 400),
        (Some("text/plain"), "{}", 415),
        (json, "", 400),
        (json, "{\"max\": \"1\"}", 400),
        (json, "{\"dryRun\": true}", 200),
    ] {
        for act in ["redrive", "purge"] {
            let url = format!("{}/queues/provisioning-jobs/{act}", host.admin());
            let mut request = crate::harness::client().post(url).body(body);
            if let Some(content_type) = content_type {
                request = request.header("content-type", content_type);
            }
            let answer = request.send().await.expect("HOTH answers");
            assert_eq!(answer.status().as_u16(), status, "{act} {content_type:?} {body}");
        }
    }
}

/// Runs an operator's action on the dead letters of the outcomes.
async fn operate(host: &TestHost, act: &str, which: Value) -> Value {
    let operator = ServiceNow::at(crate::harness::client(), host.admin(), None);
    let path = format!("/queues/provisioning-jobs/{act}");
    let answer = operator.send(Method::POST, &path, Some(&which)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

#[tokio::test]
async fn dead_letters_are_redriven_and_purged_page_by_page() {
    const LETTERS: usize = 150;
    let csp = csp::sync().await;
    let mut host = Setup::new().csp("CSP_TEST", &csp).start().await;
    let snow = host.servicenow();
    for number in 0..LETTERS {
        let mut job = job(&id(number), "CSP_TEST", "ADD_TASK_ORDER");
        job["portfolioId"] = json!(format!("p-{number}"));
        snow.provision(&job).await;
    }
    host.settled().await;
    host.kill().await;
    let file = host.directory().join("data/hoth.db");
    let queue = rusqlite::Connection::open(file).expect("the queue is one SQLite file");
    let changed = queue.execute(
        "UPDATE bodies SET body = 'no outcome' WHERE seq IN
         (SELECT seq FROM messages WHERE consumed_at IS NULL
          AND queue = (SELECT id FROM queues WHERE name = 'provisioning-jobs'))",
        [],
    );
    assert_eq!(changed.expect("it can be written"), LETTERS);
    drop(queue);
    host.restart().await;
    assert_eq!(drain(&host).await.len(), 0);

    let all = json!({"matched": LETTERS, "redriven": 0, "unreadable": LETTERS});
    assert_eq!(operate(&host, "redrive", json!({})).await, all);
    let some = json!({"max": 100, "dryRun": true});
    assert_eq!(operate(&host, "purge", some).await, json!({"matched": 100, "purged": 0}));
    let some = json!({"max": 100, "confirm": "provisioning-jobs"});
    assert_eq!(operate(&host, "purge", some).await, json!({"matched": 100, "purged": 100}));
    let one = json!({"keys": [id(LETTERS - 1)], "confirm": "provisioning-jobs"});
    assert_eq!(operate(&host, "purge", one).await, json!({"matched": 1, "purged": 1}));
    let rest = json!({"confirm": "provisioning-jobs"});
    assert_eq!(operate(&host, "purge", rest).await, json!({"matched": 49, "purged": 49}));
}
